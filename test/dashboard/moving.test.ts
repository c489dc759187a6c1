/** The page of a migration while it moves: its whole course however late it is opened, its log, what can be done and why not. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { keys } from '../../apps/orchestrator/src/redis/keys.ts';
import { setStage } from '../workflow/harness.ts';
import type { Page } from './browser.ts';
import { useSetting } from './setting.ts';

let redis: Redis | undefined;
const setting = useSetting(async ({ directory }) => {
  const opened = new Redis({ path: join(directory, 'redis', 'redis.sock') });
  redis = opened;
  return { [Symbol.asyncDispose]: async () => opened.disconnect() };
});
const PHONE = { viewport: { width: 390, height: 800 }, hasTouch: true };

/** A command at the event stream of a migration. */
const events = async (command: string, id: string, ...more: (string | number)[]): Promise<number> =>
  Number(await redis?.call(command, keys.events(id), ...more));

/** A guest that moves for as long as the test lets it. */
async function bigStage() {
  const { api, directory } = setting();
  const stage = await setStage(() => api, directory);
  stage.world.rates.set('source', 300 << 20);
  stage.world.addVm('source', { id: 'big', name: 'big', memoryBytes: 2 ** 40 });
  return stage;
}

test('a page that is opened long after the start tells the whole course', async () => {
  const { api, loggedIn } = setting();
  await using stage = await bigStage();
  const { id } = await stage.submit({ vm: 'big' });
  for (const deadline = performance.now() + 30_000; (await events('XLEN', id)) < 40; await sleep(100)) {
    assert.ok(performance.now() < deadline, 'it tells nothing');
  }
  await events('XTRIM', id, 'MAXLEN', 3); // as hundreds of events more would do
  await using reader = await loggedIn();
  const { page } = reader;
  await reader.visit(`/migrations/${id}`);
  await page.getByRole('progressbar').waitFor();
  const told = page.locator('ol.events').first();
  await told.getByText('performing').waitFor();
  assert.match(await told.innerText(), /queued.*checking.*provisioning.*preparing.*performing/s);
  assert.equal(await page.getByText('Some of it is not kept any more.').count(), 0);
  const tunnel = page.getByRole('region', { name: 'Tunnel' });
  assert.match(await tunnel.innerText(), /Queue of the link\s+0\.0 ms\s+Sent again\s+0\.00 % of the bytes/);
  const line = page.locator('figure.chart path.line-1');
  await line.waitFor({ state: 'attached' }); // one that is level has no height, and passes for hidden
  const begins = Number(/^M([\d.]+)/.exec((await line.getAttribute('d')) ?? '')?.[1]);
  const width = (await page.locator('figure.chart').boundingBox())?.width ?? 0;
  assert.ok(begins < 84 + width / 4, `the line begins at ${begins} of ${width}`);
  await api.must('POST', `/v1/migrations/${id}/cancel`);
  await api.ended(id);
});

test('a log that was opened stays open, and goes on', async () => {
  const { api, loggedIn } = setting();
  await using stage = await bigStage();
  const hold = stage.world.faults.arm('destination.prepare', 'hold-after');
  const { id } = await stage.submit({ vm: 'big' });
  await hold.reached;
  await using reader = await loggedIn();
  const { page } = reader;
  await reader.visit(`/migrations/${id}`);
  const log = page.locator('details', { has: page.locator('summary', { hasText: /^Log$/ }) });
  await log.locator('summary').click();
  await log.locator('li').first().waitFor();
  const before = await log.locator('li').count();
  hold.release();
  await page.getByRole('progressbar').waitFor();
  await log.locator('li').nth(before).waitFor();
  assert.notEqual(await log.getAttribute('open'), null);
  await api.must('POST', `/v1/migrations/${id}/cancel`);
  await api.ended(id);
});

/** What the button that cannot be pressed says of itself. */
async function described(page: Page): Promise<string> {
  const cancel = page.getByRole('button', { name: 'Cancel …' });
  assert.ok(await cancel.isDisabled());
  const hint = page.locator(`[id="${await cancel.getAttribute('aria-describedby')}"]`);
  assert.ok(await hint.isVisible());
  return await hint.innerText();
}

test('why a migration cannot be cancelled is said beside the button, on a phone as well', async () => {
  const { api, loggedIn } = setting();
  await using stage = await setStage(() => api, setting().directory);
  const late = stage.world.faults.arm('destination.finish', 'hold-before');
  const { id } = await stage.submit({ options: { durationMs: 20 } });
  await late.reached;
  await using reader = await loggedIn(PHONE);
  const { page } = reader;
  await reader.visit(`/migrations/${id}`);
  await page.getByText('Too late to cancel').waitFor();
  assert.equal(await described(page), 'Too late to cancel: the VM is being handed over');
  assert.deepEqual(await reader.barriers(), []);
  late.release();
  await api.ended(id);

  const held = stage.world.faults.arm('gateway.start', 'hold-after');
  stage.world.addVm('source', { id: 'next', name: 'next' });
  const next = await stage.submit({ vm: 'next' });
  await held.reached;
  await reader.visit(`/migrations/${next.id}`);
  await page.getByRole('button', { name: 'Cancel …' }).tap();
  await page.getByRole('button', { name: 'Cancel the migration' }).tap();
  await page.getByText('The cancel is under way').waitFor();
  assert.equal(await described(page), 'The cancel is under way');
  held.release();
  await api.ended(next.id);
});
