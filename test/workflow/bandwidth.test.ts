/** Bandwidth limits of the whole, a link and a migration, while migrations run: through gateways, and without them. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Orchestrator } from '../../apps/orchestrator/src/main.ts';
import { Api, type Stage, setStage, startInProcess, temporaryDirectory } from './harness.ts';

const MB = 1_000_000;
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

/** Until both gateways of the migration have the limit. */
async function untilLimited({ world }: Stage, id: string, bytesPerSec: number | null): Promise<void> {
  const deadline = performance.now() + 10_000;
  for (;;) {
    const limits = [...world.gateways]
      .filter(([name]) => name.includes(id))
      .map(([, { bandwidthBytesPerSec }]) => bandwidthBytesPerSec);
    if (limits.length === 2 && limits.every((limit) => limit === bytesPerSec)) break;
    assert.ok(performance.now() < deadline, `limits of the gateways: ${limits}, not ${bytesPerSec}`);
    await sleep(20);
  }
  const { bandwidthShareBytesPerSec } = await api.until(id, (one) => one.bandwidthShareBytesPerSec === bytesPerSec);
  assert.equal(bandwidthShareBytesPerSec, bytesPerSec);
}

async function change(method: 'PATCH' | 'PUT', path: string, body: object): Promise<void> {
  const { status, body: answer } = await api.call(method, path, body, { 'if-match': '*' });
  assert.equal(status, 200, JSON.stringify(answer));
}

const moves = (id: string) => api.until(id, ({ progress }) => progress !== null);

test('a link’s limit is divided among those that run, anew whenever one begins or ends or a limit changes', async () => {
  await using stage = await setStage(() => api, directory.path);
  const link = `/v1/links/${stage.destination}~${stage.source}`;
  await change('PATCH', link, { limits: { bandwidthBytesPerSec: 40 * MB } });
  const options = { durationMs: 60_000 };
  const first = await stage.submit({ options });
  await untilLimited(stage, first.id, 40 * MB);
  const vm = randomUUID();
  stage.world.addVm('source', { id: vm, name: 'other' });
  const second = await stage.submit({ vm, options });
  await Promise.all([moves(first.id), moves(second.id)]);
  await untilLimited(stage, first.id, 20 * MB);
  await untilLimited(stage, second.id, 20 * MB);
  await change('PATCH', `/v1/migrations/${first.id}`, { bandwidthBytesPerSec: 5 * MB });
  await untilLimited(stage, first.id, 5 * MB);
  await untilLimited(stage, second.id, 35 * MB);
  await change('PATCH', '/v1/queue', { limits: { bandwidthBytesPerSec: 12 * MB } });
  await untilLimited(stage, second.id, 7 * MB);
  await change('PATCH', '/v1/queue', { limits: { bandwidthBytesPerSec: null } });
  await api.must('POST', `/v1/migrations/${second.id}/cancel`);
  await api.ended(second.id);
  await change('PATCH', `/v1/migrations/${first.id}`, { bandwidthBytesPerSec: null });
  await untilLimited(stage, first.id, 40 * MB);
  await change('PATCH', link, { limits: { bandwidthBytesPerSec: null } });
  await untilLimited(stage, first.id, null);
  await api.must('POST', `/v1/migrations/${first.id}/cancel`);
  await api.ended(first.id);
  assert.equal((await api.call('PATCH', `/v1/migrations/${first.id}`, { bandwidthBytesPerSec: MB })).status, 409);
});

test('without gateways the hypervisor is told; through gateways it is not', async () => {
  await using stage = await setStage(() => api, directory.path);
  const options = { durationMs: 60_000 };
  const { id } = await stage.submit({ transport: 'direct', bandwidthBytesPerSec: 9 * MB, options });
  await moves(id);
  assert.equal(stage.world.bandwidth(stage.vmId), 9 * MB);
  await change('PATCH', `/v1/migrations/${id}`, { bandwidthBytesPerSec: 3 * MB });
  await api.until(id, ({ bandwidthShareBytesPerSec }) => bandwidthShareBytesPerSec === 3 * MB);
  assert.equal(stage.world.bandwidth(stage.vmId), 3 * MB);
  await api.must('POST', `/v1/migrations/${id}/cancel`);
  await api.ended(id);

  const tunnelled = await stage.submit({ bandwidthBytesPerSec: 9 * MB, options });
  await moves(tunnelled.id);
  await untilLimited(stage, tunnelled.id, 9 * MB);
  assert.equal(stage.world.bandwidth(stage.vmId), null);
  await api.must('POST', `/v1/migrations/${tunnelled.id}/cancel`);
  await api.ended(tunnelled.id);
});

test('limits and a pause over the API: the record says why it waits, and goes on when it may', async () => {
  await using stage = await setStage(() => api, directory.path);
  const site = stage.source;
  await change('PUT', `/v1/sites/${site}/limits`, { maxMigrations: 0 });
  const { id } = await stage.submit();
  const { waiting } = await api.until(id, (one) => one.waiting !== null);
  assert.equal(waiting?.reason, `waits for a place: site ${site} allows 0`);
  assert.deepEqual(waiting?.blockedBy, [{ kind: 'site', id: site, limit: 0 }]);
  await change('PATCH', '/v1/queue', { paused: true });
  assert.equal((await api.migration(id)).waiting?.reason, 'the queue is paused');
  await change('PUT', `/v1/sites/${site}/limits`, { maxMigrations: 1 });
  await change('PATCH', '/v1/queue', { paused: false });
  const ended = await api.ended(id);
  assert.equal(ended.phase, 'succeeded', JSON.stringify(ended.error));
  assert.equal(ended.waiting, null);
  stage.assertClean(ended);
});
