/** There and back, and there and back again, of VMs whose disks are copied: over REST, with a real Redis and hosts in memory. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PlanRun } from '../../apps/orchestrator/src/plans/record.ts';
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

const COPIED = { options: { durationMs: 20, copyDisk: true }, retries: { max: 0 } };
const imageOf = (vm: string) => `/images/${vm}.img`;

async function ended(id: string): Promise<PlanRun> {
  let run: PlanRun | undefined;
  for (const deadline = performance.now() + 30_000; performance.now() < deadline; await sleep(50)) {
    run = await api().must<PlanRun>('GET', `/v1/plan-runs/${id}`);
    if (run.endedAt !== null) return run;
  }
  assert.fail(`still ${JSON.stringify(run)}`);
}
async function store(id: string, { source, destination, vmId }: Stage, more: object = {}): Promise<void> {
  const vm = { kind: 'vm', vm: vmId, source: { endpoint: source }, destination: { endpoint: destination } };
  await api().must('PUT', `/v1/plans/${id}`, { waves: [{ vms: [vm], ...more }], migration: COPIED });
}
const start = async (id: string) =>
  await ended((await api().must<PlanRun>('POST', `/v1/plans/${id}/runs`, { mode: 'failover' })).id);
const failBack = async ({ id }: PlanRun) =>
  await ended((await api().must<PlanRun>('POST', `/v1/plan-runs/${id}/fail-back`)).id);
const succeeded = (run: PlanRun): PlanRun => {
  assert.equal(run.phase, 'succeeded', JSON.stringify(run));
  return run;
};

test('fail-over, fail-back, fail-over, fail-back: each copies over what the way before has left, and over nothing else', async () => {
  await using stage = await setStage(api, directory.path);
  const { world, vmId } = stage;
  const id = `chain-${stage.vmName}`;
  await store(id, stage);
  for (const writes of [1, 2, 3]) {
    const there = succeeded(await start(id));
    assert.deepEqual(world.images.at('destination', imageOf(vmId)), { usedBy: vmId, writes });
    assert.deepEqual(world.running(vmId), ['destination']);
    succeeded(await failBack(there));
    assert.deepEqual(world.images.at('destination', imageOf(vmId)), { usedBy: null, writes }, 'it is kept there');
    assert.deepEqual(world.running(vmId), ['source']);
  }
  assert.deepEqual(world.violations, []);
});

test('what lies there and LMAS has not left is never copied over, nor what another VM uses by now', async () => {
  await using stage = await setStage(api, directory.path);
  const { world, vmId } = stage;
  const id = `strange-${stage.vmName}`;
  await store(id, stage);
  const refusedBy = async (code: string) => {
    const before = world.images.at('destination', imageOf(vmId));
    const run = await start(id);
    assert.deepEqual([run.phase, run.items[0]?.error?.code], ['failed', code], JSON.stringify(run));
    assert.deepEqual(world.images.at('destination', imageOf(vmId)), before);
    assert.deepEqual(world.running(vmId), ['source']);
  };
  world.images.put('destination', imageOf(vmId), null);
  await refusedBy('DESTINATION_DISK_EXISTS');

  world.images.delete('destination', imageOf(vmId));
  succeeded(await failBack(succeeded(await start(id))));
  world.images.put('destination', imageOf(vmId), randomUUID());
  await refusedBy('DESTINATION_DISK_IN_USE');

  // Somebody has taken it home by other means: what lies there is as that one has left it.
  world.images.put('destination', imageOf(vmId), null);
  succeeded(await start(id));
  world.removeVm('destination', vmId);
  world.addVm('source', { id: vmId, name: stage.vmName });
  await refusedBy('DESTINATION_DISK_EXISTS');
});

test('after a wave that was rolled back another plan, and then an evacuation, finds what was left as well', async () => {
  await using stage = await setStage(api, directory.path);
  const { world, vmId, source, destination } = stage;
  const second = randomUUID();
  world.addVm('source', { id: second, name: 'second' });
  const id = `rolled-${stage.vmName}`;
  const vms = [vmId, second].map((vm) => ({
    ...{ kind: 'vm', vm, source: { endpoint: source }, destination: { endpoint: destination } },
  }));
  const wave = { vms, concurrency: 1, onFailure: 'roll-back' };
  await api().must('PUT', `/v1/plans/${id}`, { waves: [wave], migration: COPIED });
  world.faults.arm('source.perform', 'before', { vm: second });
  const rolled = await start(id);
  assert.deepEqual(
    rolled.items.map(({ state }) => state),
    ['moved-back', 'failed'],
    JSON.stringify(rolled),
  );
  await store(`${id}-alone`, stage);
  succeeded(await failBack(succeeded(await start(`${id}-alone`))));
  const ends = { source: { endpoint: source }, destination: { endpoint: destination } };
  const evacuation = await api().must<PlanRun>('POST', '/v1/evacuations', { ...ends, migration: COPIED });
  succeeded(await ended(evacuation.id));
  assert.equal(world.images.at('destination', imageOf(vmId))?.writes, 3);
  assert.deepEqual([world.running(vmId), world.running(second)], [['destination'], ['destination']]);
});
