/** The one sentence of a run that goes through its waves: how it is, and why it does not go on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planBodySchema } from '../schemas/plan.ts';
import { advance } from './advance.ts';
import type { MigrationFacts } from './item-step.ts';
import { told } from './progress.ts';
import { newRun, newRunId, type PlanItem, type PlanRun } from './record.ts';
import { judge } from './validate.ts';

const AT = '2026-06-01T12:00:00.000Z';
const AT_MS = Date.parse(AT);
const tcp = { kind: 'tcp' as const, host: '10.0.0.1', port: 5432 };

const vm = (wave: number, name: string): PlanItem => ({
  ...{ key: `${wave}/${name}`, wave, vm: { id: name, name }, plugin: 'simulated', state: 'waiting' },
  ...{ source: { endpoint: 'a', site: 'x' }, destination: { endpoint: 'b', site: 'y' } },
  ...{ networkMap: {}, diskMap: {}, keptDisks: [], disks: [], memoryBytes: 1, powerState: 'running', findings: [] },
  ...{ migrations: [], checkedAt: AT, prediction: null, sourceAfter: null, leftAt: null, rehearsal: null },
  ...{ error: null, startedAt: null, endedAt: null },
});

/** Two waves: db-1 and db-2, then web. Checked, and not begun. */
function checked(first: object = {}): PlanRun {
  const wave = { vms: [{ kind: 'host', source: 'a', destination: { endpoint: 'b' } }] };
  const definition = planBodySchema.parse({ waves: [{ name: 'w0', concurrency: 2, ...wave, ...first }, wave] });
  const of = { id: newRunId(), plan: 'p', project: null, mode: 'failover' as const, reverseOf: null };
  const items = [vm(0, 'db-1'), vm(0, 'db-2'), vm(1, 'web')];
  return { ...newRun(definition, of, AT), phase: 'validating', items };
}

type Outcome = MigrationFacts['outcome'];
/** A look at the run, of whose VMs this has become, by name. */
function look(run: PlanRun, outcomes: Record<string, Outcome> = {}, nowMs = AT_MS) {
  const known = run.items.flatMap(({ vm: { name }, migrations }) => {
    const [id, outcome] = [migrations.at(-1), outcomes[name] ?? null];
    if (id === undefined) return [];
    const nothing = { error: null, keptDisks: [], byHand: null, endedAtMs: null, leftAt: null, rehearsal: null };
    return [[id, { ...nothing, outcome, vacated: outcome === 'succeeded' ? ('absent' as const) : null }] as const];
  });
  return advance(run, { nowMs, migrations: new Map<string, MigrationFacts>(known) });
}
const begun = (first: object = {}) => look(judge(checked(first), AT_MS)).run;
const BOTH = { 'db-1': 'succeeded', 'db-2': 'succeeded' } as const;
const ONE = { 'db-1': 'succeeded', 'db-2': 'failed' } as const;
const pausedAt = AT;

test('a pause is said, with what goes on when the run does', () => {
  const before = judge({ ...checked(), pausedAt }, AT_MS);
  assert.equal(before.message, 'It is paused; wave 1 (w0) begins with resume.');
  assert.equal(look(before).run.message, before.message);
  const moving = look({ ...begun(), pausedAt }).run;
  assert.equal(moving.message, 'It is paused; what moves of wave 1 (w0) goes on, the rest begins with resume.');
  assert.equal(look(moving, BOTH).run.message, 'It is paused; wave 2 begins with resume.');
  assert.equal(look({ ...moving, pausedAt: null }).run.message, 'Its VMs move.');
});

test('who waits for an approval while it is paused is told no time, and what was approved waits for the resume', () => {
  const afterwards = { approval: true, approveWithinMs: 60_000 };
  const waits = look(begun({ afterwards }), BOTH).run;
  const who = 'an operator or admin may give it';
  assert.equal(waits.message, `Wave 1 (w0) waits since ${AT} for an approval: ${who} until 2026-06-01T12:01:00.000Z.`);
  const paused = told({ ...waits, pausedAt });
  assert.equal(
    paused.message,
    `It is paused; wave 1 (w0) waits for an approval: ${who}, for which the time begins anew with resume.`,
  );
  assert.equal(look(paused, {}, AT_MS + 600_000).run.message, paused.message);
  const approved = (run: PlanRun): PlanRun =>
    told({ ...run, waves: run.waves.map((wave, at) => (at === 0 ? { ...wave, approvedAt: AT } : wave)) });
  const words = 'It is paused; wave 2 is approved and begins with resume.';
  assert.deepEqual([approved(paused).message, look(approved(paused)).run.message], [words, words]);
  assert.equal(look(approved(waits)).run.message, 'Its VMs move.');
  const red = look({ ...begun({ afterwards }), project: 'red' }, BOTH).run.message;
  assert.match(red, /: an operator or admin, of project red or of none, may give it until /);
});

test('what stands between two waves, and why a wave failed, is said', () => {
  const between = look(begun({ afterwards: { pauseMs: 5_000, checks: [tcp] } }), BOTH).run;
  assert.equal(between.message, 'Wave 1 (w0) is over; what comes next waits for a pause and its checks.');
  const message = 'TCP to 10.0.0.1 port 5432: refused.';
  const check = {
    ...{ check: { ...tcp, timeoutMs: 1, withinMs: 0 }, passed: false, attempts: 1 },
    message,
    at: AT,
    durationMs: 1,
  };
  const failed = {
    ...between,
    waves: between.waves.map((wave, at) => (at === 0 ? { ...wave, checks: [check] } : wave)),
  };
  const later = AT_MS + 5_000;
  assert.equal(look(failed, {}, later).run.message, 'Wave 1 (w0) failed: TCP to 10.0.0.1 port 5432: refused.');
  assert.equal(look(begun(), ONE).run.message, 'Wave 1 (w0) failed: db-2 did not move.');
});

test('a roll-back is said while it goes on, and after it what has become of the VMs', () => {
  const { run, entries } = look(begun({ onFailure: 'roll-back' }), ONE);
  const why = 'Wave 1 (w0) is rolled back: db-2 did not move.';
  assert.equal(run.message, why);
  assert.ok(entries.some(({ message }) => message === why));
  assert.equal(told({ ...run, pausedAt }).message, 'It is paused; wave 1 (w0) is rolled back further with resume.');
  const failed = 'Wave 1 (w0) failed: db-2 did not move.';
  assert.equal(look(run, { 'db-1': 'succeeded' }).run.message, `${failed} It was rolled back: db-1 moved back.`);
  assert.equal(look(run, { 'db-1': 'failed' }).run.message, `${failed} Not moved back: db-1.`);
});

test('a wave that goes on is not called done when VMs of it did not move', () => {
  const said = (outcomes: Record<string, Outcome>) =>
    look(begun({ onFailure: 'go-on' }), outcomes).entries.find(({ message }) => message.startsWith('Wave 1'))?.message;
  assert.equal(said(BOTH), 'Wave 1 (w0) is done.');
  assert.equal(said(ONE), 'Wave 1 (w0) is over: db-2 did not move.');
});
