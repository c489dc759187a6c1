/** The registry by itself: what each change of a record moves, and that nothing a stranger chooses becomes a label. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Migration, newMigrationId, newRecord } from '../migrations/record.ts';
import { migrationInputSchema } from '../schemas/migration.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import type { InstallationState } from './state.ts';

const QUIET: InstallationState = {
  ...{ redisLatencyMs: 2, migrations: new Map([['performing', 3]]), waiting: 4, admitted: 5, isPaused: true },
  ...{
    incomplete: 1,
    undecided: 2,
    gateways: [{ status: 'carrying' }],
    tunnels: 1,
    goodputBitsPerSec: 9e8,
    links: [],
    webhookNoticesMissed: 0,
  },
};

function record(changes: Partial<Migration> = {}): Migration {
  const request = migrationInputSchema.parse({ vm: 'web-1', source: 'a', destination: 'b' });
  const sites = { source: 'x', destination: 'y' };
  return { ...newRecord(newMigrationId(), request, sites, [], { plugin: 'kvm' }).migration, ...changes };
}

async function lines(metrics: Metrics): Promise<string[]> {
  return (await metrics.exposition()).text.split('\n').filter((line) => !line.startsWith('#'));
}

const FIRST_RUN = { isRecovery: false };
const OF_NOBODY = { role: 'all', operations: [], plugins: [], sessionsOf: () => new Map<string, number>() };
const metricsOf = () => createMetrics({ ...OF_NOBODY, readState: async () => QUIET });

test('the way to the end is counted once, with the time of each phase', async () => {
  const metrics = metricsOf();
  const queued = record({ timeline: [{ phase: 'queued', startedAt: '2026-01-01T00:00:00.000Z' }] });
  const checking = record({
    phase: 'checking',
    timeline: [...queued.timeline, { phase: 'checking', startedAt: '2026-01-01T00:00:07.000Z' }],
  });
  metrics.migrationChanged(queued, checking, FIRST_RUN);
  metrics.migrationChanged(checking, checking, FIRST_RUN);
  const failed = record({
    phase: 'failed',
    where: 'unknown',
    byHand: 'Look at both ends.',
    error: {
      ...{ code: 'OUTCOME_UNKNOWN', message: '', remedy: null, retryable: false },
      ...{ phase: 'checking', native: null, cause: null },
    },
    timeline: [...checking.timeline, { phase: 'failed', startedAt: '2026-01-01T00:00:08.000Z' }],
  });
  metrics.migrationChanged(checking, failed, FIRST_RUN);
  metrics.migrationChanged(failed, failed, FIRST_RUN);
  const shown = await lines(metrics);
  assert.ok(shown.includes('lmas_migration_wait_duration_seconds_sum{reason="place",plugin="kvm"} 7'));
  assert.ok(!shown.some((line) => line.includes('phase="queued",plugin')), 'a wait is no work');
  assert.ok(shown.includes('lmas_migration_phase_duration_seconds_count{phase="checking",plugin="kvm"} 1'));
  assert.ok(shown.includes('lmas_migrations_ended_total{plugin="kvm",outcome="failed",code="OUTCOME_UNKNOWN"} 1'));
  assert.ok(shown.includes('lmas_migrations_undecided_total{where="unknown"} 1'));
  assert.ok(shown.includes('lmas_migrations_undecided_total{where="both"} 0'));
});

test('the waits for hosts and for addresses are times of their own, and none of the phase in which they were waited', async () => {
  const metrics = metricsOf();
  const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString();
  const checking = record({ phase: 'checking', timeline: [{ phase: 'checking', startedAt: at(0) }] });
  const hosts = { reason: 'hosts' as const, startedAt: at(2) };
  const waiting = { ...checking, waits: [{ ...hosts, endedAt: null }] };
  metrics.migrationChanged(checking, waiting, FIRST_RUN);
  const addresses = { reason: 'addresses' as const, startedAt: at(33) };
  const waitsAgain = {
    ...waiting,
    waits: [
      { ...hosts, endedAt: at(32) },
      { ...addresses, endedAt: null },
    ],
  };
  metrics.migrationChanged(waiting, waitsAgain, FIRST_RUN);
  const goesOn = {
    ...waiting,
    waits: [
      { ...hosts, endedAt: at(32) },
      { ...addresses, endedAt: at(43) },
    ],
  };
  metrics.migrationChanged(waitsAgain, goesOn, FIRST_RUN);
  const next = { phase: 'provisioning' as const, startedAt: at(47) };
  const moved = { ...goesOn, phase: next.phase, timeline: [...goesOn.timeline, next] };
  metrics.migrationChanged(goesOn, moved, FIRST_RUN);
  metrics.migrationChanged(moved, moved, FIRST_RUN);
  const shown = await lines(metrics);
  for (const line of [
    'lmas_migration_wait_duration_seconds_sum{reason="hosts",plugin="kvm"} 30',
    'lmas_migration_wait_duration_seconds_count{reason="hosts",plugin="kvm"} 1',
    'lmas_migration_wait_duration_seconds_sum{reason="addresses",plugin="kvm"} 10',
    'lmas_migration_wait_duration_seconds_count{reason="addresses",plugin="kvm"} 1',
    'lmas_migration_phase_duration_seconds_sum{phase="checking",plugin="kvm"} 7',
  ]) {
    assert.ok(shown.includes(line), line);
  }
});

test('a VM that was never looked for is not one of which nobody knows where it runs', async () => {
  const metrics = metricsOf();
  metrics.migrationChanged(record(), record({ phase: 'cancelled' }), FIRST_RUN);
  assert.equal(record().where, 'unknown');
  assert.ok((await lines(metrics)).includes('lmas_migrations_undecided_total{where="unknown"} 0'));
});

test('only who goes on where a run was lost is recovered, not who waited for its hosts meanwhile', async () => {
  const metrics = metricsOf();
  metrics.migrationChanged(record(), record({ runs: 1 }), FIRST_RUN);
  metrics.migrationChanged(record({ runs: 1 }), record({ runs: 2 }), FIRST_RUN);
  const isThere = async () =>
    (await lines(metrics)).some((line) => line.startsWith('lmas_migration_recoveries_total{'));
  assert.equal(await isThere(), false);
  metrics.migrationChanged(record({ runs: 2 }), record({ runs: 3 }), { isRecovery: true });
  metrics.migrationChanged(record({ runs: 3 }), record({ runs: 3 }), { isRecovery: true });
  assert.ok((await lines(metrics)).includes('lmas_migration_recoveries_total{plugin="kvm"} 1'));
});

test('a code that no table knows becomes no label of its own', async () => {
  const metrics = metricsOf();
  const attempts = ['toString', 'NO_TABLE_HAS_THIS', 'UNREACHABLE'];
  const failedAttempts = attempts.map((code) => ({ at: '', phase: 'checking' as const, code, message: '' }));
  metrics.migrationChanged(record(), record({ failedAttempts }), FIRST_RUN);
  const shown = await lines(metrics);
  assert.ok(shown.includes('lmas_migration_retries_total{plugin="kvm",code="OTHER"} 2'));
  assert.ok(shown.includes('lmas_migration_retries_total{plugin="kvm",code="UNREACHABLE"} 1'));
});

test('bytes of a tunnel are counted by growth, and begin anew with the next tunnel', async () => {
  const metrics = metricsOf();
  const at = (bytesDelivered: number) =>
    record({
      tunnel: {
        ...{ suite: 's', subflows: 8, subflowsReplaced: 0, bytesDelivered, goodputBitsPerSec: 0, rttMs: null },
        ...{ congestionControl: null, retransmits: null, inFlightBytes: 0, refusals: {}, trouble: null, now: null },
      },
    });
  metrics.migrationChanged(record(), at(100), FIRST_RUN);
  metrics.migrationChanged(at(100), at(250), FIRST_RUN);
  metrics.migrationChanged(at(250), at(40), FIRST_RUN);
  assert.ok((await lines(metrics)).includes('lmas_tunnel_delivered_bytes_total 290'));
});

test('the state of the installation, and NaN where Redis does not say', async () => {
  const shown = await lines(metricsOf());
  for (const line of [
    'lmas_redis_latency_seconds 0.002',
    'lmas_migrations{phase="performing"} 3',
    'lmas_queue_waiting 4',
    'lmas_queue_admitted 5',
    'lmas_queue_paused 1',
    'lmas_teardowns_incomplete 1',
    'lmas_migrations_whereabouts_unknown 2',
    'lmas_gateways{status="carrying"} 1',
    'lmas_gateways{status="left-over"} 0',
    'lmas_tunnel_goodput_bits_per_second 900000000',
  ]) {
    assert.ok(shown.includes(line), line);
  }
  const silent = createMetrics({ ...OF_NOBODY, readState: async () => undefined });
  const without = await lines(silent);
  assert.ok(without.includes('lmas_redis_latency_seconds Nan'));
  assert.ok(without.includes('lmas_queue_waiting Nan'));
});

test('what goes over a link is shown per direction, and no more once nothing moves there, or Redis does not say', async () => {
  const link = {
    ...{ source: 'x', destination: 'y', tunnels: 2, subflows: 14, goodputBitsPerSec: 7e8 },
    ...{ linkBitsPerSec: 9e8, rttMs: 40, queueMs: 2.5, lossShare: 0.0125, queueBytes: 120 },
  };
  const unknown = { linkBitsPerSec: null, rttMs: null, queueMs: null, lossShare: null, queueBytes: null };
  const back = { ...link, source: 'y', destination: 'x', ...unknown };
  let state: InstallationState | undefined = { ...QUIET, links: [link, back] };
  const metrics = createMetrics({ ...OF_NOBODY, readState: async () => state });
  const ofLinks = async () => (await lines(metrics)).filter((line) => line.startsWith('lmas_link_'));
  assert.deepEqual(await ofLinks(), [
    'lmas_link_tunnels{source="x",destination="y"} 2',
    'lmas_link_tunnels{source="y",destination="x"} 2',
    'lmas_link_subflows{source="x",destination="y"} 14',
    'lmas_link_subflows{source="y",destination="x"} 14',
    'lmas_link_goodput_bits_per_second{source="x",destination="y"} 700000000',
    'lmas_link_goodput_bits_per_second{source="y",destination="x"} 700000000',
    'lmas_link_rate_bits_per_second{source="x",destination="y"} 900000000',
    'lmas_link_rtt_seconds{source="x",destination="y"} 0.04',
    'lmas_link_queue_seconds{source="x",destination="y"} 0.0025',
    'lmas_link_loss_ratio{source="x",destination="y"} 0.0125',
    'lmas_link_queue_bytes{source="x",destination="y"} 120',
  ]);
  state = { ...QUIET, links: [back] };
  assert.equal((await ofLinks()).length, 3);
  state = undefined;
  assert.deepEqual(await ofLinks(), []);
});

test('what webhooks missed is the number on record, and stays where Redis does not answer', async () => {
  let state: InstallationState | undefined = { ...QUIET, webhookNoticesMissed: 17 };
  const metrics = createMetrics({ ...OF_NOBODY, readState: async () => state });
  const shown = async () => (await lines(metrics)).find((line) => line.startsWith('lmas_webhook_notices_missed_total'));
  assert.equal(await shown(), 'lmas_webhook_notices_missed_total 17');
  assert.equal(await shown(), 'lmas_webhook_notices_missed_total 17', 'and not added up');
  state = undefined;
  assert.equal(await shown(), 'lmas_webhook_notices_missed_total 17');
});

test('what may go wrong is there with 0 before it does, for each operation and plugin, and is bounded', async () => {
  const parts = { operations: ['getMigration', 'none'], plugins: ['kvm', 'other'] };
  const metrics = createMetrics({ ...OF_NOBODY, ...parts, readState: async () => QUIET });
  const before = await lines(metrics);
  for (const series of [
    'lmas_http_requests_total{operation="none",status="500"} 0',
    'lmas_migration_recoveries_total{plugin="kvm"} 0',
    'lmas_migrations_ended_total{plugin="other",outcome="failed",code="UNREACHABLE"} 0',
    'lmas_migrations_ended_total{plugin="kvm",outcome="failed",code="OTHER"} 0',
    'lmas_migration_retries_total{plugin="kvm",code="GATEWAY_ENDED"} 0',
  ]) {
    assert.ok(before.includes(series), series);
  }
  assert.ok(before.length < 1_000, `${before.length}`);
  metrics.callAnswered({ operation: 'none', status: 500, durationMs: null });
  const after = await lines(metrics);
  assert.ok(after.includes('lmas_http_requests_total{operation="none",status="500"} 1'));
  assert.equal(after.length, before.length, 'the same series');
});

test('sessions for questions are those that are open now', async () => {
  const open = new Map([['kvm', 2]]);
  const metrics = createMetrics({ ...OF_NOBODY, readState: async () => QUIET, sessionsOf: () => open });
  assert.ok((await lines(metrics)).includes('lmas_question_sessions{plugin="kvm"} 2'));
  open.set('kvm', 0);
  assert.ok((await lines(metrics)).includes('lmas_question_sessions{plugin="kvm"} 0'));
});

test('scrapes that come together ask once', async () => {
  let asked = 0;
  const held = Promise.withResolvers<InstallationState>();
  const readState = (): Promise<InstallationState> => {
    asked += 1;
    return held.promise;
  };
  const metrics = createMetrics({ ...OF_NOBODY, readState });
  const scrapes = [metrics.exposition(), metrics.exposition(), metrics.exposition()];
  held.resolve(QUIET);
  await Promise.all(scrapes);
  assert.equal(asked, 1);
});
