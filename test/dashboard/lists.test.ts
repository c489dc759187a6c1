/** Lists that are longer than what is shown at first, and settings that two people change at once. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { Redis } from 'ioredis';
import { keys } from '../../apps/orchestrator/src/redis/keys.ts';
import { receiveWebhooks } from '../support/webhook-receiver.ts';
import { setStage } from '../workflow/harness.ts';
import { type Page, setClockOff } from './browser.ts';
import { useSetting } from './setting.ts';

const setting = useSetting(undefined, { LMAS_WEBHOOK_ALLOW: '127.0.0.0/8' });
const MORE_THAN_A_PAGE = 51;

test('two people who set the limits of the queue do not undo each other; who may only look sees them', async () => {
  const { api, loggedIn } = setting();
  await using reader = await loggedIn();
  const { page } = reader;
  await reader.visit('/queue');
  const many = page.getByLabel('Concurrent migrations, at most');
  await many.fill('7');
  await api.must('PATCH', '/v1/queue', { limits: { maxMigrations: 3 } }, { 'if-match': '*' });
  await page.getByRole('button', { name: 'Set', exact: true }).click();
  await page.getByRole('alert').getByText('PRECONDITION_FAILED').waitFor();
  const limits = async () => (await api.must<{ limits: object }>('GET', '/v1/queue')).limits;
  assert.partialDeepStrictEqual(await limits(), { maxMigrations: 3 });
  assert.equal(await many.inputValue(), '7', 'what was typed is not lost');
  const choices = page.getByRole('button', { name: /^Show what/ });
  assert.deepEqual(await choices.allTextContents(), ['Show what it is now'], 'one way on');
  await choices.click();
  assert.equal(await many.inputValue(), '3');
  await many.fill('7');
  await api.must('PATCH', '/v1/queue', { limits: { maxMigrations: 4 } }, { 'if-match': '*' });
  await comeBack(page, '/v1/queue');
  await choices.filter({ hasText: 'is set now' }).click();
  assert.equal(await many.inputValue(), '4');
  await many.fill('7');
  const set = page.waitForResponse((answer) => answer.request().method() === 'PATCH');
  await page.getByRole('button', { name: 'Set', exact: true }).click();
  assert.equal((await set).status(), 200);
  const { key } = await api.must<{ key: string }>('POST', '/v1/api-keys', { name: 'eyes', role: 'viewer' });
  await using viewer = await loggedIn({}, key);
  await viewer.visit('/queue');
  await viewer.page.locator('dl.fields', { hasText: 'Concurrent migrations, at most' }).getByText('7').waitFor();
  await api.must('PATCH', '/v1/queue', { limits: { maxMigrations: null } }, { 'if-match': '*' });
});

test('two people who change the same project do not undo each other', async () => {
  const { api, loggedIn } = setting();
  await api.must('POST', '/v1/projects', { id: 'blue', description: 'ours', endpoints: [] });
  await using reader = await loggedIn();
  const { page } = reader;
  await reader.visit('/access');
  await page.getByRole('button', { name: 'Change blue …' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Description').fill('mine');
  await api.must('PATCH', '/v1/projects/blue', { description: 'theirs' }, { 'if-match': '*' });
  await comeBack(page, '/v1/projects/blue');
  await dialog.getByRole('button', { name: 'Change', exact: true }).click();
  await dialog.getByRole('alert').getByText('PRECONDITION_FAILED').waitFor();
  assert.partialDeepStrictEqual(await api.must('GET', '/v1/projects/blue'), { description: 'theirs' });
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Change blue …' }).click();
  assert.equal(await dialog.getByLabel('Description').inputValue(), 'theirs');
  await dialog.getByLabel('Description').fill('both');
  await dialog.getByRole('button', { name: 'Change', exact: true }).click();
  await dialog.waitFor({ state: 'detached' });
  assert.partialDeepStrictEqual(await api.must('GET', '/v1/projects/blue'), { description: 'both' });
});

/** Whoever comes back to a page sees what is there now: it is looked at again. */
async function comeBack(page: Page, path: string): Promise<void> {
  const answer = page.waitForResponse((response) => response.url().endsWith(path));
  await page.evaluate('document.dispatchEvent(new Event("visibilitychange"))');
  await (await answer).finished();
  // It is drawn after the answer has come.
  await page.evaluate('new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))');
}

test('what failed today is on the overview, however long ago it was asked for, and there is a way to all that failed', async () => {
  const { api, directory, loggedIn } = setting();
  await using stage = await setStage(() => api, directory);
  const fail = async (vm: string) => {
    stage.world.addVm('source', { id: vm, name: vm });
    stage.world.faults.arm('destination.prepare', 'before', { vm });
    const { id } = await stage.submit({ vm, retries: { max: 0, backOffMs: 100 } });
    assert.equal((await api.ended(id)).phase, 'failed');
    return id;
  };
  const redis = new Redis({ path: join(directory, 'redis', 'redis.sock') });
  const DAY_MS = 24 * 3_600_000;
  const ago = (days: number) => Date.now() - days * DAY_MS;
  const age = async (id: string, changes: Record<string, string>) => {
    const stored = JSON.parse((await redis.hget(keys.migration(id), 'record')) ?? '');
    Object.assign(stored.migration, changes);
    await redis.hset(keys.migration(id), 'record', JSON.stringify(stored));
    await redis.zadd(keys.index('phase', 'failed'), ago(3), id);
  };
  const createdAt = new Date(ago(3)).toISOString();
  await age(await fail('waited-long'), { createdAt });
  await age(await fail('failed-long-ago'), { createdAt, endedAt: new Date(ago(2)).toISOString() });
  redis.disconnect();
  await using reader = await loggedIn();
  const { page } = reader;
  await reader.visit('/');
  const failed = page.getByRole('region', { name: 'Failed in the last 24 hours' });
  await failed.getByRole('link', { name: 'waited-long' }).waitFor();
  assert.equal(await failed.getByRole('link', { name: 'failed-long-ago' }).count(), 0);
  // Of today by the orchestrator's clock: that of this browser is two days late.
  await using late = await loggedIn();
  await setClockOff(late.page, -2 * DAY_MS);
  await late.visit('/');
  const lately = late.page.getByRole('region', { name: 'Failed in the last 24 hours' });
  await lately.getByRole('link', { name: 'waited-long' }).waitFor();
  assert.equal(await late.page.getByRole('link', { name: 'failed-long-ago' }).count(), 0);
  await failed.getByRole('link', { name: 'All that failed' }).click();
  for (const name of ['waited-long', 'failed-long-ago']) await page.getByRole('link', { name }).waitFor();
});

async function showOlder(page: Page, rows: string): Promise<void> {
  const shown = page.locator(rows);
  await shown.first().waitFor();
  const before = await shown.count();
  assert.ok(before < MORE_THAN_A_PAGE, `${before}`);
  await page.getByRole('button', { name: 'Show older ones' }).click();
  await shown.nth(MORE_THAN_A_PAGE - 1).waitFor();
  assert.equal(await page.getByRole('button', { name: 'Show older ones' }).count(), 0);
}

test('every run of plans, and of one plan, can be reached', async () => {
  const { api, directory, loggedIn } = setting();
  await using stage = await setStage(() => api, directory);
  const { source, destination } = stage;
  const vms = [{ kind: 'vm', vm: stage.vmId, source: { endpoint: source }, destination: { endpoint: destination } }];
  await api.must('PUT', '/v1/plans/nightly', { waves: [{ name: 'all', vms }] });
  for (let i = 0; i < MORE_THAN_A_PAGE; i += 1) {
    await api.must('POST', '/v1/plans/nightly/runs', { mode: 'validate' });
  }
  await using reader = await loggedIn();
  for (const path of ['/plans', '/plans/nightly']) {
    await reader.visit(path);
    await showOlder(reader.page, 'tbody tr');
  }
});

test('every delivery of a webhook can be reached', async () => {
  const { api, loggedIn } = setting();
  await using receiver = await receiveWebhooks();
  await api.must('POST', '/v1/webhooks', { id: 'portal', url: receiver.url, events: ['migration.failed'] });
  for (let i = 0; i < MORE_THAN_A_PAGE; i += 1) await api.must('POST', '/v1/webhooks/portal/test');
  await receiver.until(MORE_THAN_A_PAGE);
  await using reader = await loggedIn();
  await reader.visit('/webhooks/portal');
  await showOlder(reader.page, 'ul.bare > li.card');
});
