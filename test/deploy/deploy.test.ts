/** The alerts and the dashboard of deploy/ against the metrics that the orchestrator really shows: names, labels, values. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { parse } from 'yaml';
import { z } from 'zod';
import { OPERATIONS } from '../../apps/orchestrator/src/http/call-observer.ts';
import { type Migration, newMigrationId, newRecord } from '../../apps/orchestrator/src/migrations/record.ts';
import { createMetrics, type Metrics } from '../../apps/orchestrator/src/observability/metrics.ts';
import type { InstallationState } from '../../apps/orchestrator/src/observability/state.ts';
import { migrationInputSchema, waitReasonSchema } from '../../apps/orchestrator/src/schemas/migration.ts';
import { namesIn } from './expressions.ts';

const file = (name: string) => readFile(new URL(`../../deploy/${name}`, import.meta.url), 'utf8');

const rulesSchema = z.strictObject({
  groups: z.array(
    z.strictObject({
      name: z.string(),
      rules: z.array(
        z.strictObject({
          alert: z.string().regex(/^Lmas[A-Za-z]+$/),
          expr: z.string(),
          for: z
            .string()
            .regex(/^\d+[smhd]$/)
            .optional(),
          labels: z.strictObject({ severity: z.enum(['critical', 'warning', 'info']) }),
          annotations: z.strictObject({ summary: z.string().min(10), action: z.string().min(10) }),
        }),
      ),
    }),
  ),
});
const dashboardSchema = z.looseObject({
  title: z.string(),
  panels: z.array(
    z.looseObject({
      id: z.int(),
      type: z.enum(['row', 'stat', 'timeseries']),
      title: z.string().min(1),
      targets: z.array(z.looseObject({ expr: z.string() })).default([]),
    }),
  ),
});

/** One line of what is shown. */
interface Series {
  readonly metric: string;
  readonly labels: Readonly<Record<string, string>>;
}

async function shown(metrics: Metrics): Promise<Series[]> {
  return (await metrics.exposition()).text.split('\n').flatMap((line): Series[] => {
    const [, metric, labels = ''] = /^([a-z_]\w*)(?:\{(.*)\})? /i.exec(line) ?? [];
    if (metric === undefined) return [];
    const pairs = [...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, label = '', value = '']) => [label, value]);
    return [{ metric, labels: Object.fromEntries(pairs) }];
  });
}

/** What is shown when nothing has happened yet, and once everything has. */
async function realSeries(): Promise<{ fresh: Series[]; all: Series[] }> {
  const link = {
    ...{ source: 'x', destination: 'y', tunnels: 1, subflows: 7, goodputBitsPerSec: 1, linkBitsPerSec: 1 },
    ...{ rttMs: 1, queueMs: 0, lossShare: 0, queueBytes: 0 },
  };
  const state: InstallationState = {
    ...{ redisLatencyMs: 1, migrations: new Map(), waiting: 0, admitted: 0, isPaused: false, incomplete: 0 },
    ...{ undecided: 0, gateways: [], tunnels: 0, goodputBitsPerSec: 0, webhookNoticesMissed: 0, links: [link] },
  };
  const parts = { role: 'all', operations: OPERATIONS, plugins: ['kvm'] };
  const metrics = createMetrics({ ...parts, readState: async () => state, sessionsOf: () => new Map([['kvm', 1]]) });
  const fresh = await shown(metrics);
  const request = migrationInputSchema.parse({ vm: 'v', source: 'a', destination: 'b' });
  const { migration } = newRecord(newMigrationId(), request, { source: 'x', destination: 'y' }, [], { plugin: 'kvm' });
  const report = {
    ...{ downtimeMs: 10, bytesTransferred: null, iterations: null, keptAtSource: [] },
    ...{ sourceDefinition: null, warnings: [] },
  };
  const startedAt = migration.createdAt;
  const waits = waitReasonSchema.options.map((reason) => ({ reason, startedAt, endedAt: startedAt }));
  const error = { code: 'UNREACHABLE', message: '', remedy: null, retryable: true, native: null, cause: null };
  for (const phase of ['succeeded', 'failed', 'cancelled'] as const) {
    const timeline = [...migration.timeline, { phase: 'checking' as const, startedAt }, { phase, startedAt }];
    const after: Migration = {
      ...migration,
      ...{ phase, report, runs: 2, timeline, waits },
      error: phase === 'failed' ? { ...error, phase: 'checking' } : null,
      failedAttempts: [{ at: migration.createdAt, phase: 'checking', code: 'UNREACHABLE', message: '' }],
    };
    metrics.migrationChanged({ ...migration, runs: 1 }, after, { isRecovery: true });
  }
  for (const status of [200, 500]) metrics.callAnswered({ operation: 'getMigration', status, durationMs: 1 });
  return { fresh, all: await shown(metrics) };
}

/** Prometheus itself adds these. */
const TARGET_LABELS = new Set(['job', 'instance']);
const { fresh, all } = await realSeries();
/** Of each metric: label → its values. */
const real = new Map<string, Map<string, Set<string>>>();
for (const { metric, labels } of all) {
  const known = real.get(metric) ?? new Map<string, Set<string>>();
  for (const [label, value] of Object.entries(labels)) known.set(label, (known.get(label) ?? new Set()).add(value));
  real.set(metric, known);
}

function assertReal(expression: string): void {
  const { selectors, grouping } = namesIn(expression);
  assert.ok(selectors.length > 0, expression);
  for (const { metric, matchers } of selectors) {
    if (metric === 'up') continue;
    const labels = real.get(metric);
    assert.ok(labels !== undefined, `no metric ${metric}: ${expression}`);
    for (const { label, operator, value } of matchers) {
      if (TARGET_LABELS.has(label)) continue;
      const values = labels.get(label);
      assert.ok(values !== undefined, `${metric} has no label ${label}: ${expression}`);
      const wanted = operator.endsWith('~') ? value.split('|') : [value];
      for (const each of wanted) assert.ok(values.has(each), `${metric} has no ${label}="${each}": ${expression}`);
    }
    for (const label of grouping) {
      assert.ok(TARGET_LABELS.has(label) || labels.has(label), `${metric} has no label ${label}: ${expression}`);
    }
  }
}

/** A series that begins with its first event has grown by nothing, as Prometheus sees it. */
function assertBegun(expression: string): void {
  for (const [, inside = ''] of expression.matchAll(/\bincrease\(([^[]*)\[/g)) {
    for (const { metric, matchers } of namesIn(inside).selectors) {
      const isMeant = (series: Series): boolean =>
        series.metric === metric &&
        matchers.every(({ label, operator, value }) => {
          assert.equal(operator, '=', `teach this test: ${expression}`);
          return series.labels[label] === value;
        });
      const begun = new Set(fresh.filter(isMeant).map(({ labels }) => JSON.stringify(labels)));
      const grown = all.filter(isMeant);
      assert.ok(grown.length > 0, `no series of ${inside}`);
      for (const { labels } of grown) {
        assert.ok(
          begun.has(JSON.stringify(labels)),
          `${metric}${JSON.stringify(labels)} begins with its first event: ${expression}`,
        );
      }
    }
  }
}

test('every alert asks for what there is, and says what to do', async () => {
  const { groups } = rulesSchema.parse(parse(await file('alerts.yaml')));
  const rules = groups.flatMap((group) => group.rules);
  assert.equal(new Set(rules.map(({ alert }) => alert)).size, rules.length);
  for (const { expr, annotations } of rules) {
    assertReal(expr);
    assertBegun(expr);
    const answered = new Set([...namesIn(expr).grouping, ...TARGET_LABELS]);
    for (const [, label = ''] of JSON.stringify(annotations).matchAll(/\$labels\.(\w+)/g)) {
      assert.ok(answered.has(label), `${label} is not in the answer of ${expr}`);
    }
  }
  assert.ok(rules.some(({ expr, labels }) => expr.includes('whereabouts_unknown') && labels.severity === 'critical'));
});

test('every panel of the dashboard asks for what there is', async () => {
  const { panels } = dashboardSchema.parse(JSON.parse(await file('grafana-dashboard.json')));
  assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
  for (const { type, title, targets } of panels) {
    assert.equal(targets.length > 0, type !== 'row', title);
    for (const { expr } of targets) {
      assertReal(expr);
      assertBegun(expr);
    }
  }
});

test('a wrong name, label or value is noticed', () => {
  for (const wrong of [
    'max(lmas_queue_wating)',
    'lmas_gateways{state="carrying"}',
    'lmas_gateways{status="caring"}',
    'rate(lmas_migration_wait_duration_seconds_sum{reason="adresses"}[1h])',
    'sum by (site) (lmas_gateways)',
    'summe(lmas_gateways)',
  ]) {
    assert.throws(() => assertReal(wrong), wrong);
  }
  const late = 'sum(increase(lmas_http_requests_total{status="200"}[1h])) > 0';
  assert.throws(() => assertBegun(late), /begins with its first event/);
});
