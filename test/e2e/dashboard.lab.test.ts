/**
 * The web page and the real thing: a person finds a VM of a real libvirt host in the page, moves it through the tunnel, watches
 * it there; sees on the overview what a second, slow one puts on its link, and cancels it. `LMAS_SCREENSHOTS=DIR` keeps pictures of it.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Browser } from 'playwright-core';
import { launchBrowser, Reader } from '../dashboard/browser.ts';
import type { VmOptions } from '../lab/src/index.ts';
import { endpointId } from '../support/two-sites.ts';
import { World } from '../support/world.ts';

/** Busy enough for a second pass that takes seconds, on a link of 400 Mbit/s. */
const VM: VmOptions = { name: 'web-1', memoryMib: 512, fillMib: 440, workingSetMib: 160, dirtyPagesPerSec: 4_000 };
const SCREENSHOTS = process.env.LMAS_SCREENSHOTS;

let world: World;
let browser: Browser;

async function logIn(): Promise<Reader> {
  const reader = await Reader.open(browser, world.orchestrator.baseUrl, { viewport: { width: 1_280, height: 900 } });
  await reader.logIn((await readFile(world.orchestrator.apiKeyFile, 'utf8')).trim());
  return reader;
}

async function picture({ page }: Reader, name: string): Promise<void> {
  if (SCREENSHOTS === undefined) return;
  await page.evaluate('scrollTo(0, 0)');
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true });
}

/** Fills the form from the host's inventory on, and submits it. @returns the migration's id */
async function moveByHand(reader: Reader, bandwidthMbit?: number): Promise<string> {
  const { page } = reader;
  await reader.visit(`/endpoints/${endpointId('a')}`);
  await page.getByRole('link', { name: `Move ${VM.name}` }).click();
  await page.locator('label', { hasText: /^To/ }).locator('select').selectOption(endpointId('b'));
  if (bandwidthMbit !== undefined) await page.getByLabel('Bandwidth at most').fill(String(bandwidthMbit));
  await page.getByText('it can be moved').waitFor();
  await picture(reader, 'move');
  await page.getByRole('button', { name: 'Move it' }).click();
  await page.waitForURL(/#\/migrations\/m_/);
  return page.url().split('/').at(-1) ?? '';
}

describe('a person at the web page', { concurrency: 1 }, () => {
  before(async () => {
    world = await World.up({ name: 'e2epage', rateMbit: 400, rttMs: 40 });
    browser = await launchBrowser();
  });
  after(async () => {
    await browser?.close();
    await world?.down();
  });

  test('moves a running VM and sees it arrive', async () => {
    const vm = await world.startVm(VM);
    try {
      await using reader = await logIn();
      const { page } = reader;
      const id = await moveByHand(reader);
      // The gateways' program is uploaded first.
      await page.getByRole('progressbar').waitFor({ timeout: 60_000 });
      await page.getByRole('heading', { name: 'Throughput' }).waitFor({ timeout: 30_000 });
      await page.getByText('Subflows and streams').click();
      await page.getByRole('row').nth(1).waitFor();
      // After the first pass the guest's dirty rate is known, and with it whether it gets across.
      await page.getByText(/link carries .*: it converges\./).waitFor({ timeout: 60_000 });
      await page.locator('.outlook .badge', { hasText: /^converges$/ }).waitFor();
      await page.locator('.fields > div', { hasText: /^Pass[2-9]/ }).waitFor();
      await picture(reader, 'migration');
      await page.getByText(`It runs at ${endpointId('b')}.`).waitFor({ timeout: 90_000 });
      await picture(reader, 'succeeded');
      const migration = await world.end(id);
      assert.equal(migration.phase, 'succeeded');
      assert.ok((migration.tunnel?.bytesDelivered ?? 0) > 400 << 20, 'through the tunnel');
      await vm.assertLivesAt('b');
      assert.deepEqual(await reader.barriers(), []);
      await reader.visit('/');
      await picture(reader, 'overview');
      assert.deepEqual(await world.leftovers([vm]), []);
    } finally {
      await vm.remove();
    }
  });

  test('cancels one that crawls, and it runs on where it was', async () => {
    const vm = await world.startVm(VM);
    try {
      await using reader = await logIn();
      const { page } = reader;
      const id = await moveByHand(reader, 8);
      await page.getByRole('progressbar').waitFor({ timeout: 60_000 });
      await reader.visit('/');
      // What its link carries now, of a real tunnel.
      await page
        .getByRole('row', { name: /site-a – site-b/ })
        .getByText(/[1-9][\d.]* [kM]bit\/s/)
        .waitFor();
      await picture(reader, 'overview-moving');
      await reader.visit(`/migrations/${id}`);
      await page.getByRole('button', { name: 'Cancel …' }).click();
      await page.getByRole('button', { name: 'Cancel the migration' }).click();
      await page.locator('.badge', { hasText: /^cancelled$/ }).waitFor({ timeout: 60_000 });
      assert.equal((await world.end(id)).where, 'source');
      await vm.assertLivesAt('a');
      assert.deepEqual(await world.leftovers([vm]), []);
    } finally {
      await vm.remove();
    }
  });
});
