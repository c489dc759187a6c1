/** What a run says while nobody knows where one of its VMs runs, and of VMs that somebody else moves. With a real Redis and hosts in memory. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PlanReport, PlanRun } from '../../apps/orchestrator/src/plans/record.ts';
import { OrchestratorProcess } from '../workflow/child.ts';
import { type Stage, setStage, temporaryDirectory } from '../workflow/harness.ts';

const directory = await temporaryDirectory();
const orchestrator = new OrchestratorProcess(directory.path, { LMAS_SETTLE_MS: '60000' });
const api = () => orchestrator.api;
before(() => orchestrator.start());
after(async () => {
  await orchestrator[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});

const MIGRATION = { options: { durationMs: 20 }, retries: { max: 0 } };

/** A pair of hosts with VMs of these names at the source, and a plan that moves them one after the other. */
async function planned(plan: string, ...names: string[]): Promise<Stage> {
  const stage = await setStage(api, directory.path);
  for (const name of names) stage.world.addVm('source', { id: randomUUID(), name });
  const ends = { source: { endpoint: stage.source }, destination: { endpoint: stage.destination } };
  const waves = [{ vms: names.map((vm) => ({ kind: 'vm', vm, ...ends })), concurrency: 1 }];
  await api().must('PUT', `/v1/plans/${plan}`, { waves, migration: MIGRATION });
  return stage;
}
const start = (plan: string) => api().must<PlanRun>('POST', `/v1/plans/${plan}/runs`, { mode: 'failover' });

async function until(id: string, condition: (run: PlanRun) => boolean): Promise<PlanRun> {
  let run: PlanRun | undefined;
  for (const deadline = performance.now() + 60_000; performance.now() < deadline; await sleep(50)) {
    run = await api().must<PlanRun>('GET', `/v1/plan-runs/${id}`);
    if (condition(run)) return run;
  }
  assert.fail(`still ${JSON.stringify(run)}`);
}
const ended = (id: string) => until(id, ({ endedAt }) => endedAt !== null);
const remaining = async (id: string) =>
  (await api().must<PlanReport>('GET', `/v1/plan-runs/${id}/report`)).summary.remaining;

test('two hosts that fall silent at the switch-over: the run says at once that nobody knows where the VM runs, until somebody does', async () => {
  await using stage = await planned('doubted', 'db-1');
  const hold = stage.world.faults.arm('destination.finish', 'hold-after');
  const { id } = await start('doubted');
  await hold.reached;
  const [moving] = await remaining(id);
  assert.deepEqual([moving?.at, moving?.why], [null, `It is on its way from ${stage.source} to ${stage.destination}.`]);
  stage.server.goAway();
  hold.release();
  const run = await until(id, ({ message }) => message.includes('nobody knows'));
  const migration = run.items[0]?.migrations[0];
  assert.deepEqual(
    [run.phase, run.message],
    ['running', `db-1: nobody knows where it runs; see lmas get ${migration}`],
  );
  const [left] = await remaining(id);
  assert.equal(left?.at, null);
  assert.match(left?.why ?? '', /Nobody knows where it runs; see lmas get m_\S+\. \S+/);
  const { byHand } = await api().must<{ byHand: string }>('GET', `/v1/migrations/${migration}`);
  assert.equal(run.items[0]?.findings.find(({ code }) => code === 'OUTCOME_UNKNOWN')?.remedy, byHand);
  await api().must('POST', `/v1/plan-runs/${id}/cancel`);
  assert.match((await until(id, () => true)).message, /^db-1: nobody knows .* A cancel was asked for/);
  stage.server.comeBack();
  const over = await ended(id);
  assert.deepEqual(
    over.items[0]?.findings.filter(({ code }) => code === 'OUTCOME_UNKNOWN'),
    [],
  );
  assert.doesNotMatch(over.message, /nobody knows/);
  assert.deepEqual(stage.world.violations, []);
});

test('a VM that another migration moves is found before anything of the run moves', async () => {
  await using stage = await planned('crossed', 'db-1', 'db-2');
  const hold = stage.world.faults.arm('destination.prepare', 'hold-before', { vm: 'db-2' });
  const { source, destination } = stage;
  const other = await api().must<{ id: string }>('POST', '/v1/migrations', {
    ...{ vm: 'db-2', source, destination, ...MIGRATION },
  });
  await hold.reached;
  const run = await ended((await start('crossed')).id);
  assert.deepEqual(
    run.items.map(({ state, migrations, findings: [first] }) => [state, migrations.length, first?.code]),
    [
      ['skipped', 0, undefined],
      ['refused', 0, 'VM_ALREADY_MIGRATING'],
    ],
  );
  assert.match(run.items[1]?.error?.message ?? '', new RegExp(other.id));
  assert.deepEqual([run.message, run.waves[0]?.state], ['The checks say no for db-2. Nothing was moved.', 'skipped']);
  const places = await remaining(run.id);
  assert.deepEqual(
    places.map(({ at }) => at),
    [source, null],
  );
  hold.release();
  for (const deadline = performance.now() + 30_000; performance.now() < deadline; await sleep(50)) {
    const { phase } = await api().must<{ phase: string }>('GET', `/v1/migrations/${other.id}`);
    if (phase === 'succeeded') return;
  }
  assert.fail('the other one did not end');
});
