/**
 * Every page, with something to show on each, and every question that it asks: nothing bars the way of anybody, in light and in
 * dark, and from the narrowest phone to a wide desk nothing hides beyond an edge. `LMAS_SCREENSHOTS=DIR` keeps a picture of each.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { BrowserContextOptions } from 'playwright-core';
import { match, PATTERNS } from '../../apps/dashboard/src/patterns.ts';
import type { Reader } from './browser.ts';
import { useSetting } from './setting.ts';
import { type Showcase, setUpShowcase } from './showcase.ts';

const SCREENSHOTS = process.env.LMAS_SCREENSHOTS;
const WIDE = { viewport: { width: 1_280, height: 900 } };
const PHONE = { viewport: { width: 390, height: 800 }, hasTouch: true };
/** A small phone, a phone, on both sides of where tables become cards and of where the menu goes aside, and desks. */
const WIDTHS = [320, 390, 600, 680, 820, 960, 1_010, 1_280, 1_920];

/** Beyond that of the page, or of a table. What scrolls sideways by itself (code, plots) is none of it. */
const BEYOND_THE_EDGE = `
  [...document.querySelectorAll('html, main *')]
    .filter((one) => {
      const { right, width } = one.getBoundingClientRect();
      if (one.matches('html, .scroll') && one.scrollWidth > one.clientWidth + 1) return true;
      return width > 1 && right > innerWidth + 1 && one.closest('pre, details:not([open]), svg') === null;
    })
    .map(({ outerHTML }) => outerHTML.slice(0, 120))
`;

let showcase: Showcase;
const setting = useSetting(async ({ api, directory }) => {
  showcase = await setUpShowcase(api, directory);
  return showcase;
});

async function picture({ page }: Reader, name: string): Promise<void> {
  if (SCREENSHOTS !== undefined) await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true });
}

async function onEachPage(
  kind: string,
  options: BrowserContextOptions,
  look: (reader: Reader, name: string) => Promise<void>,
): Promise<void> {
  await using reader = await setting().loggedIn(options);
  for (const [name, path] of showcase.pages) {
    await reader.visit(path);
    const title = await reader.page.title();
    assert.ok(title.endsWith('– LMAS') && !title.startsWith('–'), `${name} is called ${title}`);
    await look(reader, name);
    await picture(reader, `${name}.${kind}`);
  }
}

/** Opens, one after the other, what the buttons of a page open that end in ` …`: of several that say the same, the first. */
async function onEachDialog({ page }: Reader, look: (verb: string) => Promise<void>): Promise<number> {
  const buttons = page.locator('main button:enabled', { hasText: / …$/ });
  const verbs = (await buttons.allTextContents()).map((text) => text.replace(/ .*/, ''));
  const first = new Map(verbs.map((verb, i) => [verb, i] as const).reverse());
  for (const [verb, i] of first) {
    await buttons.nth(i).click();
    await page.getByRole('dialog').waitFor();
    await look(verb);
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
  }
  return first.size;
}

test('no page is left out', () => {
  const shown = new Set(
    showcase.pages.map(([, path]) => PATTERNS.find((pattern) => match(pattern, path.replace(/\?.*/, '')) !== null)),
  );
  assert.deepEqual(
    PATTERNS.filter((pattern) => !shown.has(pattern)),
    [],
  );
});

for (const colorScheme of ['light', 'dark'] as const) {
  test(`nothing bars the way of anybody on any page or in any dialog, ${colorScheme}`, async () => {
    const barriers: string[] = [];
    let dialogs = 0;
    await onEachPage(colorScheme, { ...WIDE, colorScheme }, async (reader, name) => {
      barriers.push(...(await reader.barriers()).map((barrier) => `${name}: ${barrier}`));
      dialogs += await onEachDialog(reader, async (verb) => {
        await picture(reader, `${name}-${verb}.${colorScheme}`);
        barriers.push(...(await reader.barriers('dialog')).map((barrier) => `${name}, ${verb} …: ${barrier}`));
      });
    });
    assert.deepEqual(barriers, []);
    assert.ok(dialogs > 30, `${dialogs} dialogs`);
  });
}

test('nothing hides beyond an edge, however narrow or wide the window is', async () => {
  const hidden: string[] = [];
  await onEachPage('phone', PHONE, async (reader, name) => {
    const { page } = reader;
    for (const width of WIDTHS) {
      await page.setViewportSize({ ...PHONE.viewport, width });
      const found = (await page.evaluate(BEYOND_THE_EDGE)) as string[];
      hidden.push(...found.map((html) => `${name} at ${width} px: ${html}`));
    }
    await page.setViewportSize({ ...PHONE.viewport, width: WIDTHS[0] ?? 0 });
    await onEachDialog(reader, async (verb) => {
      const found = (await page.evaluate(BEYOND_THE_EDGE)) as string[];
      hidden.push(...found.map((html) => `${name}, ${verb} …: ${html}`));
    });
    await page.setViewportSize(PHONE.viewport);
  });
  assert.deepEqual(hidden, []);
});

test('on a phone the menu opens, leads somewhere, and closes', async () => {
  await using reader = await setting().loggedIn(PHONE);
  const { page } = reader;
  const link = page.getByRole('navigation').getByRole('link', { name: 'Balancing', exact: true });
  assert.equal(await link.isVisible(), false);
  await page.getByRole('button', { name: 'Menu' }).tap();
  await link.tap();
  await page.getByRole('heading', { level: 1, name: 'Balancing' }).waitFor();
  assert.equal(await link.isVisible(), false);
});

test('tables are sorted by the columns that their reader chooses, with the keyboard as well', async () => {
  await using reader = await setting().loggedIn(WIDE);
  const { page } = reader;
  await reader.visit('/endpoints/kvm-lis-2');
  const names = () => page.locator('tbody th').allInnerTexts();
  const asTheyCame = await names();
  const memory = page.getByRole('button', { name: 'Memory' });
  await memory.focus();
  for (const [sort, first] of [
    ['ascending', 'mail-1'],
    ['descending', 'analytics'],
  ] as const) {
    await page.keyboard.press('Enter');
    await page.locator(`th[aria-sort=${sort}]`).waitFor();
    assert.equal((await names())[0], first);
  }
  await page.keyboard.press('Enter');
  await page.locator('th[aria-sort]').waitFor({ state: 'detached' });
  assert.deepEqual(await names(), asTheyCame);
});
