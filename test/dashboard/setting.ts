/** What every test of the web page needs: a real orchestrator with real Redis, a real browser, and somebody logged in. */
import { after, before } from 'node:test';
import type { Browser } from 'playwright-core';
import type { Orchestrator } from '../../apps/orchestrator/src/main.ts';
import { Api, startInProcess, temporaryDirectory } from '../workflow/harness.ts';
import { launchBrowser, Reader } from './browser.ts';

export interface Setting {
  readonly directory: string;
  readonly orchestrator: Orchestrator;
  readonly api: Api;
  readonly browser: Browser;
  /** @param key of whom; default: of an admin of the whole installation */
  loggedIn(options?: Parameters<typeof Reader.open>[2], key?: string): Promise<Reader>;
}

/**
 * For one file of tests: it is there from its first test to its last.
 * @param prepare what else has to be there; taken away with the rest @param settings of the orchestrator
 */
export function useSetting(
  prepare?: (setting: Setting) => Promise<AsyncDisposable>,
  settings: Record<string, string> = {},
): () => Setting {
  let setting: Setting | undefined;
  const toBeClosed = new AsyncDisposableStack();
  before(async () => {
    const directory = toBeClosed.use(await temporaryDirectory());
    const orchestrator = await startInProcess(directory.path, settings);
    toBeClosed.defer(() => orchestrator.stop());
    const api = await Api.of(orchestrator);
    const browser = await launchBrowser();
    toBeClosed.defer(() => browser.close());
    setting = {
      ...{ directory: directory.path, orchestrator, api, browser },
      async loggedIn(options = {}, key = api.key) {
        const reader = await Reader.open(browser, orchestrator.url, options);
        await reader.logIn(key);
        return reader;
      },
    };
    if (prepare !== undefined) toBeClosed.use(await prepare(setting));
  });
  after(() => toBeClosed.disposeAsync());
  return () => {
    if (setting === undefined) throw new Error('there is a setting only while tests run');
    return setting;
  };
}
