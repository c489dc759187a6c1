/** Plans whose hosts take questions and never answer them, over REST, with a real Redis and hosts in memory. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PlanRun } from '../../apps/orchestrator/src/plans/record.ts';
import { OrchestratorProcess } from '../workflow/child.ts';
import { setStage, temporaryDirectory } from '../workflow/harness.ts';

const directory = await temporaryDirectory();
const orchestrator = new OrchestratorProcess(directory.path);
const api = () => orchestrator.api;
before(() => orchestrator.start());
after(async () => {
  await orchestrator[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});

async function ended(id: string, withinMs: number): Promise<PlanRun> {
  let run: PlanRun | undefined;
  for (const deadline = performance.now() + withinMs; performance.now() < deadline; await sleep(50)) {
    run = await api().must<PlanRun>('GET', `/v1/plan-runs/${id}`);
    if (run.endedAt !== null) return run;
  }
  assert.fail(`still ${JSON.stringify(run)}`);
}

test('a run whose host takes the question of what it has and never answers is cancelled at once, or ends and says so; a plan is stored meanwhile', async () => {
  await using stage = await setStage(api, directory.path);
  const { source, destination, world, vmName } = stage;
  const id = `silence-${vmName}`;
  const selector = { kind: 'host', source, destination: { endpoint: destination } };
  await api().must('PUT', `/v1/plans/${id}`, { waves: [{ vms: [selector] }] });
  const start = () => api().must<PlanRun>('POST', `/v1/plans/${id}/runs`, { mode: 'failover' });

  const first = world.faults.arm('source.inventory', 'hold-before');
  const run = await start();
  await first.reached;
  await api().must('POST', `/v1/plan-runs/${run.id}/cancel`);
  const cancelled = await ended(run.id, 10_000);
  assert.deepEqual([cancelled.phase, cancelled.message], ['cancelled', 'It was cancelled before anything moved.']);
  first.release();

  const holds = [1, 2].map(() => world.faults.arm('source.inventory', 'hold-before'));
  const [silent, stored] = await Promise.all([
    start().then((begun) => ended(begun.id, 40_000)),
    api().call('PUT', `/v1/plans/other-${id}`, { waves: [{ vms: [selector] }] }),
  ]);
  assert.equal(silent.phase, 'failed');
  assert.match(JSON.stringify(silent.reasons), /cannot be asked: it does not answer in time/);
  assert.equal(stored.status, 201, JSON.stringify(stored.body));
  for (const { release } of holds) release();
});
