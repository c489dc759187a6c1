/**
 * An installation in which every page of the web page has something to show: three sites, VMs that move, wait, failed and
 * arrived, a plan in the middle of its run, schedules, a balancing policy with proposals. For the checks that visit every page,
 * and for pictures of them.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ISOLATED_NETWORK, serveWorld } from '@lmas/plugin-simulated/world';
import type { BalancingMove } from '../../apps/orchestrator/src/balancing/types.ts';
import type { Migration } from '../../apps/orchestrator/src/migrations/record.ts';
import type { PlanRun } from '../../apps/orchestrator/src/plans/record.ts';
import { hostOfWorld } from '../simulated/gateways.ts';
import { PairWorld } from '../simulated/world.ts';
import type { Api } from '../workflow/harness.ts';

const GIB = 2 ** 30;
const SITES = ['lisbon', 'porto', 'madrid', 'faro'] as const;
const HOSTS = [
  ['kvm-lis-1', 'lisbon'],
  ['kvm-lis-2', 'lisbon'],
  ['kvm-prt-1', 'porto'],
  ['kvm-mad-1', 'madrid'],
  ['kvm-far-1', 'faro'],
  ['kvm-madrid-hall-3-row-12-rack-7-upper-half-node-2', 'madrid'],
] as const;
const LONG_NAME = 'reporting-database-of-the-quarterly-closing-second-replica_not_to_be_switched_off';

export interface Showcase extends AsyncDisposable {
  /** A name for each page, and where it is: all patterns of the page, and an address that is none. */
  readonly pages: readonly (readonly [name: string, path: string])[];
}

export async function setUpShowcase(api: Api, directory: string): Promise<Showcase> {
  const world = new PairWorld();
  const server = await serveWorld(world, join(directory, 'showcase.sock'), world.answerGatewayCall);
  // The gateway machine of one site, which goes away in the middle of a migration.
  const faro = new PairWorld();
  const faroServer = await serveWorld(faro, join(directory, 'faro.sock'), faro.answerGatewayCall);
  await register(api, server.socketPath, faroServer.socketPath);
  for (const [host] of HOSTS) world.addHost(host);
  for (const [vm, host, more] of VMS) world.addVm(host, { id: vm, name: vm, ...more });
  world.rates.set('kvm-lis-1', 110_000_000);
  world.rates.set('kvm-lis-2', 40_000_000);
  for (const site of SITES) world.carries.set(site, 20_000_000);
  const hold = faro.faults.arm('gateway.start', 'hold-after');
  const leftOver = await api.must<Migration>('POST', '/v1/migrations', {
    ...{ vm: 'wiki', source: 'kvm-mad-1', destination: 'kvm-far-1', retries: { max: 0 } },
  });
  await hold.reached;
  faroServer.goAway();
  hold.release();
  const rehearsal = await rehearse(api);
  const ids = await migrate(api, world);
  await api.until(leftOver.id, ({ teardown }) => teardown === 'incomplete');
  const run = await automate(api);
  return {
    pages: [
      ['overview', '/'],
      ['migrations', '/migrations'],
      ['migration-moving', `/migrations/${ids.moving}`],
      ['migration-failed', `/migrations/${ids.failed}`],
      ['migration-succeeded', `/migrations/${ids.succeeded}`],
      ['migration-cancelled', `/migrations/${ids.cancelled}`],
      ['migration-left-over', `/migrations/${leftOver.id}`],
      ['drill', `/migrations/${rehearsal.items[0]?.migrations[0]}`],
      ['move', '/migrations/new?source=kvm-lis-2&vm=mail-1&destination=kvm-mad-1'],
      ['queue', '/queue'],
      ['queue-timetable', '/queue/timetable'],
      ['plans', '/plans'],
      ['plan', '/plans/payments'],
      ['plan-new', '/new/plan'],
      ['plan-editor', '/plans/payments/change'],
      ['evacuate', '/evacuate'],
      ['plan-run', `/plan-runs/${run}`],
      ['drill-run', `/plan-runs/${rehearsal.id}`],
      ['schedules', '/schedules'],
      ['schedule', '/schedules/weekend'],
      ['schedule-new', '/new/schedule'],
      ['schedule-form', '/schedules/weekend/change'],
      ['balancing', '/balancing'],
      ['policy', '/balancing/hall-1'],
      ['policy-new', '/new/policy'],
      ['policy-form', '/balancing/hall-1/change'],
      ['sites', '/sites'],
      ['site-new', '/new/site'],
      ['site-form', '/sites/lisbon/change'],
      ['link', '/links/lisbon~porto'],
      ['link-timetable', '/links/lisbon~porto/timetable'],
      ['endpoint', '/endpoints/kvm-lis-2'],
      ['endpoint-new', '/new/endpoint'],
      ['endpoint-form', '/endpoints/kvm-lis-2/change'],
      ['credentials', '/credentials'],
      ['webhooks', '/webhooks'],
      ['webhook', '/webhooks/portal'],
      ['access', '/access'],
      ['audit', '/audit'],
      ['system', '/system'],
      ['no-such-page', '/nowhere'],
    ],
    async [Symbol.asyncDispose]() {
      await faroServer[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

const VMS: readonly (readonly [vm: string, host: string, more: object])[] = [
  ...['db-1', 'db-2'].map((vm) => [vm, 'kvm-lis-1', { memoryBytes: 8 * GIB, vcpus: 8, cpuCores: 6 }] as const),
  ...['web-1', 'web-2', 'web-3'].map(
    (vm) => [vm, 'kvm-lis-2', { memoryBytes: 4 * GIB, vcpus: 4, cpuCores: 18 }] as const,
  ),
  ['mail-1', 'kvm-lis-2', { memoryBytes: 2 * GIB, vcpus: 2, cpuCores: 2, dirtyRateBytesPerSec: 4_000_000 }],
  ['warehouse', 'kvm-lis-1', { memoryBytes: 256 * GIB, vcpus: 32, cpuCores: 4, dirtyRateBytesPerSec: 30_000_000 }],
  ['analytics', 'kvm-lis-2', { memoryBytes: 96 * GIB, vcpus: 16, cpuCores: 2, dirtyRateBytesPerSec: 70_000_000 }],
  ['intranet', 'kvm-prt-1', { memoryBytes: 2 * GIB, vcpus: 2, cpuCores: 1 }],
  ['build-7', 'kvm-prt-1', { memoryBytes: 2 * GIB, vcpus: 4, cpuCores: 2 }],
  ['mail-2', 'kvm-prt-1', { memoryBytes: 2 * GIB, vcpus: 2, cpuCores: 1 }],
  ['wiki', 'kvm-mad-1', { memoryBytes: GIB, vcpus: 2, cpuCores: 1 }],
  [LONG_NAME, 'kvm-lis-2', { memoryBytes: 8 * GIB, vcpus: 4, cpuCores: 1 }],
];

async function register(api: Api, socketPath: string, faroSocketPath: string): Promise<void> {
  await api.must('POST', '/v1/credentials', { id: 'ops', kind: 'password', username: 'lmas', password: 'of no use' });
  for (const [i, id] of SITES.entries()) {
    await api.must('POST', '/v1/sites', {
      id,
      gateway: {
        ssh: {
          host: hostOfWorld(id === 'faro' ? faroSocketPath : socketPath),
          hostKeys: [`SHA256:${'A'.repeat(43)}`],
          credential: 'ops',
        },
        tunnelAddress: `203.0.113.${10 * (i + 1)}`,
        hypervisorAddress: `10.${i + 1}.0.10`,
      },
    });
  }
  for (const [id, site] of HOSTS) {
    const config = { socketPath, host: id };
    await api.must('POST', '/v1/endpoints', { id, site, plugin: 'simulated', credential: 'ops', config });
  }
  const link = { 'if-match': '*' };
  const set = { rateBitsPerSec: 1_000_000_000, limits: { maxMigrations: 4 } };
  await api.call('PATCH', '/v1/links/lisbon~porto', set, link);
  await api.call('PATCH', '/v1/links/lisbon~madrid', { rateBitsPerSec: 400_000_000 }, link);
  await api.must('POST', '/v1/projects', {
    id: 'payments',
    description: 'The payments team',
    endpoints: ['kvm-lis-1'],
  });
  await api.must('POST', '/v1/api-keys', { name: 'Portal', role: 'operator' });
  await api.must('POST', '/v1/api-keys', { name: 'Wall display', role: 'viewer', project: 'payments' });
  const events = ['migration.succeeded', 'migration.failed'];
  await api.must('POST', '/v1/webhooks', { id: 'portal', url: 'https://portal.example.org/hooks/lmas', events });
  await api.must('POST', '/v1/webhooks', { id: 'chat', url: 'https://chat.example.org/hooks/4711' });
}

/** Some that came to an end, two that move beside the drill that is kept, and a queue that is full. */
async function migrate(api: Api, world: PairWorld) {
  const submit = (vm: string, source: string, destination: string, more: object = {}) =>
    api.must<Migration>('POST', '/v1/migrations', { vm, source, destination, retries: { max: 0 }, ...more });
  const succeeded = await submit('intranet', 'kvm-prt-1', 'kvm-mad-1', { labels: { team: 'office' } });
  await api.ended(succeeded.id);
  world.faults.arm('kvm-mad-1.prepare', 'before');
  const failed = await submit('build-7', 'kvm-prt-1', 'kvm-mad-1', { correlationId: 'change-4711' });
  await api.ended(failed.id);
  const cancelled = await submit('mail-2', 'kvm-prt-1', 'kvm-lis-1', { bandwidthBytesPerSec: 1_000_000 });
  await api.until(cancelled.id, ({ phase }) => phase === 'performing');
  await api.must('POST', `/v1/migrations/${cancelled.id}/cancel`);
  await api.ended(cancelled.id);
  await api.call('PATCH', '/v1/queue', { limits: { maxMigrations: 3 } }, { 'if-match': '*' });
  const moving = await submit('warehouse', 'kvm-lis-1', 'kvm-prt-1', { labels: { team: 'logistics' } });
  const slower = await submit('analytics', 'kvm-lis-2', 'kvm-mad-1', { convergence: 'must-finish' });
  for (const { id } of [moving, slower]) await api.until(id, ({ progress }) => progress !== null);
  await submit('db-2', 'kvm-lis-1', 'kvm-mad-1', { priority: 80 });
  await submit(LONG_NAME, 'kvm-lis-2', HOSTS[5][0], {
    labels: { 'owner/department': 'finance-reporting-and-closing' },
  });
  return { succeeded: succeeded.id, failed: failed.id, cancelled: cancelled.id, moving: moving.id };
}

const between = (vm: string, source: string, destination: string) => ({
  ...{ kind: 'vm', vm, source: { endpoint: source }, destination: { endpoint: destination } },
});

/** A drill whose copy is up, and kept. */
async function rehearse(api: Api): Promise<PlanRun> {
  await api.must('PUT', '/v1/plans/office', {
    description: 'The office, rehearsed each quarter',
    rtoMs: 600_000,
    waves: [{ name: 'mail', vms: [between('mail-1', 'kvm-lis-2', 'kvm-mad-1')] }],
    migration: { options: { durationMs: 20 } },
    drill: { networks: { default: ISOLATED_NETWORK }, keepMs: 3_600_000 },
  });
  const { id } = await api.must<PlanRun>('POST', '/v1/plans/office/runs', { mode: 'drill' });
  const get = () => api.must<PlanRun>('GET', `/v1/plan-runs/${id}`);
  await until(async () => (await get()).phase === 'keeping');
  return await get();
}

async function automate(api: Api): Promise<string> {
  await api.must('PUT', '/v1/plans/payments', {
    description: 'Payments, from Lisbon to Porto',
    rtoMs: 3_600_000,
    waves: [
      {
        name: 'databases',
        vms: [between('db-1', 'kvm-lis-1', 'kvm-prt-1')],
        concurrency: 1,
        onFailure: 'roll-back',
        afterwards: { pauseMs: 5_000, approval: true },
      },
      {
        name: 'web servers',
        vms: ['web-1', 'web-2', 'web-3'].map((vm) => between(vm, 'kvm-lis-2', 'kvm-prt-1')),
        concurrency: 2,
        onFailure: 'go-on',
      },
    ],
  });
  const validated = await api.must<PlanRun>('POST', '/v1/plans/payments/runs', { mode: 'validate' });
  await until(async () => (await api.must<PlanRun>('GET', `/v1/plan-runs/${validated.id}`)).endedAt !== null);
  const run = await api.must<PlanRun>('POST', '/v1/plans/payments/runs', { mode: 'failover' });
  await until(async () => (await api.must<PlanRun>('GET', `/v1/plan-runs/${run.id}`)).phase === 'running');
  await api.must('POST', '/v1/schedules', {
    id: 'weekend',
    description: 'Outside of office hours',
    action: { kind: 'plan', plan: 'payments', mode: 'failover' },
    trigger: { kind: 'cron', expression: '0 23 * * fri' },
    timeZone: 'Europe/Lisbon',
    windows: [{ kind: 'weekly', days: ['fri', 'sat'], from: '22:00', to: '06:00' }],
    blackouts: [{ kind: 'dates', from: '2098-12-18T00:00:00Z', to: '2099-01-07T00:00:00Z' }],
    missed: 'next-window',
  });
  await api.must('POST', '/v1/schedules', {
    id: 'mail-home',
    action: { kind: 'migration', migration: { vm: 'mail-1', source: 'kvm-lis-2', destination: 'kvm-prt-1' } },
    trigger: { kind: 'once', at: '2098-03-27T23:30:00Z' },
  });
  await api.must('POST', '/v1/balancing-policies', {
    ...{ id: 'hall-1', description: 'The hosts of the old hall', measureMs: 200, confirmPasses: 1 },
    endpoints: ['kvm-lis-2', 'kvm-prt-1', 'kvm-mad-1'],
    rules: { pinned: ['db-*'], antiAffinity: [{ vms: ['web-*'] }] },
  });
  const moves = () => api.must<{ items: BalancingMove[] }>('GET', '/v1/balancing-policies/hall-1/moves');
  await until(async () => (await moves()).items.length > 0);
  return run.id;
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (const deadline = performance.now() + 30_000; !(await condition()); await sleep(50)) {
    if (performance.now() > deadline) throw new Error(`still not: ${condition}`);
  }
}
