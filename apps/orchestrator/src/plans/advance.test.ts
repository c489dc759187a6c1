/**
 * The state machine of a run against random lives: migrations that succeed, fail, are cancelled or take their time; pauses,
 * cancels, retries; and records whose last step was never written, as after a crash. Played in memory; no clock runs.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { planBodySchema } from '../schemas/plan.ts';
import { advance } from './advance.ts';
import { lookAtMs } from './driver.ts';
import { type MigrationFacts, VACATED_WITHIN_MS } from './item-step.ts';
import { requestFor } from './ordered-migrations.ts';
import { askedAnew, hasRunEnded, newRun, type PlanItem, type PlanRun, summaryOf } from './record.ts';
import { restarted } from './retry.ts';
import { judge } from './validate.ts';

const CREATED = '2026-06-01T12:00:00.000Z';
type Policy = 'stop' | 'go-on' | 'roll-back';
interface WaveSketch {
  readonly vms: number;
  readonly concurrency: number;
  readonly onFailure: Policy;
  readonly afterwards?: { readonly pauseMs?: number; readonly approval?: boolean };
}

const UNKNOWN: Omit<MigrationFacts, 'outcome'> = {
  error: null,
  vacated: null,
  keptDisks: [],
  byHand: null,
  endedAtMs: null,
  leftAt: null,
  rehearsal: null,
};
const item = (wave: number, index: number): PlanItem => ({
  key: `${wave}/vm${index}`,
  wave,
  vm: { id: `vm${wave}-${index}`, name: `vm${wave}-${index}` },
  source: { endpoint: 'a', site: 'x' },
  destination: { endpoint: 'b', site: 'y' },
  plugin: 'simulated',
  ...{
    networkMap: {},
    diskMap: {},
    keptDisks: [],
    disks: [],
    memoryBytes: 1,
    powerState: 'running',
    findings: [],
    migrations: [],
  },
  state: 'waiting',
  ...{
    checkedAt: null,
    prediction: null,
    sourceAfter: null,
    leftAt: null,
    rehearsal: null,
    error: null,
    startedAt: null,
    endedAt: null,
  },
});

function running(waves: readonly WaveSketch[]): PlanRun {
  const definition = planBodySchema.parse({
    waves: waves.map(({ concurrency, onFailure, afterwards = {} }) => ({
      vms: [{ kind: 'host', source: 'a', destination: { endpoint: 'b' } }],
      ...{ concurrency, onFailure, afterwards },
    })),
  });
  const run = newRun(
    definition,
    { id: `r_${'0'.repeat(8)}`, plan: 'p', project: null, mode: 'failover', reverseOf: null },
    CREATED,
  );
  const items = waves.flatMap(({ vms }, wave) => Array.from({ length: vms }, (_, index) => item(wave, index)));
  return { ...run, phase: 'running', items };
}

/** What hypervisors and people do, drawn one after the other; beyond the end everything goes well. */
class World {
  readonly migrations = new Map<string, MigrationFacts>();
  /** Each VM at the end at which its migrations have left it. */
  readonly places = new Map<string, 'source' | 'destination'>();
  readonly ordered: string[] = [];

  /** Orders what the record says is ordered, as the driver does. */
  order(run: PlanRun): void {
    for (const { state, migrations, vm } of run.items) {
      const id = migrations.at(-1);
      if ((state !== 'moving' && state !== 'moving-back') || id === undefined || this.migrations.has(id)) continue;
      assert.equal(
        this.places.get(vm.id) ?? 'source',
        state === 'moving' ? 'source' : 'destination',
        `${vm.id} is ordered from where it is`,
      );
      this.migrations.set(id, { ...UNKNOWN, outcome: null });
      this.ordered.push(id);
    }
  }

  end(run: PlanRun, outcome: 'succeeded' | 'failed' | 'cancelled', which: number): void {
    const live = run.items.filter(({ migrations }) => this.migrations.get(migrations.at(-1) ?? '')?.outcome === null);
    const chosen = live[which % Math.max(1, live.length)];
    const id = chosen?.migrations.at(-1);
    if (chosen === undefined || id === undefined) return;
    this.migrations.set(id, { ...UNKNOWN, outcome, vacated: outcome === 'succeeded' ? 'absent' : null });
    if (outcome === 'succeeded')
      this.places.set(chosen.vm.id, chosen.state === 'moving-back' ? 'source' : 'destination');
  }
}

const sketch = fc.record({
  vms: fc.integer({ min: 1, max: 3 }),
  concurrency: fc.integer({ min: 1, max: 2 }),
  onFailure: fc.constantFrom<Policy>('stop', 'go-on', 'roll-back'),
});
const event = fc.oneof(
  { weight: 6, arbitrary: fc.record({ end: fc.constantFrom('succeeded', 'failed', 'cancelled'), which: fc.nat(5) }) },
  {
    weight: 6,
    arbitrary: fc.constantFrom('pause', 'pause', 'resume', 'resume', 'cancel', 'retry', 'crash', 'nothing'),
  },
);

/** What becomes of the one VM of the first wave: its migration has succeeded, and this is what its source says of it. */
function arrived(run: PlanRun, vacated: MigrationFacts['vacated'], nowMs: number): PlanRun {
  const id = run.items[0]?.migrations.at(-1) ?? '';
  return advance(run, { nowMs, migrations: new Map([[id, { ...UNKNOWN, outcome: 'succeeded', vacated }]]) }).run;
}
const MIGRATIONS: ReadonlyMap<string, MigrationFacts> = new Map();

test('the next wave begins when the pause is over and somebody has said so, and not before', () => {
  const afterwards = { pauseMs: 60_000, approval: true };
  const one = { vms: 1, concurrency: 1, onFailure: 'stop' as const };
  const startMs = Date.parse(CREATED);
  const ordered = advance(running([{ ...one, afterwards }, one]), { nowMs: startMs, migrations: MIGRATIONS }).run;
  const between = arrived(ordered, 'absent', startMs);
  const approved = {
    ...between,
    waves: between.waves.map((wave, at) => ({ ...wave, approvedAt: at === 0 ? CREATED : null })),
  };
  const statesAt = (run: PlanRun, ms: number) =>
    advance(run, { nowMs: startMs + ms, migrations: MIGRATIONS }).run.waves.map(({ state }) => state);
  assert.deepEqual(statesAt(approved, 59_999), ['between', 'waiting']);
  assert.deepEqual(statesAt(between, 600_000), ['between', 'waiting'], 'nobody has approved');
  assert.deepEqual(statesAt(approved, 60_000), ['done', 'moving']);
});

test('a wave that waits for an approval says since when and who may give it, until somebody has', () => {
  const one = { vms: 1, concurrency: 1, onFailure: 'stop' as const };
  const startMs = Date.parse(CREATED);
  const asking = running([{ ...one, afterwards: { approval: true } }, one]);
  const ordered = advance({ ...asking, project: 'red' }, { nowMs: startMs, migrations: MIGRATIONS }).run;
  assert.equal(summaryOf(ordered).waitsSince, null);
  const between = arrived(ordered, 'absent', startMs + 60_000);
  const since = '2026-06-01T12:01:00.000Z';
  assert.deepEqual([between.waves[0]?.waitsSince, between.waves[1]?.waitsSince], [since, null]);
  const { waitsForApproval, waitsSince, message } = summaryOf(between);
  assert.deepEqual([waitsForApproval, waitsSince], [true, since]);
  assert.match(
    message,
    new RegExp(`^Wave 1 waits since ${since} for an approval: an operator or admin, of project red`),
  );
  const later = advance(between, { nowMs: startMs + 600_000, migrations: MIGRATIONS });
  assert.deepEqual([later.run.waves[0]?.waitsSince, later.entries], [since, []], 'said once');
});

test('one that went powered off, and runs where it was: it must not be started where it went, and nobody is told to stop it', () => {
  for (const [powerState, back] of [
    ['off', false],
    ['off', true],
    ['running', false],
  ] as const) {
    const ordered = advance(running([{ vms: 1, concurrency: 1, onFailure: 'stop' }]), {
      nowMs: 0,
      migrations: MIGRATIONS,
    }).run;
    ordered.items = ordered.items.map((one) => ({ ...one, powerState, state: back ? 'moving-back' : 'moving' }));
    const [found] = arrived(ordered, 'running', 0).items;
    assert.deepEqual([found?.state, found?.leftAt], [back ? 'stuck' : 'failed', 'both']);
    const { message = '', remedy = '' } = found?.error ?? {};
    if (powerState === 'running') assert.match(`${message} ${remedy}`, /as well\. Stop one of the two by hand, now/);
    else {
      assert.match(message, back ? /to a, and b, .*says that it runs there/ : /to b, and a, .*says that it runs there/);
      assert.match(remedy ?? '', back ? /^Never start it at a .*remove the definition/ : /^Never start it at b /);
      assert.doesNotMatch(remedy ?? '', /Stop one/);
    }
  }
});

test('a VM that its source still runs after it has moved is a failure, whatever its migration says', () => {
  const waves = [{ vms: 1, concurrency: 1, onFailure: 'stop' as const }];
  const ordered = advance(running(waves), { nowMs: 0, migrations: MIGRATIONS }).run;
  assert.equal(arrived(ordered, null, 0).items[0]?.state, 'moving', 'nobody has been asked yet');
  const both = arrived(ordered, 'running', 0);
  assert.deepEqual(
    [both.phase, both.items[0]?.state, both.items[0]?.error?.code],
    ['failed', 'failed', 'BOTH_RUNNING'],
  );
  for (const vacated of ['absent', 'stopped', 'unreachable'] as const) {
    const run = arrived(ordered, vacated, 0);
    assert.deepEqual([run.phase, run.items[0]?.sourceAfter], ['succeeded', vacated]);
  }
});

test('a source that does not answer is asked again for a while; then the VM has moved, and it is said that nobody has seen it stopped there', () => {
  const waves = [{ vms: 1, concurrency: 1, onFailure: 'roll-back' as const }];
  const ordered = advance(running(waves), { nowMs: 0, migrations: MIGRATIONS }).run;
  const look = (run: PlanRun, nowMs: number, vacated: MigrationFacts['vacated'] = 'unreachable') => {
    const ended = { ...UNKNOWN, outcome: 'succeeded' as const, vacated, endedAtMs: 1_000 };
    return advance(run, { nowMs, migrations: new Map([[run.items[0]?.migrations.at(-1) ?? '', ended]]) });
  };
  const last = 1_000 + VACATED_WITHIN_MS;
  assert.deepEqual([look(ordered, last - 1).run.items[0]?.state, look(ordered, last - 1).entries], ['moving', []]);
  const answered = look(ordered, last - 1, 'absent').run;
  assert.deepEqual([answered.items[0]?.findings, answered.message], [[], 'Every VM has moved.']);
  const { run, entries } = look(ordered, last);
  const [moved] = run.items;
  assert.deepEqual([run.phase, moved?.state, moved?.sourceAfter], ['succeeded', 'moved', 'unreachable']);
  assert.match(run.message, /^Every VM has moved\. That the source has stopped was not verified.*: vm0-0\.$/);
  const [finding] = moved?.findings ?? [];
  assert.deepEqual([finding?.severity, finding?.code], ['warning', 'SOURCE_NOT_VERIFIED']);
  assert.match(finding?.message ?? '', /^a, which vm0-0 has left, does not answer/);
  assert.ok(
    entries.some(({ vm, code }) => vm === 'vm0-0' && code === 'SOURCE_NOT_VERIFIED'),
    'it is in the timeline',
  );
  const cancelled = look({ ...ordered, cancelRequestedAt: CREATED }, last - 1).run;
  assert.deepEqual([cancelled.phase, cancelled.items[0]?.state], ['cancelled', 'moved'], 'a cancel waits for nobody');
  const wayBack = [{ ...item(0, 0), state: 'moving-back' as const, migrations: ['m'] }];
  const back = look({ ...ordered, items: wayBack }, last).run.items[0];
  assert.match(back?.findings[0]?.message ?? '', /^b, which vm0-0 has left/, 'on the way back it is the other end');
});

test('a copy that stands paused at the source is not gone: it is asked after again, and then told of with what to do by hand', () => {
  const waves = [{ vms: 1, concurrency: 1, onFailure: 'stop' as const }];
  const ordered = advance(running(waves), { nowMs: 0, migrations: MIGRATIONS }).run;
  const look = (nowMs: number, facts: Partial<MigrationFacts>) => {
    const ended = { ...UNKNOWN, outcome: 'succeeded' as const, endedAtMs: 1_000, ...facts };
    return advance(ordered, { nowMs, migrations: new Map([[ordered.items[0]?.migrations.at(-1) ?? '', ended]]) }).run;
  };
  const last = 1_000 + VACATED_WITHIN_MS;
  assert.equal(look(last - 1, { vacated: 'paused' }).items[0]?.state, 'moving', 'its source may still be tidied');
  assert.deepEqual(look(last - 1, { vacated: 'absent' }).items[0]?.findings, []);
  const { items, message } = look(last, { vacated: 'paused', byHand: 'Destroy the old copy.' });
  assert.deepEqual([items[0]?.state, items[0]?.sourceAfter], ['moved', 'paused']);
  const [finding] = items[0]?.findings ?? [];
  assert.deepEqual([finding?.code, finding?.remedy], ['SOURCE_NOT_VERIFIED', 'Destroy the old copy.']);
  assert.match(finding?.message ?? '', /^A copy of vm0-0 stands paused at a,/);
  assert.match(message, /A paused copy still stands at the source, and must not be resumed: vm0-0\.$/);
});

test('a host that some were left at is not called empty', () => {
  const one = { vms: 3, concurrency: 1, onFailure: 'go-on' as const };
  const begun = running([one]);
  const items = begun.items.map((each, at) => (at === 0 ? each : { ...each, state: 'left' as const }));
  const ordered = advance({ ...begun, items }, { nowMs: 0, migrations: MIGRATIONS }).run;
  const left = '2 that are powered off were left at a: vm0-1, vm0-2.';
  assert.equal(arrived(ordered, 'absent', 0).message, `Every running VM has moved. ${left}`);
  const none = (each: PlanItem[]) => advance({ ...begun, items: each }, { nowMs: 0, migrations: MIGRATIONS }).run;
  assert.deepEqual([none([]).phase, none([]).message], ['succeeded', 'There was nothing to move.']);
  assert.equal(none(items.slice(1)).message, `There was nothing to move. ${left}`);
  const failed = { ...UNKNOWN, outcome: 'failed' as const };
  const { run } = advance(ordered, {
    nowMs: 0,
    migrations: new Map([[ordered.items[0]?.migrations[0] ?? '', failed]]),
  });
  assert.equal(run.message, `1 of 3 VMs did not move; 0 checks failed. ${left}`);
  const judged = judge({ ...begun, mode: 'validate', phase: 'validating', items }, 0);
  assert.equal(judged.message, 'Every check passed. 2 that are powered off would be left at a: vm0-1, vm0-2.');
});

test('a VM that is paused or arriving is not called powered off, and an evacuation that leaves one has not emptied its host', () => {
  const notRunning = { severity: 'warning' as const, code: 'NOT_RUNNING', message: 'It is paused.', remedy: '' };
  const ended = (mode: PlanRun['mode'], findings: readonly PlanItem['findings'][]) => {
    const begun = running([{ vms: 1 + findings.length, concurrency: 1, onFailure: 'go-on' }]);
    const items = begun.items.map(
      (each, at): PlanItem => (at === 0 ? each : { ...each, state: 'left', findings: findings[at - 1] ?? [] }),
    );
    const ordered = advance({ ...begun, mode, items }, { nowMs: 0, migrations: MIGRATIONS }).run;
    const { phase, message } = arrived(ordered, 'absent', 0);
    return [phase, message];
  };
  const paused = 'Every running VM has moved. 1 that is neither running nor off was left at a: vm0-1.';
  assert.deepEqual(ended('evacuation', [[notRunning]]), ['failed', paused]);
  assert.deepEqual(ended('failover', [[notRunning]]), ['succeeded', paused], 'as its plan says');
  assert.deepEqual(ended('evacuation', [[], [notRunning]]), [
    'failed',
    'Every running VM has moved. 1 that is powered off was left at a: vm0-1. 1 that is neither running nor off was left at a: vm0-2.',
  ]);
  assert.equal(ended('evacuation', [[]])[0], 'succeeded');
});

test('a clock that was ahead and comes back holds up nothing for longer than it was to wait', () => {
  const one = { vms: 1, concurrency: 1, onFailure: 'stop' as const };
  const startMs = Date.parse(CREATED);
  const aheadMs = startMs + 365 * 24 * 3_600_000;
  const ordered = advance(running([{ ...one, afterwards: { pauseMs: 60_000 } }, one]), {
    ...{ nowMs: startMs, migrations: MIGRATIONS },
  }).run;
  const ahead = arrived(ordered, 'absent', aheadMs);
  assert.equal(ahead.waves[0]?.pauseUntil, new Date(aheadMs + 60_000).toISOString());
  const at = (run: PlanRun, ms: number) => advance(run, { nowMs: startMs + ms, migrations: MIGRATIONS }).run;
  const back = at(ahead, 0);
  assert.equal(back.waves[0]?.pauseUntil, new Date(startMs + 60_000).toISOString(), 'the pause begins anew');
  assert.deepEqual([at(back, 59_999).waves[1]?.state, at(back, 60_000).waves[1]?.state], ['waiting', 'moving']);
  const silent = { ...UNKNOWN, outcome: 'succeeded' as const, vacated: 'unreachable' as const, endedAtMs: aheadMs };
  const migrations = new Map([[ordered.items[0]?.migrations.at(-1) ?? '', silent]]);
  assert.equal(advance(ordered, { nowMs: startMs, migrations }).run.items[0]?.state, 'moved');
});

test('while a source that does not answer is asked again, the next VM has its place; the wave waits for the answer', () => {
  const waves = [{ vms: 2, concurrency: 1, onFailure: 'stop' as const }];
  const look = (run: PlanRun, nowMs: number) => {
    const ended = { ...UNKNOWN, outcome: 'succeeded' as const, vacated: 'unreachable' as const, endedAtMs: 1_000 };
    return advance(run, { nowMs, migrations: new Map([[run.items[0]?.migrations.at(-1) ?? '', ended]]) }).run;
  };
  const states = ({ items, waves: [wave] }: PlanRun) => [...items.map(({ state }) => state), wave?.state];
  const ordered = advance(running(waves), { nowMs: 0, migrations: MIGRATIONS }).run;
  assert.deepEqual(states(ordered), ['moving', 'waiting', 'moving']);
  const meanwhile = look(ordered, 2_000);
  assert.deepEqual(states(meanwhile), ['moving', 'moving', 'moving']);
  assert.deepEqual(states(look(meanwhile, 1_000 + VACATED_WITHIN_MS)), ['moved', 'moving', 'moving']);
  const back = structuredClone(ordered);
  Object.assign(back.waves[0] ?? {}, { state: 'rolling-back' });
  Object.assign(back.items[0] ?? {}, { state: 'moving-back' });
  Object.assign(back.items[1] ?? {}, { state: 'moved' });
  assert.deepEqual(states(look(back, 2_000)), ['moving-back', 'moving-back', 'rolling-back'], 'also on the way back');
});

test('where a migration left a VM that it did not move is noted, as seen from the way there', () => {
  const waves = [{ vms: 2, concurrency: 2, onFailure: 'roll-back' as const }];
  const ordered = advance(running(waves), { nowMs: 0, migrations: MIGRATIONS }).run;
  const [one, two] = ordered.items.map(({ migrations }) => migrations[0] ?? '');
  const migrations = new Map<string, MigrationFacts>([
    [one ?? '', { ...UNKNOWN, outcome: 'succeeded', vacated: 'absent', keptDisks: ['/a'] }],
    [two ?? '', { ...UNKNOWN, outcome: 'failed', leftAt: 'unknown' }],
  ]);
  const { run: back, entries } = advance(ordered, { nowMs: 0, migrations });
  assert.deepEqual(
    back.items.map(({ state, leftAt }) => [state, leftAt]),
    [
      ['moving-back', null],
      ['failed', 'unknown'],
    ],
  );
  assert.ok(entries.some(({ message }) => message === 'Nobody knows where it runs.'));
  const wayBack = back.items[0] ?? assert.fail();
  assert.deepEqual(
    requestFor(back, wayBack).mayReplace,
    ['/a'],
    'the way back may copy over what the way there has left',
  );
  const ending = (facts: Partial<MigrationFacts>) => {
    const ended = { ...UNKNOWN, outcome: 'failed' as const, ...facts };
    return advance(back, { nowMs: 0, migrations: new Map([[back.items[0]?.migrations.at(-1) ?? '', ended]]) }).run;
  };
  const stuck = ending({ leftAt: 'source' });
  assert.deepEqual([stuck.items[0]?.state, stuck.items[0]?.leftAt], ['stuck', 'destination']);
  assert.throws(() => restarted(stuck), { code: 'RUN_STATE', message: /^Where vm0-1 runs is not clear/ });
  /** The one that nobody knew the place of was found where it was. */
  const found = (run: PlanRun): PlanRun => ({
    ...run,
    items: run.items.map((each) => (each.leftAt === 'unknown' ? { ...each, leftAt: 'source' } : each)),
  });
  assert.equal(restarted(found(stuck)).items[0]?.state, 'moved');
  assert.deepEqual(stuck.items[0]?.keptDisks, ['/a'], 'what was left where it was counts until it has gone back');
  const returned = ending({ outcome: 'succeeded', vacated: 'absent', keptDisks: ['/b'] });
  assert.deepEqual([returned.items[0]?.state, returned.items[0]?.keptDisks], ['moved-back', ['/b']]);
  assert.deepEqual(
    restarted(found(returned)).items[0]?.keptDisks,
    ['/b'],
    'tried again, it finds there what it has left',
  );
  for (const twice of [ending({ leftAt: 'both' }), ending({ outcome: 'succeeded', vacated: 'running' })]) {
    assert.deepEqual([twice.items[0]?.state, twice.items[0]?.leftAt], ['stuck', 'both']);
    assert.throws(() => restarted(found(twice)), { code: 'RUN_STATE', message: /^Where vm0-0 runs is not clear/ });
  }
});

test('a VM that its source does not know any more is told of by its name, with what to do', () => {
  const ordered = advance(running([{ vms: 1, concurrency: 1, onFailure: 'stop' }]), {
    ...{ nowMs: 0, migrations: MIGRATIONS },
  }).run;
  const error = { code: 'VM_NOT_FOUND', message: 'There is no VM vm0-0-id.', remedy: null };
  const told = (facts: Partial<MigrationFacts>) => {
    const ended = { ...UNKNOWN, outcome: 'failed' as const, error, ...facts };
    const migrations = new Map([[ordered.items[0]?.migrations[0] ?? '', ended]]);
    return advance(ordered, { nowMs: 0, migrations }).run.items[0]?.error;
  };
  assert.deepEqual([told({})?.code, told({})?.message], ['VM_NOT_FOUND', 'vm0-0 was not found at a.']);
  assert.match(told({})?.remedy ?? '', /look where it runs, and begin a new run/);
  assert.deepEqual(told({ leftAt: 'destination' }), error, 'somebody has looked, and knows more');
});

test('while nobody knows where a VM runs its run says so, with what to do, and no longer', () => {
  const ordered = advance(running([{ vms: 2, concurrency: 2, onFailure: 'stop' }]), {
    ...{ nowMs: 0, migrations: MIGRATIONS },
  }).run;
  const [one, two] = ordered.items.map(({ migrations }) => migrations[0] ?? '');
  const look = (run: PlanRun, ...facts: Partial<MigrationFacts>[]) => {
    const known = facts.map((each, at) => [[one, two][at] ?? '', { ...UNKNOWN, outcome: null, ...each }] as const);
    return advance(run, { nowMs: 0, migrations: new Map<string, MigrationFacts>(known) });
  };
  const silent = { byHand: 'Look at both hosts.', leftAt: 'unknown' as const };
  const { run, entries } = look(ordered, silent, {});
  const where = `obody knows where it runs; see lmas get ${one}`;
  assert.equal(run.message, `vm0-0: n${where}`);
  const finding = { severity: 'warning', code: 'OUTCOME_UNKNOWN', message: `N${where}`, remedy: silent.byHand };
  assert.deepEqual(
    run.items.map(({ findings }) => findings),
    [[finding], []],
  );
  assert.deepEqual(entries, [{ message: `N${where}`, vm: 'vm0-0', code: 'OUTCOME_UNKNOWN' }]);
  const again = look(run, silent, {});
  assert.deepEqual([again.run, again.entries], [run, []], 'said once');
  const cancelled = look({ ...run, cancelRequestedAt: CREATED }, silent, {}).run;
  assert.match(cancelled.message, /^vm0-0: nobody knows .*\. A cancel was asked for/);
  assert.match(look(run, silent, silent).run.message, /^vm0-0, vm0-1: .*; see lmas list --needs-person$/);
  assert.match(look(run, { ...silent, leftAt: 'both' }, {}).run.message, /^vm0-0: it runs at both ends; /);
  assert.match(look(run, { ...silent, leftAt: 'source' }, {}).run.message, /^vm0-0: it waits for a person at a; /);
  const back = { ...run, items: run.items.map((each) => ({ ...each, state: 'moving-back' as const })) };
  assert.match(look(back, { ...silent, leftAt: 'source' }, {}).run.message, /^vm0-0: it waits for a person at b; /);
  for (const over of [{}, { outcome: 'failed' as const, ...silent }]) {
    const { items, message } = look(run, over, {}).run;
    assert.deepEqual([items[0]?.findings, message], [[], 'Its VMs move.']);
  }
});

test('whatever happens: within the concurrency, wave after wave, each VM from where it is, and to an end', () => {
  fc.assert(
    fc.property(
      fc.array(sketch, { minLength: 1, maxLength: 3 }),
      fc.array(event, { maxLength: 40 }),
      (waves, events) => {
        const world = new World();
        let run = running(waves);
        let nowMs = Date.parse(CREATED);
        const turn = (isWritten = true): void => {
          nowMs += 1_000;
          if (run.pausedAt === null && run.cancelRequestedAt === null) world.order(run);
          const { run: next, cancel } = advance(run, { nowMs, migrations: world.migrations });
          for (const id of cancel) {
            const facts = world.migrations.get(id);
            if (facts?.outcome === null) world.migrations.set(id, { ...UNKNOWN, outcome: 'cancelled' });
          }
          assertHeeded(run, next);
          if (isWritten) run = next;
          assertSane(run);
        };
        for (const happening of events) {
          if (typeof happening === 'object') world.end(run, happening.end as 'succeeded', happening.which);
          else run = orderedBy(run, happening);
          turn(happening !== 'crash');
        }
        run = { ...run, pausedAt: null };
        for (let steps = 0; !hasRunEnded(run); steps++) {
          assert.ok(steps < 100, `it never ends: ${JSON.stringify(run)}`);
          world.end(run, 'succeeded', 0);
          turn();
        }
        assert.equal(new Set(world.ordered).size, world.ordered.length, 'nothing is ordered twice');
        for (const { vm, state } of run.items) {
          const isAway = state === 'moved' || state === 'stuck';
          assert.equal(world.places.get(vm.id) ?? 'source', isAway ? 'destination' : 'source', `${vm.id} is ${state}`);
        }
        if (run.phase === 'succeeded') assert.ok(run.items.every(({ state }) => state === 'moved'));
      },
    ),
    { numRuns: 1_000 },
  );
});

function orderedBy(run: PlanRun, order: string): PlanRun {
  if (order === 'retry' && hasRunEnded(run) && run.phase !== 'succeeded') {
    const again = restarted(run);
    // Without checks here: as if they had passed.
    const items =
      again.items.length === 0
        ? run.items.map((each) => ({ ...each, state: 'waiting' as const, error: null }))
        : again.items;
    return { ...again, items, phase: 'running' };
  }
  if (hasRunEnded(run)) return run;
  if (order === 'pause') return { ...run, pausedAt: CREATED };
  if (order === 'resume') return { ...run, pausedAt: null };
  return order === 'cancel' ? { ...run, cancelRequestedAt: CREATED, pausedAt: null } : run;
}

/** Nothing begins in a wave in which something was lost, unless it goes on; and nothing while it is paused or cancelled. */
function assertHeeded(before: PlanRun, after: PlanRun): void {
  const isHalted = before.pausedAt !== null || before.cancelRequestedAt !== null;
  for (const [index, { state, wave }] of after.items.entries()) {
    if (state !== 'moving' || before.items[index]?.state === 'moving') continue;
    assert.ok(!isHalted, 'it was told to begin nothing');
    const isLost = before.items.some(
      (each) => each.wave <= wave && ['failed', 'cancelled', 'stuck'].includes(each.state),
    );
    const policies = before.definition.waves.slice(0, wave + 1).map(({ onFailure }) => onFailure);
    if (isLost) assert.ok(policies.includes('go-on'), 'what failed stops what comes after it');
  }
}

function assertSane({ items, waves, definition, phase }: PlanRun): void {
  const live = items.filter(({ state }) => state === 'moving' || state === 'moving-back');
  for (const { migrations } of items) assert.equal(new Set(migrations).size, migrations.length, 'each attempt once');
  const active = new Set(live.map(({ wave }) => wave));
  assert.ok(active.size <= 1, 'one wave at a time');
  for (const wave of active)
    assert.ok(live.length <= (definition.waves[wave]?.concurrency ?? 0), 'within the concurrency');
  if (phase !== 'running') assert.deepEqual(live, [], 'nothing moves after the end');
  for (const [index, { state }] of waves.entries()) {
    const begun = items.some((each) => each.wave === index && each.migrations.length > 0);
    const former = waves
      .slice(0, index)
      .every((wave) => wave.state === 'done' || wave.state === 'failed' || wave.state === 'skipped');
    if (begun && state === 'moving') assert.ok(former, 'after those before it');
  }
}

test('an approval that nobody gives ends the run when its time is over, and nothing more begins; a retry asks again', () => {
  const approveWithinMs = 60_000;
  const sketch = [{ vms: 1, concurrency: 1, onFailure: 'roll-back' as const }];
  const begun = running([...sketch, ...sketch]);
  const [first, second] = begun.definition.waves;
  const asking = { pauseMs: 0, approval: true, approveWithinMs, checks: [] };
  begun.definition.waves = [{ ...(first ?? assert.fail()), afterwards: asking }, second ?? assert.fail()];
  const ordered = advance(begun, { nowMs: 0, migrations: new Map() }).run;
  const arrived = { ...UNKNOWN, outcome: 'succeeded' as const, vacated: 'absent' as const };
  const migrations = new Map([[ordered.items[0]?.migrations[0] ?? '', arrived]]);
  const waits = advance(ordered, { nowMs: 1_000, migrations }).run;
  assert.match(waits.message, /may give it until 1970-01-01T00:01:01.000Z/);
  assert.equal(lookAtMs(waits), 61_000, 'somebody looks then');
  assert.equal(advance(waits, { nowMs: 60_999, migrations }).run.phase, 'running');
  const paused = { ...waits, pausedAt: CREATED };
  assert.equal(
    advance(paused, { nowMs: 100_000, migrations }).run.phase,
    'running',
    'nobody is late while it is paused',
  );
  const resumed = { ...waits, waves: waits.waves.map(askedAnew) };
  assert.equal(lookAtMs(resumed), 0, 'somebody looks at once');
  const asked = advance(resumed, { nowMs: 100_000, migrations }).run;
  assert.deepEqual([asked.phase, lookAtMs(asked)], ['running', 160_000], 'it has all of its time after a pause');
  assert.match(asked.message, /until 1970-01-01T00:02:40.000Z/);
  const approved = {
    ...waits,
    waves: waits.waves.map((wave, index) => (index === 0 ? { ...wave, approvedAt: CREATED } : wave)),
  };
  assert.equal(advance(approved, { nowMs: 100_000, migrations }).run.items[1]?.state, 'moving', 'it was given');

  const { run: ended, entries } = advance(waits, { nowMs: 61_000, migrations });
  assert.deepEqual(
    [ended.phase, ended.waves.map(({ state }) => state), ended.items.map(({ state }) => state)],
    ['failed', ['failed', 'skipped'], ['moved', 'skipped']],
  );
  assert.match(
    ended.message,
    /^Nobody approved what follows wave 1 until 1970-01-01T00:01:01.000Z: nothing more was begun\./,
  );
  assert.deepEqual(
    ended.reasons.map(({ path, code }) => [path, code]),
    [['waves.0', 'APPROVAL_EXPIRED']],
  );
  assert.ok(entries.some(({ code }) => code === 'APPROVAL_EXPIRED'));
  const again = advance({ ...restarted(ended), phase: 'running' }, { nowMs: 200_000, migrations }).run;
  assert.deepEqual([again.waves[0]?.state, again.reasons, lookAtMs(again)], ['between', [], 260_000]);
});
