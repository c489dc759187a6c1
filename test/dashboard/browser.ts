/**
 * A real browser, headless, for tests of the web page: Debian's Chromium, driven by playwright-core. Whatever a page complains
 * about on its console fails the test that opened it.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from 'playwright-core';

export type { Page } from 'playwright-core';

/** The same engine without a window of its own, which costs a quarter of the processor time. */
export const CHROMIUM = '/usr/bin/chromium-headless-shell';
/** No sandbox: tests run as root, and open nothing but our own page. Nothing is to be asked of anybody else either. */
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

export async function launchBrowser(): Promise<Browser> {
  return await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
}

/** One reader with a storage of their own. */
export class Reader implements AsyncDisposable {
  readonly page: Page;
  readonly #context: BrowserContext;
  readonly #complaints: string[] = [];
  readonly #url: string;

  private constructor(page: Page, context: BrowserContext, url: string) {
    this.page = page;
    this.#context = context;
    this.#url = url;
    page.on('pageerror', (error) => this.#complaints.push(String(error.stack)));
    page.on('console', (message) => {
      // A refusal, or an orchestrator that is away, is told by the browser as an error; the page tells it to its reader.
      const isAnswer = message.text().startsWith('Failed to load resource');
      if (message.type() === 'error' && !isAnswer) this.#complaints.push(message.text());
    });
  }

  static async open(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<Reader> {
    const context = await browser.newContext(options);
    context.setDefaultTimeout(15_000);
    const reader = new Reader(await context.newPage(), context, url);
    await reader.page.goto(`${url}/ui/`);
    return reader;
  }

  async logIn(key: string): Promise<void> {
    await this.page.getByLabel('API key').fill(key);
    await this.page.getByRole('button', { name: 'Log in', exact: true }).click();
    await this.page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
  }

  /** Goes to a place of the page and waits until it has loaded what it shows. */
  async visit(path: string): Promise<void> {
    await this.page.goto(`${this.#url}/ui/#${path}`);
    await this.settled();
  }

  async settled(): Promise<void> {
    await this.page.locator('main h1').first().waitFor();
    await this.page.getByText('Loading …').first().waitFor({ state: 'detached' });
  }

  /**
   * What keeps people with a screen reader, a keyboard or weak eyes from reading it, as axe finds it.
   * @param within a selector of the part to look at; default: all of it
   */
  async barriers(within = ':root'): Promise<string[]> {
    // Through the debugger: the page's own policy lets no foreign script in, and that is to stay so.
    const debug = await this.#context.newCDPSession(this.page);
    await debug.send('Runtime.evaluate', { expression: axe });
    const { result } = await debug.send('Runtime.evaluate', {
      expression: `axe.run(${JSON.stringify(within)}).then(({ violations }) => violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ html }) => html).join(' ')))`,
      awaitPromise: true,
      returnByValue: true,
    });
    await debug.detach();
    return result.value as string[];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#context.close();
    assert.deepEqual(this.#complaints, [], 'the page complained');
  }
}

/** From now on that browser's clock is wrong by so much; the page is loaded again. */
export async function setClockOff(page: Page, offMs: number): Promise<void> {
  await page.addInitScript(`
    const Right = Date;
    globalThis.Date = class extends Right {
      constructor(...given) {
        if (given.length === 0) super(Right.now() + ${offMs});
        else super(...given);
      }
      static now() {
        return Right.now() + ${offMs};
      }
    };
  `);
  await page.reload();
}
