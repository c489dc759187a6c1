/** What only a person can bring further: lists show it until somebody has said that it is done, or it has come to an end. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Orchestrator } from '../../apps/orchestrator/src/main.ts';
import type { Migration } from '../../apps/orchestrator/src/migrations/record.ts';
import { Api, type Stage, setStage, startInProcess, temporaryDirectory } from './harness.ts';

const directory = await temporaryDirectory();
let orchestrator: Orchestrator;
let api: Api;
before(async () => {
  orchestrator = await startInProcess(directory.path, { LMAS_SETTLE_MS: '1000' });
  api = await Api.of(orchestrator);
});
after(async () => {
  await orchestrator.stop();
  await directory[Symbol.asyncDispose]();
});

/** Ids of those of one stage that need a person. */
async function needing({ source }: Stage, more = ''): Promise<string[]> {
  const path = `/v1/migrations?needs=person&endpoint=${source}${more}`;
  return (await api.must<{ items: Migration[] }>('GET', path)).items.map(({ id }) => id);
}

/** The memory has arrived, the destination is away, and nobody knows which copy may go on. */
async function endedUnclear(stage: Stage, request: object): Promise<Migration> {
  const hold = stage.world.faults.arm('source.perform', 'hold-after');
  const { id } = await stage.submit(request);
  await hold.reached;
  assert.deepEqual(await needing(stage), [], 'while it runs nobody is needed');
  stage.server.goAway('destination');
  hold.release();
  const ended = await api.ended(id);
  assert.equal(ended.where, 'unknown');
  return ended;
}

const say = (id: string, note = 'runs at the source again') =>
  api.call('POST', `/v1/migrations/${id}/done-by-hand`, { note });

test('a VM that nobody knows the place of needs a person until somebody says that it is done', async () => {
  await using stage = await setStage(() => api, directory.path);
  const { id, teardown } = await endedUnclear(stage, { transport: 'direct', options: { durationMs: 20 } });
  assert.equal(teardown, 'incomplete', 'its VM is kept');
  assert.deepEqual(await needing(stage), [id]);
  assert.deepEqual(await needing(stage, '&phase=succeeded'), [], 'together with other filters');
  assert.equal((await api.call('POST', `/v1/migrations/${id}/done-by-hand`, {})).status, 400, 'it takes a note');
  const said = await say(id);
  assert.equal(said.status, 200);
  assert.equal((said.body as unknown as Migration).doneByHand?.note, 'runs at the source again');
  await api.until(id, (each) => each.teardown === 'complete');
  assert.deepEqual(await needing(stage), []);
  assert.equal((await say(id, 'or not')).status, 200, 'safe to repeat');
  const { doneByHand, where, byHand } = await api.migration(id);
  assert.deepEqual([doneByHand?.note, where], ['runs at the source again', 'unknown']);
  assert.notEqual(byHand, null, 'what was asked for stays to be read');
  const audit = await api.must<{ items: { target: string }[] }>('GET', '/v1/audit?operation=markDoneByHand');
  assert.ok(audit.items.some(({ target }) => target.includes(id)));
});

test('what could not be taken down needs a person whatever was said, until it is gone or given up', async () => {
  await using stage = await setStage(() => api, directory.path);
  const { id, teardown } = await endedUnclear(stage, { options: { durationMs: 20, createVolume: true } });
  assert.equal(teardown, 'incomplete');
  assert.equal((await say(id)).status, 200);
  assert.deepEqual(await needing(stage), [id]);
  await api.must('POST', `/v1/migrations/${id}/give-up-teardown`, { reason: 'burnt down' });
  await api.until(id, (each) => each.teardown === 'given-up');
  assert.deepEqual(await needing(stage), []);
});

test('what is to be done by hand stays on the list when machines are given up, until somebody says that it is done', async () => {
  await using stage = await setStage(() => api, directory.path);
  const { id } = await endedUnclear(stage, { options: { durationMs: 20, createVolume: true } });
  await api.must('POST', `/v1/migrations/${id}/give-up-teardown`, { reason: 'burnt down' });
  await api.until(id, (each) => each.teardown === 'given-up');
  assert.deepEqual(await needing(stage), [id]);
  assert.equal((await say(id)).status, 200);
  assert.deepEqual(await needing(stage), []);
});

test('a machine that comes back needs nobody any more', async () => {
  await using stage = await setStage(() => api, directory.path);
  const hold = stage.world.faults.arm('gateway.start', 'hold-after');
  const { id } = await stage.submit({ retries: { max: 0, backOffMs: 100 } });
  await hold.reached;
  stage.server.goAway();
  hold.release();
  await api.until(id, ({ teardown }) => teardown === 'incomplete');
  assert.deepEqual(await needing(stage), [id]);
  const early = await say(id);
  assert.deepEqual([early.status, early.body.code], [409, 'NOTHING_BY_HAND'], 'it asks for nothing');
  stage.server.comeBack();
  await api.until(id, ({ teardown }) => teardown === 'complete');
  assert.deepEqual(await needing(stage), []);
});

test('nobody says of a migration that is under way, or not there, that it is done', async () => {
  await using stage = await setStage(() => api, directory.path);
  const hold = stage.world.faults.arm('source.perform', 'hold-before');
  const { id } = await stage.submit({});
  await hold.reached;
  assert.equal((await say(id)).body.code, 'NOTHING_BY_HAND');
  assert.equal((await say('m_00000000-0000-4000-8000-000000000000')).body.code, 'MIGRATION_NOT_FOUND');
  hold.release();
  await api.ended(id);
  assert.deepEqual(await needing(stage), []);
});
