/** What a report says of VMs that are not where they were to go. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planBodySchema } from '../schemas/plan.ts';
import { planReportSchema } from '../schemas/plan-run.ts';
import { notFound } from './in-words.ts';
import { limboFinding } from './limbo.ts';
import { newRun, newRunId, type PlanItem, type PlanRun } from './record.ts';
import { reportOn } from './report.ts';
import { reportPage } from './report-page.ts';

const AT = '2026-06-01T12:00:00.000Z';
const MIGRATION = 'm_00000000-0000-4000-8000-000000000000';

const reportOf = (...changes: readonly Partial<PlanItem>[]) => reportOfRun({}, ...changes);

function reportOfRun(run: Partial<PlanRun>, ...changes: readonly Partial<PlanItem>[]) {
  const definition = planBodySchema.parse({
    waves: [{ vms: [{ kind: 'host', source: 'a', destination: { endpoint: 'b' } }] }],
  });
  const of = { id: newRunId(), plan: 'p', project: null, mode: 'failover' as const, reverseOf: null };
  const items = changes.map((change, index): PlanItem => {
    const id = `vm-${index}`;
    return {
      ...{ key: `0/${id}`, wave: 0, vm: { id, name: id }, plugin: 'simulated', state: 'failed' },
      ...{ source: { endpoint: 'a', site: 'x' }, destination: { endpoint: 'b', site: 'y' } },
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
      ...{ checkedAt: null, prediction: null, sourceAfter: null, leftAt: null, rehearsal: null, error: null },
      ...{ startedAt: null, endedAt: null },
      ...change,
    };
  });
  return planReportSchema.parse(reportOn({ ...newRun(definition, of, AT), items, ...run }, [], run.endedAt ?? AT));
}

test('every VM that has not moved is named with the place where it is, or that nobody knows it', () => {
  const error = { code: 'CONNECTION_LOST', message: 'The connection was lost.', remedy: 'Look at both hosts.' };
  const report = reportOf(
    { state: 'moved' },
    { error, leftAt: 'source' },
    { error, leftAt: 'unknown' },
    { error, leftAt: 'both' },
    { error, leftAt: 'destination' },
    { state: 'stuck' },
    { state: 'moving-back' },
    { state: 'skipped' },
  );
  assert.deepEqual(report.summary.moved, ['vm-0']);
  assert.deepEqual(
    report.summary.remaining.map(({ vm, at, why }) => [vm, at, why]),
    [
      ['vm-1', 'a', 'The connection was lost. Look at both hosts.'],
      ['vm-2', null, 'Nobody knows where it runs: The connection was lost. Look at both hosts.'],
      ['vm-3', null, 'It runs at both ends: The connection was lost. Look at both hosts.'],
      ['vm-4', 'b', 'The connection was lost. Look at both hosts.'],
      ['vm-5', 'b', 'It could not be moved back.'],
      ['vm-6', null, 'It is on its way back from b to a.'],
      ['vm-7', 'a', 'Its turn never came.'],
    ],
  );
  assert.ok(reportPage(report).includes('<td>vm-2</td><td>not clear</td><td>Nobody knows where it runs'));
});

test('no place is named for one that is on its way, and what its migration asks of a person is said', () => {
  const [item] = reportOf({ state: 'moving', migrations: [MIGRATION] }).run.items;
  const findings = [limboFinding(item ?? assert.fail(), { leftAt: 'unknown', byHand: 'Look at both hosts.' })];
  const { remaining } = reportOf({ state: 'moving' }, { state: 'moving', findings }, { state: 'copying' }).summary;
  assert.deepEqual(
    remaining.map(({ at, why }) => [at, why]),
    [
      [null, 'It is on its way from a to b.'],
      [
        null,
        `It is on its way from a to b. Nobody knows where it runs; see lmas get ${MIGRATION}. Look at both hosts.`,
      ],
      ['a', 'A copy of it is being made.'],
    ],
  );
});

test('no place is named for one that its source does not know any more, or that somebody else moves', () => {
  const gone = notFound('vm-0', 'a');
  const other = { code: 'VM_ALREADY_MIGRATING', message: 'Migration m_1 of this VM is under way.', remedy: 'Wait.' };
  const { remaining } = reportOf(
    { error: gone },
    { error: other },
    { error: gone, state: 'refused' },
    { state: 'skipped', findings: [{ severity: 'blocker', ...gone }] },
    { error: { ...gone, code: 'ENDPOINT_CORDONED' } },
    { error: gone, leftAt: 'destination' },
  ).summary;
  assert.deepEqual(
    remaining.map(({ at }) => at),
    [null, null, null, null, 'a', 'b'],
  );
  assert.equal(
    remaining[0]?.why,
    'vm-0 was not found at a. It was moved or removed by somebody else: look where it runs, and begin a new run.',
  );
});

test('an objective is met by what has succeeded in time, and by nothing else', () => {
  const definition = planBodySchema.parse({
    waves: [{ vms: [{ kind: 'host', source: 'a', destination: { endpoint: 'b' } }] }],
    rtoMs: 60_000,
  });
  const upAt = (seconds: number) => ({
    state: 'rehearsed' as const,
    rehearsal: { copy: 'c', networks: [], upAt: later(seconds), upAfterMs: 1, leftovers: [] },
  });
  const later = (seconds: number) => new Date(Date.parse(AT) + seconds * 1_000).toISOString();
  const objective = (
    phase: PlanRun['phase'],
    seconds: number | null,
    more: Partial<PlanRun> = {},
    ...items: Partial<PlanItem>[]
  ) => {
    const startedAt = seconds === null ? null : AT;
    const report = reportOfRun({ definition, phase, startedAt, endedAt: later(seconds ?? 0), ...more }, ...items);
    return /objective<\/th><td>([^<]*)</.exec(reportPage(report))?.[1]?.split(': ').slice(1).join(': ');
  };
  assert.equal(objective('succeeded', 30), 'met');
  assert.equal(objective('succeeded', 61), 'missed');
  assert.equal(objective('failed', 30), 'not reached: the run failed');
  assert.equal(objective('cancelled', 30), 'not reached: the run was cancelled');
  assert.equal(objective('failed', 61), 'missed');
  assert.equal(objective('running', 30), 'not missed so far');
  assert.equal(objective('failed', null), 'nothing was moved');
  assert.equal(objective('succeeded', 90, { mode: 'drill' }, upAt(20), upAt(59)), 'met');
  assert.equal(objective('succeeded', 90, { mode: 'drill' }, upAt(20), upAt(61)), 'missed');
});
