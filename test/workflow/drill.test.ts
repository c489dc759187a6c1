/**
 * Drills of one VM: every step failed before it, after its effect and with its reply lost, cancelled in it, and killed in it. Then the
 * copy, if it came up, is undone, nothing is left at either end, and the VM at the source was never touched.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { type ArmedFault, type FaultKind, ISOLATED_NETWORK } from '@lmas/plugin-simulated/world';
import type { Orchestrator } from '../../apps/orchestrator/src/main.ts';
import type { Migration } from '../../apps/orchestrator/src/migrations/record.ts';
import { OrchestratorProcess } from './child.ts';
import { Api, type Stage, type StageInput, setStage, startInProcess, temporaryDirectory } from './harness.ts';
import { FAULTS, HOLDS } from './matrix.ts';

interface DrillStep {
  readonly step: string;
  readonly call: string;
  /** How many calls of the same name the steps before it make. */
  readonly skip: number;
  /** What a cancel in it is answered with, and how the drill ends then. */
  readonly cancel: readonly [status: number, phase: Migration['phase']];
}

const STOPPED = [202, 'cancelled'] as const;
const UP = [202, 'succeeded'] as const;
const UNDOING = [409, 'succeeded'] as const;
const step = (name: string, call: string, cancel: DrillStep['cancel'] = STOPPED, skip = 0): DrillStep => ({
  ...{ step: name, call, cancel, skip },
});

const STEPS: readonly DrillStep[] = [
  step('check', 'source.login'),
  step('check', 'source.find'),
  step('check', 'destination.presence'),
  step('provision', 'gateway.start'),
  step('provision', 'gateway.configure'),
  step('prepare', 'destination.receive'),
  step('prepare', 'source.begin-backup'),
  step('connect', 'gateway.route'),
  step('copy', 'source.copy-disks'),
  step('copy', 'destination.stop-receiving'),
  step('let the VM go', 'gateway.remove'),
  step('let the VM go', 'source.end-backup'),
  step('start', 'destination.start-copy'),
  step('start: see it run', 'destination.presence', STOPPED, 1),
  step('kept: look once more', 'destination.presence', UP, 2),
  step('undo', 'destination.remove-copy', UNDOING),
  step('undo', 'destination.delete-copied-volume', UNDOING),
];
const nameOf = ({ step: name, call }: DrillStep): string => `${name}: ${call}`;
const arm = ({ world }: Stage, { call, skip }: DrillStep, kind: FaultKind): ArmedFault =>
  world.faults.arm(call, kind, { skip });

const DRILL = {
  drill: { keepMs: 0 },
  networkMap: { default: ISOLATED_NETWORK },
  options: { durationMs: 30 },
  // What a busy machine costs (a lease that lapses, a group that is long in coming) is not what is tried here.
  retries: { max: 10, backOffMs: 100 },
  timeouts: { checkingMs: 300_000 },
} satisfies StageInput;
const KEPT = { ...DRILL, drill: { keepMs: 3_600_000 } };

const isWhole = ({ phase, teardown }: Migration): boolean =>
  ['succeeded', 'failed', 'cancelled'].includes(phase) && (teardown === 'complete' || teardown === 'not-needed');

/** The VM runs on at the source as it did, and nothing of the drill is anywhere. */
function assertUndone(stage: Stage, migration: Migration): void {
  const { world, vmId, vmName } = stage;
  const summary = JSON.stringify({ ...migration, request: undefined, timeline: undefined });
  stage.assertClean(migration);
  assert.deepEqual(world.drills.leftovers, [], summary);
  assert.deepEqual(world.vms('destination'), [], summary);
  assert.equal(world.performs.get(vmId), undefined, 'the VM was never moved');
  const vm = world.vm('source', vmId);
  assert.deepEqual([vm?.presence, vm?.name, vm?.complete], ['running', vmName, true]);
  assert.deepEqual(migration.leftovers, [], summary);
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
const setting = () => setStage(() => api, directory.path);
const kept = (id: string) => api.until(id, ({ phase }) => phase === 'kept');
const whole = (id: string) => api.until(id, isWhole);

describe('a drill', { concurrency: 8 }, () => {
  for (const transport of ['tunnel', 'direct'] as const) {
    test(`starts a copy on isolated networks, keeps it until it is ended, and undoes it (${transport})`, async () => {
      await using stage = await setting();
      const submitted = await stage.submit({ ...KEPT, transport });
      assert.equal(submitted.purpose, 'drill');
      const { drill, where } = await kept(submitted.id);
      const copy = stage.world.drills.copies.get(drill?.copy.vm.id ?? '');
      assert.deepEqual([copy?.of, copy?.host, copy?.networks], [stage.vmId, 'destination', [ISOLATED_NETWORK]]);
      assert.deepEqual(drill?.copy.networks, [ISOLATED_NETWORK]);
      assert.ok(drill !== null && drill.upAfterMs >= 0);
      assert.equal(where, 'source');
      assert.deepEqual([...stage.world.gateways.keys()], [], 'the gateways went when the disks had crossed');
      assert.deepEqual([...stage.world.drills.backups.keys()], []);
      assert.deepEqual(stage.world.running(stage.vmId), ['source']);
      await api.must('POST', `/v1/migrations/${submitted.id}/cancel`);
      const ended = await whole(submitted.id);
      assert.deepEqual([ended.phase, ended.error, ended.where], ['succeeded', null, 'source']);
      assert.equal(ended.drill?.ranToTheEnd, true);
      assertUndone(stage, ended);
    });
  }

  test('ends by itself when its time is over', async () => {
    await using stage = await setting();
    const { id } = await stage.submit({ ...DRILL, drill: { keepMs: 300 } });
    const ended = await whole(id);
    assert.equal(ended.phase, 'succeeded');
    assert.ok(Date.parse(ended.endedAt ?? '') >= Date.parse(ended.drill?.keepUntil ?? ''));
    const phases = ended.timeline.map(({ phase }) => phase);
    assert.deepEqual(phases.slice(-4), ['confirming', 'kept', 'tearing-down', 'succeeded']);
    assertUndone(stage, ended);
  });

  test('whose copy is gone by itself, or by somebody’s hand, has failed', async () => {
    await using stage = await setting();
    const { id } = await stage.submit(KEPT);
    const { drill } = await kept(id);
    stage.world.removeVm('destination', drill?.copy.vm.id ?? '');
    await api.must('POST', `/v1/migrations/${id}/cancel`);
    const ended = await whole(id);
    assert.deepEqual([ended.phase, ended.error?.code], ['failed', 'DRILL_COPY_ENDED']);
    assert.match(ended.error?.message ?? '', new RegExp(`does not run at ${stage.destination} any more`));
    assertUndone(stage, ended);
  });

  test('of a VM whose network is not named has a copy without a link, and a finding that says so', async () => {
    await using stage = await setting();
    const { id } = await stage.submit({ ...DRILL, networkMap: {} });
    const ended = await whole(id);
    assert.deepEqual([ended.phase, ended.drill?.copy.networks], ['succeeded', []]);
    assert.ok(ended.findings.some(({ code }) => code === 'NIC_NOT_CONNECTED'));
    assertUndone(stage, ended);
  });

  test('is not kept while its backup goes on beside the VM', async () => {
    await using stage = await setting();
    stage.world.faults.arm('source.end-backup', 'before', { times: 1 });
    const { id } = await stage.submit(KEPT);
    await kept(id);
    assert.deepEqual([...stage.world.drills.backups.keys()], []);
    await api.must('POST', `/v1/migrations/${id}/cancel`);
    const ended = await whole(id);
    assert.deepEqual([ended.phase, ended.failedAttempts.map(({ code }) => code)], ['succeeded', ['INTERRUPTED']]);
    assertUndone(stage, ended);
  });

  test('keeps what it made at an end that is silent, and takes it away when that is back', async () => {
    await using stage = await setting();
    const { id } = await stage.submit(KEPT);
    await kept(id);
    stage.server.goAway('destination');
    await api.must('POST', `/v1/migrations/${id}/cancel`);
    const incomplete = await api.until(id, ({ teardown }) => teardown === 'incomplete');
    assert.deepEqual([incomplete.phase, incomplete.drill?.ranToTheEnd], ['succeeded', null]);
    assert.ok(incomplete.leftovers.some((text) => text.startsWith('copy ')));
    stage.server.comeBack();
    assertUndone(stage, await whole(id));
  });
});

describe('a drill and a move of the same VM', { concurrency: 8 }, () => {
  test('one that waits in the queue holds up no move, and gives way to it', async () => {
    await using stage = await setting();
    const other = randomUUID();
    stage.world.addVm('source', { id: other, name: 'other' });
    await api.must('PUT', `/v1/sites/${stage.source}/limits`, { maxMigrations: 1 }, { 'if-match': '*' });
    const hold = stage.world.faults.arm('source.perform', 'hold-before', { vm: other });
    const first = await stage.submit({ vm: other });
    await hold.reached;
    const { id } = await stage.submit(DRILL);
    const move = await stage.submit();
    hold.release();
    assert.equal((await api.ended(first.id)).phase, 'succeeded');
    const refused = await whole(id);
    assert.deepEqual([refused.phase, refused.error?.code], ['failed', 'VM_ALREADY_MIGRATING']);
    const moved = await api.ended(move.id);
    assert.equal(moved.phase, 'succeeded');
    stage.assertClean(moved);
  });

  test('one that copies is waited for; one that is kept is in nobody’s way, and holds no place', async () => {
    await using stage = await setting();
    await api.must('PUT', `/v1/sites/${stage.source}/limits`, { maxMigrations: 1 }, { 'if-match': '*' });
    const hold = stage.world.faults.arm('source.copy-disks', 'hold-before');
    const { id } = await stage.submit(KEPT);
    await hold.reached;
    const early = await api.call('POST', '/v1/migrations', {
      ...{ vm: stage.vmId, source: stage.source, destination: stage.destination },
    });
    assert.deepEqual([early.status, early.body.code], [409, 'VM_ALREADY_MIGRATING']);
    hold.release();
    await kept(id);
    const moved = await api.ended((await stage.submit()).id);
    assert.deepEqual([moved.phase, moved.where], ['succeeded', 'destination']);
    assert.equal((await api.migration(id)).phase, 'kept');
    await api.must('POST', `/v1/migrations/${id}/cancel`);
    const ended = await whole(id);
    assert.equal(ended.phase, 'succeeded');
    assert.deepEqual([stage.world.drills.leftovers, stage.world.violations], [[], []]);
    assert.deepEqual(stage.world.running(stage.vmId), ['destination']);
  });
});

describe('a step of a drill fails', { concurrency: 8 }, () => {
  for (const one of STEPS) {
    for (const kind of FAULTS) {
      test(`${nameOf(one)}, ${kind}`, async () => {
        await using stage = await setting();
        const fault = arm(stage, one, kind);
        const { id } = await stage.submit(DRILL);
        await fault.reached;
        const ended = await whole(id);
        assertUndone(stage, ended);
        assert.equal(ended.phase === 'failed', ended.error !== null);
        if (ended.phase === 'succeeded') assert.ok(stage.world.drills.started > 0);
      });
    }
  }
});

describe('a drill is cancelled in a step', { concurrency: 8 }, () => {
  for (const one of STEPS) {
    for (const kind of HOLDS) {
      test(`${nameOf(one)}, ${kind}`, async () => {
        await using stage = await setting();
        const hold = arm(stage, one, kind);
        const { id } = await stage.submit(DRILL);
        await hold.reached;
        const answer = await api.call('POST', `/v1/migrations/${id}/cancel`);
        hold.release();
        const ended = await whole(id);
        assert.deepEqual([answer.status, ended.phase], one.cancel, JSON.stringify([answer.body, ended.error]));
        assertUndone(stage, ended);
      });
    }
  }
});

/** Every case is held in its step; one kill hits them all; all recover side by side. */
describe('the orchestrator is killed in a step of a drill', () => {
  const CASES = STEPS.flatMap((one) => HOLDS.map((kind) => ({ one, kind, name: `${nameOf(one)}, ${kind}` })));
  const played = new Map<string, { stage: Stage; hold: ArmedFault; id: string }>();
  let process: OrchestratorProcess;
  let idle: { stage: Stage; id: string };
  let home: Awaited<ReturnType<typeof temporaryDirectory>>;

  before(async () => {
    home = await temporaryDirectory();
    process = new OrchestratorProcess(home.path);
    await process.start();
    const makeStage = () => setStage(() => process.api, home.path);
    for (const { name, one, kind } of CASES) {
      const stage = await makeStage();
      const hold = arm(stage, one, kind);
      played.set(name, { stage, hold, id: (await stage.submit(DRILL)).id });
    }
    const stage = await makeStage();
    idle = { stage, id: (await stage.submit(KEPT)).id };
    await process.api.until(idle.id, ({ phase }) => phase === 'kept');
    await Promise.all([...played.values()].map(({ hold }) => hold.reached));
    await process.end('SIGKILL');
    await process.start();
    // What the dead process had under way at the far end goes on there, while the new one recovers.
    setTimeout(() => {
      for (const { hold } of played.values()) hold.release();
    }, 50);
  });
  after(async () => {
    for (const { stage } of [...played.values(), idle]) await stage[Symbol.asyncDispose]();
    await process[Symbol.asyncDispose]();
    await home[Symbol.asyncDispose]();
  });

  for (const { name } of CASES) {
    test(name, async () => {
      const found = played.get(name);
      assert.ok(found !== undefined);
      const ended = await process.api.until(found.id, isWhole);
      assert.deepEqual([ended.phase, ended.error], ['succeeded', null], 'the next run begins anew, or goes on');
      assertUndone(found.stage, ended);
    });
  }

  test('a copy that is kept is kept on, and undone when its time comes', async () => {
    const { stage, id } = idle;
    assert.equal((await process.api.migration(id)).phase, 'kept');
    assert.equal(stage.world.drills.copies.size, 1);
    await process.api.must('POST', `/v1/migrations/${id}/cancel`);
    const ended = await process.api.until(id, isWhole);
    assert.equal(ended.phase, 'succeeded');
    assertUndone(stage, ended);
  });
});
