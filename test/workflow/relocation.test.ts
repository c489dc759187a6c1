/**
 * VMs that are powered off, moved: every step failed before it, after its effect and with its reply lost, cancelled in it, and killed in
 * it. Then the VM is at one end alone, off, as its record says; it can be started there, and nothing is left.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ArmedFault, FaultKind } from '@lmas/plugin-simulated/world';
import type { Orchestrator } from '../../apps/orchestrator/src/main.ts';
import type { Migration } from '../../apps/orchestrator/src/migrations/record.ts';
import { OrchestratorProcess } from './child.ts';
import { Api, type Stage, type StageInput, setStage, startInProcess, temporaryDirectory } from './harness.ts';
import { FAULTS, HOLDS } from './matrix.ts';

interface Step {
  readonly step: string;
  readonly call: string;
  /** How many calls of the same name the steps before it make. */
  readonly skip: number;
  /** What a cancel in it is answered with, and how it ends then. */
  readonly cancel: readonly [status: number, phase: Migration['phase']];
}

const STOPPED = [202, 'cancelled'] as const;
const PLACED = [409, 'succeeded'] as const;
const step = (name: string, call: string, cancel: Step['cancel'] = STOPPED, skip = 0): Step => ({
  ...{ step: name, call, cancel, skip },
});

const STEPS: readonly Step[] = [
  step('check', 'source.login'),
  step('check', 'source.find'),
  step('check', 'destination.look'),
  step('provision', 'gateway.start'),
  step('provision', 'gateway.configure'),
  step('prepare', 'source.keep-off'),
  step('prepare', 'destination.receive-disk'),
  step('connect', 'gateway.route'),
  step('copy', 'source.send-disk'),
  step('place: look', 'source.look', PLACED),
  step('place: hold', 'destination.hold', PLACED),
  step('place: leave the source', 'source.forget', PLACED),
  step('place: let go', 'destination.let-go', PLACED),
  step('teardown', 'gateway.remove', PLACED),
  step('teardown', 'source.let-be', PLACED),
];
const nameOf = ({ step: name, call }: Step): string => `${name}: ${call}`;
const arm = ({ world }: Stage, { call, skip }: Step, kind: FaultKind): ArmedFault =>
  world.faults.arm(call, kind, { skip });

const OFF = {
  powerState: 'off',
  options: { durationMs: 30 },
  // What a busy machine costs (a lease that lapses, a group that is long in coming) is not what is tried here.
  retries: { max: 10, backOffMs: 100 },
  timeouts: { checkingMs: 300_000 },
} satisfies StageInput;

const isWhole = ({ phase, teardown }: Migration): boolean =>
  ['succeeded', 'failed', 'cancelled'].includes(phase) && (teardown === 'complete' || teardown === 'not-needed');

/** It is off at one end alone, the one that the record names, and can be started there. */
function assertAtRest({ world, vmId }: Stage, migration: Migration): void {
  const summary = JSON.stringify({ ...migration, request: undefined, timeline: undefined });
  assert.deepEqual(world.violations, [], summary);
  assert.deepEqual(world.running(vmId), [], summary);
  const there = world.hosts.filter((host) => world.vm(host, vmId) !== undefined);
  assert.deepEqual(there, [migration.phase === 'succeeded' ? 'destination' : 'source'], summary);
  assert.equal(world.vm(there[0] ?? '', vmId)?.heldBy, undefined, summary);
  if (migration.vm.id !== null) assert.equal(migration.where, there[0], summary);
  assert.deepEqual([...world.gateways.keys()], [], summary);
  assert.deepEqual([...world.relocations.keptOff.keys()], [], summary);
  if (there[0] === 'source') assert.deepEqual([...world.relocations.disks.keys()], [], summary);
  assert.deepEqual([migration.leftovers, migration.byHand], [[], null], summary);
  assert.equal(world.performs.get(vmId), undefined, 'nothing was moved live');
}

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

async function setOff(getApi: () => Api, path: string): Promise<Stage> {
  const stage = await setStage(getApi, path);
  stage.world.powerOff('source', stage.vmId);
  return stage;
}
const setting = () => setOff(() => api, directory.path);
const whole = (id: string) => api.until(id, isWhole);

describe('a VM that is powered off', { concurrency: 8 }, () => {
  for (const transport of ['tunnel', 'direct'] as const) {
    test(`moves as it is, and stays off (${transport})`, async () => {
      await using stage = await setting();
      const submitted = await stage.submit({ ...OFF, transport });
      assert.equal(submitted.purpose, 'relocation');
      const ended = await whole(submitted.id);
      assert.deepEqual([ended.phase, ended.where, ended.error], ['succeeded', 'destination', null]);
      assert.notEqual(ended.pointOfNoReturnAt, null);
      assertAtRest(stage, ended);
      stage.world.start('destination', stage.vmId);
    });
  }

  test('is refused by a live move, which says how it can be moved; one that runs is refused by this one', async () => {
    await using stage = await setting();
    const live = await whole((await stage.submit({ options: OFF.options })).id);
    assert.deepEqual([live.phase, live.error?.code], ['failed', 'CHECK_FAILED']);
    assert.match(live.error?.remedy ?? '', /powerState `off`/);
    stage.world.start('source', stage.vmId);
    const off = await whole((await stage.submit(OFF)).id);
    assert.deepEqual([off.phase, off.error?.code, off.where], ['failed', 'CHECK_FAILED', 'source']);
    assert.deepEqual(stage.world.running(stage.vmId), ['source']);
  });

  test('is checked as it would be moved, and cannot be rehearsed', async () => {
    await using stage = await setting();
    const ends = { vm: stage.vmId, source: stage.source, destination: stage.destination };
    const check = await api.must<{ ok: boolean; memoryBytes: number; diskBytes: number }>(
      'POST',
      '/v1/migration-checks',
      { ...ends, powerState: 'off' },
    );
    assert.deepEqual([check.ok, check.memoryBytes, check.diskBytes > 0], [true, 0, true]);
    const drill = await api.call('POST', '/v1/migrations', { ...ends, powerState: 'off', drill: {} });
    assert.deepEqual([drill.status, drill.body.code], [422, 'DRILL_NOT_SUPPORTED']);
  });

  test('that somebody starts before it is placed stays, and everything is undone', async () => {
    await using stage = await setting();
    const hold = stage.world.faults.arm('source.forget', 'hold-before');
    const { id } = await stage.submit(OFF);
    await hold.reached;
    assert.throws(() => stage.world.start('destination', stage.vmId), 'nobody can start what is held');
    stage.world.start('source', stage.vmId);
    hold.release();
    const ended = await whole(id);
    assert.deepEqual([ended.phase, ended.error?.code, ended.where], ['failed', 'NOT_MIGRATABLE', 'source']);
    assert.deepEqual([stage.world.running(stage.vmId), stage.world.violations], [['source'], []]);
    assert.equal(stage.world.vm('destination', stage.vmId), undefined);
    assert.deepEqual([[...stage.world.relocations.disks], [...stage.world.relocations.keptOff]], [[], []]);
  });

  test('whose source does not answer in the change is placed all the same: what it was asked may still be done', async () => {
    await using stage = await setting();
    stage.world.faults.arm('source.forget', 'before', { code: 'CONNECTION_LOST', times: 2 });
    const ended = await whole((await stage.submit(OFF)).id);
    assert.deepEqual([ended.phase, ended.error], ['succeeded', null]);
    assertAtRest(stage, ended);
  });

  test('is not tried again before all of the attempt that failed is taken down: how it starts would be lost', async () => {
    await using stage = await setting();
    stage.world.faults.arm('source.send-disk', 'before', { code: 'CONNECTION_LOST' });
    stage.world.faults.arm('source.let-be', 'before');
    const hold = stage.world.faults.arm('source.let-be', 'hold-before');
    const { id } = await stage.submit(OFF);
    await hold.reached;
    assert.equal(stage.server.calls('source.keep-off'), 1);
    hold.release();
    const ended = await whole(id);
    assert.deepEqual(
      [ended.phase, ended.failedAttempts.map(({ code }) => code)],
      [...['succeeded', ['CONNECTION_LOST', 'INTERRUPTED']]],
    );
    assertAtRest(stage, ended);
  });

  test('whose source falls silent in the change is settled once it answers', async () => {
    await using stage = await setting();
    const hold = stage.world.faults.arm('source.forget', 'hold-after');
    const { id } = await stage.submit(OFF);
    await hold.reached;
    stage.server.goAway();
    hold.release();
    const open = await api.until(id, ({ phase }) => phase === 'failed', 60_000);
    assert.deepEqual([open.where, open.error?.code, open.teardown], ['unknown', 'OUTCOME_UNKNOWN', 'incomplete']);
    assert.match(open.byHand ?? '', /powered off/);
    stage.server.comeBack();
    const ended = await whole(id);
    assert.deepEqual([ended.phase, ended.where, ended.byHand], ['failed', 'destination', null]);
    assertAtRest(stage, { ...ended, phase: 'succeeded' });
  });
});

describe('a step of a relocation fails', { concurrency: 8 }, () => {
  for (const one of STEPS) {
    for (const kind of FAULTS) {
      test(`${nameOf(one)}, ${kind}`, async () => {
        await using stage = await setting();
        const fault = arm(stage, one, kind);
        const { id } = await stage.submit(OFF);
        await fault.reached;
        const ended = await whole(id);
        assertAtRest(stage, ended);
        assert.equal(ended.phase === 'failed', ended.error !== null);
      });
    }
  }
});

describe('a relocation is cancelled in a step', { concurrency: 8 }, () => {
  for (const one of STEPS) {
    for (const kind of HOLDS) {
      test(`${nameOf(one)}, ${kind}`, async () => {
        await using stage = await setting();
        const hold = arm(stage, one, kind);
        const { id } = await stage.submit(OFF);
        await hold.reached;
        const answer = await api.call('POST', `/v1/migrations/${id}/cancel`);
        hold.release();
        const ended = await whole(id);
        assert.deepEqual([answer.status, ended.phase], one.cancel, JSON.stringify([answer.body, ended.error]));
        assertAtRest(stage, ended);
      });
    }
  }
});

/** Every case is held in its step; one kill hits them all; all recover side by side. */
describe('the orchestrator is killed in a step of a relocation', () => {
  const CASES = STEPS.flatMap((one) => HOLDS.map((kind) => ({ one, kind, name: `${nameOf(one)}, ${kind}` })));
  const played = new Map<string, { stage: Stage; hold: ArmedFault; id: string }>();
  let process: OrchestratorProcess;
  let home: Awaited<ReturnType<typeof temporaryDirectory>>;

  before(async () => {
    home = await temporaryDirectory();
    process = new OrchestratorProcess(home.path);
    await process.start();
    for (const { name, one, kind } of CASES) {
      const stage = await setOff(() => process.api, home.path);
      const hold = arm(stage, one, kind);
      played.set(name, { stage, hold, id: (await stage.submit(OFF)).id });
    }
    await Promise.all([...played.values()].map(({ hold }) => hold.reached));
    await process.end('SIGKILL');
    await process.start();
    // What the dead process had under way at the far end goes on there, while the new one recovers.
    setTimeout(() => {
      for (const { hold } of played.values()) hold.release();
    }, 50);
  });
  after(async () => {
    for (const { stage } of played.values()) await stage[Symbol.asyncDispose]();
    await process[Symbol.asyncDispose]();
    await home[Symbol.asyncDispose]();
  });

  for (const { name } of CASES) {
    test(name, async () => {
      const found = played.get(name);
      assert.ok(found !== undefined);
      const ended = await process.api.until(found.id, isWhole);
      assert.deepEqual([ended.phase, ended.error], ['succeeded', null], 'the next run begins anew, or goes on');
      assertAtRest(found.stage, ended);
    });
  }
});
