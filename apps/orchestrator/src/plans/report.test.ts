/** What a report says of VMs that are not where they were to go. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planBodySchema } from '../schemas/plan.ts';
import { planReportSchema } from '../schemas/plan-run.ts';
import { newRun, newRunId, type PlanItem } from './record.ts';
import { reportOn } from './report.ts';
import { reportPage } from './report-page.ts';

const AT = '2026-06-01T12:00:00.000Z';

function reportOf(...changes: readonly Partial<PlanItem>[]) {
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
  return planReportSchema.parse(reportOn({ ...newRun(definition, of, AT), items }, [], AT));
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
      ['vm-1', 'a', 'The connection was lost.'],
      ['vm-2', null, 'Nobody knows where it runs: The connection was lost. Look at both hosts.'],
      ['vm-3', null, 'It runs at both ends: The connection was lost. Look at both hosts.'],
      ['vm-4', 'b', 'The connection was lost.'],
      ['vm-5', 'b', 'It could not be moved back.'],
      ['vm-6', 'b', 'It is moved back.'],
      ['vm-7', 'a', 'Its turn never came.'],
    ],
  );
  assert.ok(reportPage(report).includes('<td>vm-2</td><td>not clear</td><td>Nobody knows where it runs'));
});
