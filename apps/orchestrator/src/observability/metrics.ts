/**
 * What Prometheus may read: one registry, made in main.ts and handed to those who count. Labels are bounded by what the
 * code and administrators name (phase, plugin, outcome, error code, operation, the sites of a link), never by ids. Counters are of this process
 * and its life; gauges of the whole installation are read from Redis at each scrape, alike in every process.
 *
 * It owns the registry. docs/operations.md explains each metric; deploy/ has the alerts and the dashboard over them.
 */
import { PLUGIN_ERRORS } from '@lmas/plugin-api';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { ORCHESTRATOR_ERRORS } from '../errors.ts';
import { isOutcome, OUTCOMES } from '../migrations/phases.ts';
import { isUndecided, type Migration } from '../migrations/record.ts';
import { waitReasonSchema } from '../schemas/migration.ts';
import { VERSION } from '../version.ts';
import type { ReadState } from './state.ts';
import { createStateGauges } from './state-gauges.ts';

/** From a check that takes a moment to disks that take a night. */
const STAGE_BUCKETS_S = [0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 14_400, 43_200];
const DOWNTIME_BUCKETS_S = [0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10, 30];
const NOBODY_KNOWS = ['unknown', 'both'] as const;

export interface Exposition {
  readonly contentType: string;
  readonly text: string;
}

export interface Call {
  /** As in the OpenAPI document; `none` for what it does not have. */
  readonly operation: string;
  readonly status: number;
  /** `null` for a stream, which lasts as long as its reader likes. */
  readonly durationMs: number | null;
}

export interface Metrics {
  exposition(): Promise<Exposition>;
  /** A run has written a record. */
  migrationChanged(before: Migration, after: Migration, run: { readonly isRecovery: boolean }): void;
  callAnswered(call: Call): void;
  auditEntryLost(): void;
  /** Something went into the history of a schedule. */
  scheduleActed(event: string): void;
  planRunEnded(mode: string, outcome: string): void;
  balancingPassTaken(pass: { readonly mode: string; readonly policy: string }): void;
  /** A move was submitted, or was not. */
  balancingMoveAnswered(state: string): void;
  /** @param fault what went wrong; `null`: delivered */
  webhookAttempted(fault: string | null): void;
}

export interface MetricsParts {
  readonly role: string;
  /** Asked once for each scrape. */
  readonly readState: ReadState;
  /** Sessions to endpoints that are open for questions, by plugin. */
  readonly sessionsOf: () => ReadonlyMap<string, number>;
  /** What this process answers, and the plugins whose migrations it runs. Their series are there with 0 from the start. */
  readonly operations: readonly string[];
  readonly plugins: readonly string[];
}

/** A series that begins with its first event shows no increase by it: what alerts and the dashboard take an increase of begins at 0. */
export function createMetrics({ role, readState, sessionsOf, operations, plugins }: MetricsParts): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const build = new Gauge({ name: 'lmas_build_info', help: 'Always 1.', labelNames: ['version', 'role'], registers });
  build.set({ version: VERSION, role }, 1);
  const refreshState = createStateGauges(registry, readState);
  new Gauge({
    name: 'lmas_question_sessions',
    help: 'Sessions of this process to endpoints that are kept open for questions of people and policies, by plugin.',
    labelNames: ['plugin'],
    registers,
    collect() {
      for (const [plugin, open] of sessionsOf()) this.set({ plugin }, open);
    },
  });
  const migrationChanged = countMigrations(registry, plugins);
  const calls = new Counter({
    name: 'lmas_http_requests_total',
    help: 'Answers of the API by operation and status.',
    labelNames: ['operation', 'status'],
    registers,
  });
  for (const operation of operations) calls.inc({ operation, status: 500 }, 0);
  const callSeconds = new Histogram({
    name: 'lmas_http_request_duration_seconds',
    help: 'How long answers took, event streams aside.',
    labelNames: ['operation'],
    registers,
  });
  const auditLost = new Counter({
    name: 'lmas_audit_entries_lost_total',
    help: 'Entries of the audit log that Redis did not take; they are in the log of the process.',
    registers,
  });
  const attempts = new Counter({
    name: 'lmas_webhook_attempts_total',
    help: 'Attempts to deliver a webhook, by what came of them.',
    labelNames: ['outcome'],
    registers,
  });
  attempts.inc({ outcome: 'delivered' }, 0);
  const scheduled = new Counter({
    name: 'lmas_schedule_events_total',
    help: 'What schedules did: runs started, waiting, skipped, refused, and how they ended.',
    labelNames: ['event'],
    registers,
  });
  const planRuns = new Counter({
    name: 'lmas_plan_runs_ended_total',
    help: 'Runs of plans that came to their end.',
    labelNames: ['mode', 'outcome'],
    registers,
  });
  const passes = new Counter({
    name: 'lmas_balancing_passes_total',
    help: 'Passes of balancing policies by mode.',
    labelNames: ['mode'],
    registers,
  });
  const moves = new Counter({
    name: 'lmas_balancing_moves_total',
    help: 'Moves of balancing policies: submitted, refused when looked at once more, rejected by a person.',
    labelNames: ['outcome'],
    registers,
  });

  return {
    async exposition() {
      await refreshState();
      return { contentType: registry.contentType, text: await registry.metrics() };
    },
    migrationChanged,
    callAnswered({ operation, status, durationMs }) {
      calls.inc({ operation, status });
      if (durationMs !== null) callSeconds.observe({ operation }, durationMs / 1_000);
    },
    auditEntryLost: () => auditLost.inc(),
    scheduleActed: (event) => scheduled.inc({ event }),
    planRunEnded: (mode, outcome) => planRuns.inc({ mode, outcome }),
    balancingPassTaken: ({ mode }) => passes.inc({ mode }),
    balancingMoveAnswered: (state) => moves.inc({ outcome: state }),
    webhookAttempted: (fault) => attempts.inc({ outcome: fault === null ? 'delivered' : fault.toLowerCase() }),
  };
}

const ERRORS: Readonly<Record<string, { readonly retryable: boolean }>> = { ...ORCHESTRATOR_ERRORS, ...PLUGIN_ERRORS };
/** A plugin by somebody else may bring any code: those that no table has are one. */
const OTHER = 'OTHER';
const codeOf = (code: string): string => (Object.hasOwn(ERRORS, code) ? code : OTHER);
const CODES = [...Object.keys(ERRORS), OTHER];
const PASSING_CODES = CODES.filter((code) => ERRORS[code]?.retryable ?? true);

const secondsBetween = (from: string, to: string): number => (Date.parse(to) - Date.parse(from)) / 1_000;

/** Within one phase, in which it waited from the beginning to the end. */
const secondsWaited = ({ waits }: Migration, from: string, to: string): number =>
  waits
    .filter(({ startedAt, endedAt }) => endedAt !== null && startedAt >= from && endedAt <= to)
    .reduce((sum, { startedAt, endedAt }) => sum + secondsBetween(startedAt, endedAt ?? startedAt), 0);

/** What a counter that never falls grew by; one that fell began anew with another tunnel. */
const growth = (before: number, after: number): number => (after >= before ? after - before : after);

function countMigrations(registry: Registry, plugins: readonly string[]): Metrics['migrationChanged'] {
  const registers = [registry];
  const ended = new Counter({
    name: 'lmas_migrations_ended_total',
    help: 'Migrations that came to their end; code: none, or why not.',
    labelNames: ['plugin', 'outcome', 'code'],
    registers,
  });
  const undecided = new Counter({
    name: 'lmas_migrations_undecided_total',
    help: 'Migrations that ended without anybody knowing where the VM runs, or with two copies of it.',
    labelNames: ['where'],
    registers,
  });
  for (const where of NOBODY_KNOWS) undecided.inc({ where }, 0);
  const phaseSeconds = new Histogram({
    name: 'lmas_migration_phase_duration_seconds',
    help: 'How long each phase took, without what was only waited in it.',
    labelNames: ['phase', 'plugin'],
    buckets: STAGE_BUCKETS_S,
    registers,
  });
  const waitSeconds = new Histogram({
    name: 'lmas_migration_wait_duration_seconds',
    help: 'How long migrations waited for a place, or for hosts or addresses of a gateway machine that others had.',
    labelNames: ['reason', 'plugin'],
    buckets: STAGE_BUCKETS_S,
    registers,
  });
  const downtime = new Histogram({
    name: 'lmas_migration_downtime_seconds',
    help: 'How long guests stood still, as their hypervisors say.',
    labelNames: ['plugin'],
    buckets: DOWNTIME_BUCKETS_S,
    registers,
  });
  const retries = new Counter({
    name: 'lmas_migration_retries_total',
    help: 'Attempts that failed before the hand-over and are tried again by themselves.',
    labelNames: ['plugin', 'code'],
    registers,
  });
  const recoveries = new Counter({
    name: 'lmas_migration_recoveries_total',
    help: 'Migrations that a run took up after another one was lost.',
    labelNames: ['plugin'],
    registers,
  });
  const bytes = new Counter({
    name: 'lmas_tunnel_delivered_bytes_total',
    help: 'What tunnels delivered to hypervisors.',
    registers,
  });
  const subflows = new Counter({
    name: 'lmas_tunnel_subflows_replaced_total',
    help: 'Connections of tunnels that broke or crawled, and were replaced.',
    registers,
  });

  for (const plugin of plugins) {
    for (const outcome of OUTCOMES) ended.inc({ plugin, outcome, code: 'none' }, 0);
    for (const code of CODES) ended.inc({ plugin, outcome: 'failed', code }, 0);
    for (const code of PASSING_CODES) retries.inc({ plugin, code }, 0);
    recoveries.inc({ plugin }, 0);
    for (const reason of ['place', ...waitReasonSchema.options]) waitSeconds.zero({ reason, plugin });
  }

  const end = (migration: Migration, plugin: string): void => {
    const { phase, error, where, report } = migration;
    ended.inc({ plugin, outcome: phase, code: error === null ? 'none' : codeOf(error.code) });
    if (isUndecided(migration)) undecided.inc({ where });
    const downtimeMs = report?.downtimeMs ?? null;
    if (downtimeMs !== null) downtime.observe({ plugin }, downtimeMs / 1_000);
  };
  return (before, after, { isRecovery }) => {
    const plugin = after.plugin ?? 'none';
    after.timeline.slice(before.timeline.length).forEach(({ startedAt }, index) => {
      const left = after.timeline[before.timeline.length + index - 1];
      if (left === undefined) return;
      const seconds = secondsBetween(left.startedAt, startedAt);
      if (left.phase === 'queued') waitSeconds.observe({ reason: 'place', plugin }, seconds);
      else {
        const worked = seconds - secondsWaited(after, left.startedAt, startedAt);
        phaseSeconds.observe({ phase: left.phase, plugin }, Math.max(0, worked));
      }
    });
    after.waits.forEach(({ reason, startedAt, endedAt }, index) => {
      const hasJustEnded = endedAt !== null && (before.waits[index]?.endedAt ?? null) === null;
      if (hasJustEnded) waitSeconds.observe({ reason, plugin }, secondsBetween(startedAt, endedAt));
    });
    if (after.phase !== before.phase && isOutcome(after.phase)) end(after, plugin);
    for (const { code } of after.failedAttempts.slice(before.failedAttempts.length)) {
      retries.inc({ plugin, code: codeOf(code) });
    }
    if (isRecovery && after.runs > before.runs) recoveries.inc({ plugin });
    bytes.inc(growth(before.tunnel?.bytesDelivered ?? 0, after.tunnel?.bytesDelivered ?? 0));
    subflows.inc(growth(before.tunnel?.subflowsReplaced ?? 0, after.tunnel?.subflowsReplaced ?? 0));
  };
}
