/**
 * The state machine of a rehearsal against random lives: copies that come up, fail, are cancelled or stop by themselves; pauses, cancels,
 * and records whose last step was never written, as after a crash. Played in memory; no clock runs.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { planBodySchema } from '../schemas/plan.ts';
import { lookAtMs } from './driver.ts';
import type { Advance, MigrationFacts } from './item-step.ts';
import { hasRunEnded, newRun, type PlanItem, type PlanRun } from './record.ts';
import { advanceRehearsal } from './rehearsal.ts';
import { reportOn } from './report.ts';

const CREATED = '2026-06-01T12:00:00.000Z';
const KEEP_MS = 60_000;
type Policy = 'stop' | 'go-on' | 'roll-back';
interface Sketch {
  readonly vms: number;
  readonly concurrency: number;
  readonly onFailure: Policy;
}

const item = (wave: number, index: number): PlanItem => ({
  ...{ key: `${wave}/vm${index}`, wave, vm: { id: `vm${wave}-${index}`, name: `vm${wave}-${index}` } },
  ...{ source: { endpoint: 'a', site: 'x' }, destination: { endpoint: 'b', site: 'y' }, plugin: 'simulated' },
  ...{
    networkMap: {},
    diskMap: {},
    keptDisks: [],
    disks: [],
    memoryBytes: 1,
    powerState: 'running',
    findings: [],
    migrations: [],
    state: 'waiting',
  },
  ...{ checkedAt: null, prediction: null, sourceAfter: null, leftAt: null, rehearsal: null, error: null },
  ...{ startedAt: null, endedAt: null },
});

function running(waves: readonly Sketch[]): PlanRun {
  const definition = planBodySchema.parse({
    waves: waves.map(({ concurrency, onFailure }) => ({
      vms: [{ kind: 'host', source: 'a', destination: { endpoint: 'b' } }],
      ...{ concurrency, onFailure },
    })),
    drill: { keepMs: KEEP_MS },
    rtoMs: 90_000,
  });
  const of = { id: `r_${'0'.repeat(8)}`, plan: 'p', project: null, mode: 'drill' as const, reverseOf: null };
  const items = waves.flatMap(({ vms }, wave) => Array.from({ length: vms }, (_, index) => item(wave, index)));
  return { ...newRun(definition, of, CREATED), phase: 'running', items };
}

const UNDER_WAY: MigrationFacts = {
  outcome: null,
  error: null,
  vacated: null,
  keptDisks: [],
  byHand: null,
  endedAtMs: null,
  leftAt: null,
  rehearsal: null,
};
const failure = { code: 'DRILL_COPY_ENDED', message: 'It stopped.', remedy: null };

/** The drills of single VMs, as they go. */
class Drills {
  readonly facts = new Map<string, MigrationFacts>();
  readonly ordered: string[] = [];
  nowMs = Date.parse(CREATED);

  /** Orders what the record says is ordered, as the driver does. */
  order({ items, pausedAt, cancelRequestedAt }: PlanRun): void {
    if (pausedAt !== null || cancelRequestedAt !== null) return;
    for (const { state, migrations } of items) {
      const id = migrations.at(-1);
      if (state !== 'copying' || id === undefined || this.facts.has(id)) continue;
      this.facts.set(id, UNDER_WAY);
      this.ordered.push(id);
    }
  }

  play(what: 'up' | 'failed' | 'cancelled' | 'stopped', which: number): void {
    const isMeant = ({ outcome, rehearsal }: MigrationFacts) =>
      outcome === null && (rehearsal !== null) === (what === 'stopped');
    const meant = [...this.facts].filter(([, facts]) => isMeant(facts));
    const [id, facts] = meant[which % Math.max(1, meant.length)] ?? [];
    if (id === undefined || facts === undefined) return;
    const upAt = new Date(this.nowMs).toISOString();
    const rehearsal = { copy: `${id}-drill`, networks: [], upAt, upAfterMs: 1_000, leftovers: [] };
    if (what === 'up') this.facts.set(id, { ...facts, rehearsal });
    else this.facts.set(id, { ...facts, outcome: what === 'stopped' ? 'failed' : what, error: failure });
  }

  /** Whose copy runs is undone and has succeeded. */
  cancel(ids: readonly string[]): void {
    for (const id of ids) {
      const facts = this.facts.get(id);
      if (facts?.outcome !== null) continue;
      this.facts.set(id, { ...facts, outcome: facts.rehearsal === null ? 'cancelled' : 'succeeded' });
    }
  }

  get copies(): number {
    return [...this.facts.values()].filter(({ outcome }) => outcome === null).length;
  }

  turn(run: PlanRun): Advance {
    this.nowMs += 1_000;
    this.order(run);
    const step = advanceRehearsal(run, { nowMs: this.nowMs, migrations: this.facts });
    this.cancel(step.cancel);
    return step;
  }

  /** On to the end, with every copy coming up. */
  toTheEnd(run: PlanRun): PlanRun {
    let now: PlanRun = { ...run, pausedAt: null };
    for (let steps = 0; !hasRunEnded(now); steps++) {
      assert.ok(steps < 200, `it never ends: ${JSON.stringify(now)}`);
      this.nowMs = Math.max(this.nowMs, lookAtMs(now) ?? 0);
      this.play('up', 0);
      now = this.turn(now).run;
    }
    return now;
  }
}

const states = ({ items }: PlanRun) => items.map(({ state }) => state);
const one: Sketch = { vms: 1, concurrency: 1, onFailure: 'stop' };

test('copies come up wave after wave, are kept for as long as the plan says, and undone; the report says how long it took', () => {
  const drills = new Drills();
  let run = running([one, one]);
  while (run.phase === 'running') {
    run = drills.turn(run).run;
    drills.play('up', 0);
  }
  assert.deepEqual([run.phase, states(run), drills.copies], ['keeping', ['copied', 'copied'], 2]);
  assert.equal(lookAtMs(run), drills.nowMs + KEEP_MS);
  assert.deepEqual(drills.turn(run).run, run, 'nobody ends it early');
  const ended = drills.toTheEnd(run);
  assert.deepEqual([ended.phase, states(ended), drills.copies], ['succeeded', ['rehearsed', 'rehearsed'], 0]);
  const { summary, durationMs } = reportOn(ended, [], CREATED);
  assert.deepEqual(
    summary.rehearsed.map(({ vm, fitsRto }) => [vm, fitsRto]),
    [
      ['vm0-0', true],
      ['vm1-0', true],
    ],
  );
  assert.deepEqual(summary.remaining, []);
  assert.ok(durationMs !== null && durationMs < KEEP_MS, 'what is kept is no part of a recovery');
});

test('who cannot be rehearsed holds up nobody, and the run has not succeeded', () => {
  const start = running([{ ...one, vms: 2 }]);
  const items = start.items.map((each, at) =>
    at === 0 ? { ...each, state: 'refused' as const, error: failure } : each,
  );
  const ended = new Drills().toTheEnd({ ...start, items });
  assert.deepEqual([ended.phase, states(ended)], ['failed', ['refused', 'rehearsed']]);
  assert.deepEqual(
    reportOn(ended, [], CREATED).summary.remaining.map(({ vm, why }) => [vm, why]),
    [['vm0-0', 'It stopped.']],
  );
});

test('a cancel while the copies are kept ends it sooner, and does not make it a failure', () => {
  const drills = new Drills();
  let run = running([one]);
  while (run.phase === 'running') {
    run = drills.turn(run).run;
    drills.play('up', 0);
  }
  const before = drills.nowMs;
  const ended = drills.toTheEnd({ ...run, cancelRequestedAt: CREATED });
  assert.equal(ended.phase, 'succeeded');
  assert.ok(drills.nowMs - before < KEEP_MS);
});

test('copies that were begun to be kept by a clock that was ahead are kept for as long as the plan says, not until that time', () => {
  const drills = new Drills();
  let run = running([one]);
  const nowMs = drills.nowMs;
  drills.nowMs += 365 * 24 * 3_600_000;
  while (run.phase === 'running') {
    run = drills.turn(run).run;
    drills.play('up', 0);
  }
  drills.nowMs = nowMs;
  run = drills.turn(run).run;
  assert.deepEqual([run.phase, lookAtMs(run)], ['keeping', drills.nowMs + KEEP_MS]);
  drills.nowMs += KEEP_MS;
  assert.equal(drills.turn(run).run.phase, 'undoing');
});

const sketch = fc.record({
  vms: fc.integer({ min: 1, max: 3 }),
  concurrency: fc.integer({ min: 1, max: 2 }),
  onFailure: fc.constantFrom<Policy>('stop', 'go-on', 'roll-back'),
});
const event = fc.oneof(
  fc.record({ what: fc.constantFrom('up', 'up', 'up', 'failed', 'cancelled', 'stopped'), which: fc.nat(5) }),
  fc.constantFrom('pause', 'resume', 'cancel', 'crash', 'nothing'),
);

test('whatever happens: within the concurrency, wave after wave, and every copy is undone before the run ends', () => {
  fc.assert(
    fc.property(
      fc.array(sketch, { minLength: 1, maxLength: 3 }),
      fc.array(event, { maxLength: 30 }),
      (waves, events) => {
        const drills = new Drills();
        let run = running(waves);
        for (const happening of events) {
          if (typeof happening === 'object') drills.play(happening.what as 'up', happening.which);
          else if (!hasRunEnded(run)) run = orderedBy(run, happening);
          const next = drills.turn(run).run;
          if (happening !== 'crash') run = next;
          assertSane(run, drills);
        }
        run = drills.toTheEnd(run);
        assertSane(run, drills);
        assert.equal(new Set(drills.ordered).size, drills.ordered.length, 'nothing is ordered twice');
        if (run.phase === 'succeeded') assert.ok(states(run).every((state) => state === 'rehearsed'));
      },
    ),
    { numRuns: 500 },
  );
});

function orderedBy(run: PlanRun, order: string): PlanRun {
  if (order === 'pause') return { ...run, pausedAt: CREATED };
  if (order === 'resume') return { ...run, pausedAt: null };
  return order === 'cancel' ? { ...run, cancelRequestedAt: CREATED, pausedAt: null } : run;
}

function assertSane(run: PlanRun, drills: Drills): void {
  const copying = run.items.filter(({ state }) => state === 'copying');
  const active = new Set(copying.map(({ wave }) => wave));
  assert.ok(active.size <= 1, 'one wave at a time');
  for (const wave of active)
    assert.ok(copying.length <= (run.definition.waves[wave]?.concurrency ?? 0), 'within the concurrency');
  if (!hasRunEnded(run)) return;
  assert.equal(drills.copies, 0, 'a copy outlives its run');
  assert.ok(!states(run).some((state) => state === 'copying' || state === 'copied' || state === 'waiting'));
}

test('an approval that nobody gives ends the waves of a drill: what came up is kept and undone, and it has not succeeded', () => {
  const begun = running([
    { vms: 1, concurrency: 1, onFailure: 'stop' },
    { vms: 1, concurrency: 1, onFailure: 'stop' },
  ]);
  for (const wave of begun.definition.waves)
    wave.afterwards = { pauseMs: 0, approval: true, approveWithinMs: 60_000, checks: [] };
  const ordered = advanceRehearsal(begun, { nowMs: 0, migrations: new Map() }).run;
  const id = ordered.items[0]?.migrations[0] ?? '';
  const rehearsal = { copy: 'x', networks: [], upAt: CREATED, upAfterMs: 1, leftovers: [] };
  const up = new Map([[id, { ...UNDER_WAY, rehearsal }]]);
  const waits = advanceRehearsal(ordered, { nowMs: 0, migrations: up }).run;
  const kept = advanceRehearsal(waits, { nowMs: 60_000, migrations: up }).run;
  assert.deepEqual([kept.phase, kept.waves.map(({ state }) => state)], ['keeping', ['failed', 'waiting']]);
  const undoing = advanceRehearsal(kept, { nowMs: 60_000 + KEEP_MS, migrations: up });
  assert.ok(undoing.cancel.includes(id));
  const undone = new Map([[id, { ...UNDER_WAY, outcome: 'succeeded' as const, rehearsal }]]);
  const ended = advanceRehearsal(undoing.run, { nowMs: 60_001 + KEEP_MS, migrations: undone }).run;
  assert.equal(ended.phase, 'failed');
  assert.match(ended.message, /^Nobody approved what follows wave 1 .* What came up is undone\.$/);
});
