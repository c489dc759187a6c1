/** The log of a migration: every line of a run names it, it stays with the record, bounded, fenced and without secrets. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { readConfig } from '../../apps/orchestrator/src/config.ts';
import { createLog } from '../../apps/orchestrator/src/log.ts';
import { type Orchestrator, startOrchestrator } from '../../apps/orchestrator/src/main.ts';
import type { MigrationLogEntry } from '../../apps/orchestrator/src/schemas/migration-log.ts';
import { Api, SHORT, setStage, simulatedParts, temporaryDirectory } from './harness.ts';

const directory = await temporaryDirectory();
const log = createLog('silent');
let orchestrator: Orchestrator;
let api: Api;
before(async () => {
  const config = readConfig({ ...SHORT, LMAS_DATA_DIR: directory.path });
  orchestrator = await startOrchestrator(config, log, simulatedParts);
  api = await Api.of(orchestrator);
});
after(async () => {
  await orchestrator.stop();
  await directory[Symbol.asyncDispose]();
});

/** The record's log, once it holds such a line. */
async function logOf(id: string, isAwaited: (entry: MigrationLogEntry) => boolean): Promise<MigrationLogEntry[]> {
  for (let tries = 0; ; tries++) {
    const { items } = await api.must<{ items: MigrationLogEntry[] }>('GET', `/v1/migrations/${id}/log`);
    if (items.some(isAwaited)) return items;
    assert.ok(tries < 100, JSON.stringify(items));
    await sleep(50);
  }
}

const phasesIn = (entries: readonly MigrationLogEntry[]) =>
  entries.filter(({ message }) => message === 'phase').map(({ fields }) => fields.phase);

test('it tells every phase, also of a process that prints nothing', async () => {
  await using stage = await setStage(() => api, directory.path);
  const { id } = await stage.submit();
  const { timeline } = await api.ended(id);
  const entries = await logOf(id, ({ fields }) => fields.phase === 'succeeded');
  const phases = timeline.map(({ phase }) => phase);
  assert.deepEqual(phasesIn(entries), phases.slice(1)); // it was queued by a request, not by a run
  assert.ok(entries.every(({ run, level }) => run === 1 && level === 'info'));
  assert.deepEqual(
    [...entries].sort((a, b) => (a.at < b.at ? -1 : 1)),
    entries,
  );
});

test('it says what went wrong, by code, without stacks and secrets', async () => {
  await using stage = await setStage(() => api, directory.path);
  stage.world.rates.set('source', 1); // it will not get far
  const { id } = await stage.submit();
  const line = { migration: id, run: 1, password: 'MARKED', deep: { privateKey: 'MARKED' } };
  const inner = new Error('text of an unknown error');
  await api.until(id, ({ phase }) => phase === 'performing');
  log.child({}, { level: 'info' }).warn({ ...line, err: inner }, 'told by a test');
  const entries = await logOf(id, ({ message }) => message === 'told by a test');
  await api.must('POST', `/v1/migrations/${id}/cancel`);
  await api.ended(id);
  const told = entries.find(({ message }) => message === 'told by a test');
  assert.equal(told?.level, 'warn');
  assert.equal(told?.error?.code, 'INTERNAL');
  const text = JSON.stringify(entries);
  for (const absent of ['MARKED', 'unknown error', 'stack', '.test.ts']) assert.ok(!text.includes(absent), absent);
});

test('nobody of another project reads it', async () => {
  await using stage = await setStage(() => api, directory.path);
  const { id } = await stage.submit();
  await api.ended(id);
  await api.must('POST', '/v1/projects', { id: 'tenant' });
  const key = await api.must<{ key: string }>('POST', '/v1/api-keys', { name: 'n', role: 'viewer', project: 'tenant' });
  assert.equal((await new Api(api.url, key.key).call('GET', `/v1/migrations/${id}/log`)).status, 404);
});
