/** Plans and evacuations of VMs that are powered off, over REST, with a real Redis and hosts in memory. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PlanReport, PlanRun } from '../../apps/orchestrator/src/plans/record.ts';
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

const QUICK = { options: { durationMs: 20 }, retries: { max: 0 } };

/** Its own VM runs; `off` and `paused` do not. */
async function setThree(): Promise<{ stage: Stage; ids: { off: string; paused: string } } & AsyncDisposable> {
  const stage = await setStage(api, directory.path);
  const ids = { off: randomUUID(), paused: randomUUID() };
  for (const [name, id] of Object.entries(ids)) stage.world.addVm('source', { id, name });
  stage.world.powerOff('source', ids.off);
  Object.assign(stage.world.vm('source', ids.paused) ?? {}, { presence: 'paused' });
  return { stage, ids, [Symbol.asyncDispose]: () => stage[Symbol.asyncDispose]() };
}

async function ended(id: string): Promise<PlanRun> {
  let run: PlanRun | undefined;
  for (const deadline = performance.now() + 30_000; performance.now() < deadline; await sleep(50)) {
    run = await api().must<PlanRun>('GET', `/v1/plan-runs/${id}`);
    if (run.endedAt !== null) return run;
  }
  assert.fail(`still ${JSON.stringify(run)}`);
}
const states = ({ items }: PlanRun) => Object.fromEntries(items.map(({ vm, state }) => [vm.name, state]));
const hostsOf = ({ world }: Stage, id: string) => world.hosts.filter((host) => world.vm(host, id) !== undefined);

test('an evacuation empties its host: what is off moves as it is, what is paused is told of, and then it has failed; it all comes back', async () => {
  await using set = await setThree();
  const { stage, ids } = set;
  const ends = { source: { endpoint: stage.source }, destination: { endpoint: stage.destination } };
  const { id } = await api().must<PlanRun>('POST', '/v1/evacuations', { ...ends, migration: QUICK });
  const run = await ended(id);
  const notEmpty = `Every running VM has moved. 1 that is neither running nor off was left at ${stage.source}: paused.`;
  assert.deepEqual([run.phase, run.message], ['failed', notEmpty], JSON.stringify(run));
  assert.deepEqual(states(run), { [stage.vmName]: 'moved', off: 'moved', paused: 'left' });
  assert.deepEqual([hostsOf(stage, ids.off), hostsOf(stage, ids.paused)], [['destination'], ['source']]);
  assert.equal(stage.world.vm('destination', ids.off)?.presence, 'stopped');
  const [off] = run.items.filter(({ vm }) => vm.name === 'off');
  assert.deepEqual([off?.powerState, off?.sourceAfter], ['off', 'absent']);
  assert.deepEqual(
    off?.findings.map(({ code }) => code).filter((code) => code === 'POWERED_OFF'),
    ['POWERED_OFF'],
    'said once',
  );
  assert.equal(stage.world.performs.get(ids.off), undefined);

  const { summary, timeline } = await api().must<PlanReport>('GET', `/v1/plan-runs/${id}/report`);
  assert.deepEqual([summary.moved.toSorted(), summary.poweredOff], [[stage.vmName, 'off'].toSorted(), ['off']]);
  assert.match(summary.remaining[0]?.why ?? '', /paused is paused/);
  assert.ok(timeline.some(({ message }) => message === 'It has moved, powered off as it was.'));
  const page = await fetch(`${api().url}/v1/plan-runs/${id}/report.html`, {
    headers: { authorization: `Bearer ${api().key}` },
  });
  assert.match(await page.text(), /moved, powered off/);

  const back = await ended((await api().must<PlanRun>('POST', `/v1/plan-runs/${id}/fail-back`)).id);
  assert.deepEqual(states(back), { [stage.vmName]: 'moved', off: 'moved' }, JSON.stringify(back));
  assert.deepEqual([hostsOf(stage, ids.off), stage.world.violations], [['source'], []]);
});

test('a plan refuses it unless it says what is to become of it; a drill leaves it; a wave that is rolled back takes it back', async () => {
  await using set = await setThree();
  const { stage, ids } = set;
  const place = { source: { endpoint: stage.source }, destination: { endpoint: stage.destination } };
  const vms = ['off', stage.vmId].map((vm) => ({ kind: 'vm', vm, ...place }));
  const waves = [{ vms, concurrency: 1, onFailure: 'roll-back' }];
  const id = `off-${stage.vmName}`;
  const refused = await api().call('PUT', `/v1/plans/${id}`, { waves, migration: QUICK });
  assert.equal(refused.body.code, 'INVALID_PLAN');
  assert.match(JSON.stringify(refused.body.errors), /say `poweredOff: move` or `leave`/);
  await api().must('PUT', `/v1/plans/${id}`, { waves, migration: QUICK, poweredOff: 'move', drill: { keepMs: 0 } });
  const start = async (mode: string) =>
    await ended((await api().must<PlanRun>('POST', `/v1/plans/${id}/runs`, { mode })).id);

  const validated = await start('validate');
  assert.deepEqual(states(validated), { off: 'checked', [stage.vmName]: 'checked' }, JSON.stringify(validated));
  const drill = await start('drill');
  const rehearsed = { off: 'left', [stage.vmName]: 'rehearsed' };
  assert.deepEqual([drill.phase, states(drill)], ['succeeded', rehearsed], JSON.stringify(drill.items));

  stage.world.faults.arm('source.perform', 'before', { vm: stage.vmId });
  const failed = await start('failover');
  assert.deepEqual([failed.phase, states(failed)], ['failed', { off: 'moved-back', [stage.vmName]: 'failed' }]);
  assert.deepEqual([hostsOf(stage, ids.off), stage.world.violations], [['source'], []]);
});
