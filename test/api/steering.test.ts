/** What can be changed of a migration after it was submitted, against a simulated pre-copy that may not converge. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Orchestrator } from '../../apps/orchestrator/src/main.ts';
import type { Migration, MigrationEvent } from '../../apps/orchestrator/src/migrations/record.ts';
import { type Answer, Api, type Stage, setStage, startInProcess, temporaryDirectory } from '../workflow/harness.ts';

const directory = await temporaryDirectory();
let orchestrator: Orchestrator;
let api: Api;
before(async () => {
  orchestrator = await startInProcess(directory.path);
  api = await Api.of(orchestrator);
});
after(async () => {
  await orchestrator.stop();
  await directory[Symbol.asyncDispose]();
});
const change = (id: string, changes: object) => api.call('PATCH', `/v1/migrations/${id}`, changes);
const refused = ({ status, body }: Answer, expected: number, code: string) =>
  assert.deepEqual([status, body.code], [expected, code], JSON.stringify(body));

/** A guest that writes twice as fast as the link of this world carries: pre-copy alone never ends. */
async function restless(): Promise<Stage & { readonly busy: string }> {
  const stage = await setStage(() => api, directory.path);
  stage.world.rates.set('source', 100 << 20);
  const busy = `busy-${stage.vmId}`;
  stage.world.addVm('source', { id: busy, name: busy, memoryBytes: 20 << 20, dirtyRateBytesPerSec: 200 << 20 });
  return { ...stage, busy };
}
const inPass = (pass: number) => (migration: Migration) => (migration.progress?.iteration ?? 0) >= pass;

test('a guest that is never to be paused goes on for ever, until it must finish', async () => {
  await using stage = await restless();
  const { id } = await stage.submit({ vm: stage.busy, convergence: 'never-pause' });
  await api.until(id, inPass(4));
  const asked = { convergence: 'must-finish', bandwidthBytesPerSec: 90 << 20 };
  const changed = await change(id, asked);
  assert.equal(changed.status, 200);
  assert.deepEqual(changed.body.changes, asked);
  const ended = await api.ended(id);
  assert.equal(ended.phase, 'succeeded');
  assert.equal(ended.request.convergence, 'never-pause', 'the request stays as it was sent');
  const response = await fetch(`${api.url}/v1/migrations/${id}/events`, {
    headers: { authorization: `Bearer ${api.key}` },
  });
  const events = (await response.text())
    .match(/^data: .*$/gm)
    ?.map((line) => JSON.parse(line.slice(6)) as MigrationEvent);
  assert.ok(events?.some(({ type, message }) => type === 'log' && message.includes('changed to must-finish')));
  assert.ok(events?.some(({ type, message }) => type === 'log' && message.includes('at most 755 Mbit/s of bandwidth')));
});

test('a longer pause is enough, and counts for more than the policy', async () => {
  await using stage = await restless();
  const { id } = await stage.submit({ vm: stage.busy, convergence: 'never-pause' });
  await api.until(id, inPass(3));
  await change(id, { maxDowntimeMs: 60_000 });
  assert.equal((await api.ended(id)).phase, 'succeeded');
});

test('one that waits begins with what was asked for meanwhile', async () => {
  await using stage = await restless();
  await api.must('PATCH', '/v1/queue', { paused: true });
  const { id } = await stage.submit({ vm: stage.busy, convergence: 'never-pause' });
  await change(id, { convergence: 'must-finish' });
  const both = await change(id, { maxDowntimeMs: null });
  assert.deepEqual(both.body.changes, { convergence: 'must-finish', maxDowntimeMs: null });
  await api.must('PATCH', '/v1/queue', { paused: false });
  const ended = await api.ended(id);
  assert.deepEqual([ended.phase, ended.changes.convergence], ['succeeded', 'must-finish']);
});

test('what cannot be changed any more, or cannot be, is refused', async () => {
  await using stage = await setStage(() => api, directory.path);
  const { id } = await stage.submit();
  await api.ended(id);
  refused(await change(id, { convergence: 'must-finish' }), 409, 'ALREADY_ENDED');
  refused(await change(`m_${crypto.randomUUID()}`, {}), 404, 'MIGRATION_NOT_FOUND');
  refused(await change(id, { convergence: 'post-copy' }), 400, 'INVALID_REQUEST');
  refused(await change(id, { phase: 'succeeded' }), 400, 'INVALID_REQUEST');
  refused(await change(id, { bandwidthBytesPerSec: 0 }), 400, 'INVALID_REQUEST');
});

test('a failed migration is tried again as a new one, which names the old', async () => {
  await using stage = await setStage(() => api, directory.path);
  const failed = await stage.submit({ vm: 'no-such-vm', labels: { a: 'b' } });
  assert.equal((await api.ended(failed.id)).phase, 'failed');
  const key = { 'idempotency-key': `retry-${failed.id}` };
  const again = await api.call('POST', `/v1/migrations/${failed.id}/retry`, undefined, key);
  assert.equal(again.status, 202);
  assert.equal(again.headers.get('location'), `/v1/migrations/${again.body.id}`);
  assert.equal(again.body.retryOf, failed.id);
  const twice = await api.call('POST', `/v1/migrations/${failed.id}/retry`, undefined, key);
  assert.equal(twice.body.id, again.body.id, 'the same key is the same retry');
  await api.ended(String(again.body.id));
  const { id } = await stage.submit();
  await api.ended(id);
  refused(await api.call('POST', `/v1/migrations/${id}/retry`), 409, 'NOTHING_TO_RETRY');
});
