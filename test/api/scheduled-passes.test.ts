/** Balancing passes by schedules over REST, with a real Redis and hosts in memory; killed and started again. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BalancingRun } from '../../apps/orchestrator/src/balancing/run-record.ts';
import type { BalancingPass } from '../../apps/orchestrator/src/balancing/types.ts';
import type { HistoryEntry } from '../../apps/orchestrator/src/schedules/record.ts';
import { OrchestratorProcess } from '../workflow/child.ts';
import { type Stage, setStage, temporaryDirectory } from '../workflow/harness.ts';

const directory = await temporaryDirectory();
const orchestrator = new OrchestratorProcess(directory.path);
const api = () => orchestrator.api;
before(() => orchestrator.start());
after(async () => {
  await orchestrator[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});

const YEARLY = { kind: 'cron', expression: '0 0 1 1 *' };

/** A host of which two VMs use too much, a policy for it that makes no pass unless it is asked, and a schedule that asks. */
async function scheduled(id: string, policy: object = {}): Promise<Stage> {
  const stage = await setStage(api, directory.path);
  const endpoints = [stage.source, stage.destination];
  stage.world.setUse(stage.vmId, { cpuCores: 30 });
  stage.world.addVm('source', { id: `${id}-pinned`, name: `${id}-pinned`, cpuCores: 29 });
  const quick = { measureMs: 200, confirmPasses: 1, memory: { weight: 0 }, rules: { pinned: [`${id}-pinned`] } };
  const asked = { id, endpoints, mode: 'automatic', passes: 'asked', ...quick, ...policy };
  await api().must('POST', '/v1/balancing-policies', asked);
  await api().must('POST', '/v1/schedules', { id, action: { kind: 'balancing', policy: id }, trigger: YEARLY });
  return stage;
}
const historyOf = async (id: string) =>
  (await api().must<{ items: HistoryEntry[] }>('GET', `/v1/schedules/${id}/history`)).items;
const passesOf = async (id: string) =>
  (await api().must<{ items: BalancingPass[] }>('GET', `/v1/balancing-policies/${id}/passes`)).items;

async function until(id: string, event: HistoryEntry['event']): Promise<HistoryEntry> {
  for (const deadline = performance.now() + 30_000; performance.now() < deadline; await sleep(50)) {
    const found = (await historyOf(id)).find((entry) => entry.event === event);
    if (found !== undefined) return found;
  }
  assert.fail(`${id} never ${event}: ${JSON.stringify(await historyOf(id))}`);
}

test('a pass begins at its time, moves the right VM, and the history tells how it ended', async () => {
  await using stage = await scheduled('evening');
  assert.deepEqual(await passesOf('evening'), [], 'not before it is asked');
  const trigger = { kind: 'once', at: new Date(Date.now() + 400).toISOString() };
  await api().must('POST', '/v1/schedules', { id: 'once', action: { kind: 'balancing', policy: 'evening' }, trigger });
  const { run, message } = await until('once', 'succeeded');
  assert.match(message, /^Pass 1 decided on 1 move\. 1 of 1 begun arrived\.$/);
  assert.deepEqual([stage.world.running(stage.vmId), stage.world.violations], [['destination'], []]);
  const [pass, ...more] = await passesOf('evening');
  assert.deepEqual([pass?.run, more], [run?.id, []]);
  const { phase, policy } = await api().must<BalancingRun>('GET', `/v1/balancing-runs/${run?.id}`);
  assert.deepEqual([phase, policy], ['succeeded', 'evening']);
  const refused = await api().call('DELETE', '/v1/balancing-policies/evening');
  assert.deepEqual([refused.status, refused.body.code], [409, 'IN_USE']);
  assert.match(String(refused.body.detail), /ordered by schedule evening/);
  await api().must('DELETE', '/v1/schedules/evening');
  assert.equal((await api().call('DELETE', '/v1/balancing-policies/evening')).status, 204);
});

test('killed between its pass and the migration: one pass, one migration', async () => {
  await using stage = await scheduled('killed');
  const hold = stage.world.faults.arm('source.find', 'hold-before'); // the check right before the submission
  await api().must('POST', '/v1/schedules/killed/run');
  await hold.reached;
  await orchestrator.end('SIGKILL');
  await orchestrator.start();
  hold.release();
  await until('killed', 'succeeded');
  assert.equal((await historyOf('killed')).filter(({ event }) => event === 'started').length, 1);
  assert.equal((await passesOf('killed')).length, 1);
  assert.equal(stage.world.performs.get(stage.vmId), 1);
});

test('replaced by the next run, its migration is cancelled first', async () => {
  await using stage = await scheduled('replaced');
  const hold = stage.world.faults.arm('source.perform', 'hold-before');
  await api().must('POST', '/v1/schedules/replaced/run');
  await hold.reached;
  const seen = await api().call('GET', '/v1/schedules/replaced');
  const trigger = { kind: 'once', at: new Date(Date.now() + 300).toISOString() };
  const match = { 'if-match': seen.headers.get('etag') ?? '' };
  const changed = await api().call('PATCH', '/v1/schedules/replaced', { trigger, overlap: 'replace' }, match);
  assert.equal(changed.status, 200, JSON.stringify(changed.body));
  await until('replaced', 'waits');
  hold.release();
  await until('replaced', 'cancelled');
  for (const deadline = performance.now() + 20_000; ; await sleep(50)) {
    const started = (await historyOf('replaced')).filter(({ event }) => event === 'started');
    if (started.length === 2) break;
    assert.ok(performance.now() < deadline, JSON.stringify(await historyOf('replaced')));
  }
  assert.deepEqual(stage.world.violations, []);
});

test('proposals are not waited for; a paused policy refuses; one that is not there, or not theirs, is told at once', async () => {
  await using stage = await scheduled('asking', { mode: 'propose' });
  await api().must('POST', '/v1/schedules/asking/run');
  assert.equal((await until('asking', 'succeeded')).message, 'Pass 1 proposes 1 move.');
  await api().must('POST', '/v1/balancing-policies/asking/pause');
  await api().must('POST', '/v1/schedules/asking/run');
  assert.equal((await until('asking', 'refused')).code, 'BALANCING_PAUSED');
  const schedule = { id: 'x', action: { kind: 'balancing', policy: 'nowhere' }, trigger: YEARLY };
  const refused = await api().call('POST', '/v1/schedules', schedule);
  assert.deepEqual([refused.status, refused.body.code], [422, 'INVALID_SCHEDULE']);
  assert.match(JSON.stringify(refused.body.errors), /there is no balancing policy nowhere/);
  await api().must('POST', '/v1/projects', { id: 'tenant', endpoints: [stage.source, stage.destination] });
  const login = { name: 't', role: 'operator', project: 'tenant' };
  const { key } = await api().must<{ key: string }>('POST', '/v1/api-keys', login);
  const theirs = { ...schedule, action: { kind: 'balancing', policy: 'asking' } };
  const foreign = await api().call('POST', '/v1/schedules', theirs, { authorization: `Bearer ${key}` });
  assert.match(JSON.stringify(foreign.body.errors), /there is no balancing policy asking/, 'they see none');
});
