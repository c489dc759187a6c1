/**
 * What people change is acknowledged when a replica has it as well: a fail-over brings back no revoked key, no limit and no pause that
 * was lifted. With a real master and a real replica, which says how often it was waited for.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Redis } from 'ioredis';
import { createApiKeys } from '../../apps/orchestrator/src/access/api-keys.ts';
import { createAuditLog } from '../../apps/orchestrator/src/access/audit.ts';
import { createProjects } from '../../apps/orchestrator/src/access/projects.ts';
import { createAdmission } from '../../apps/orchestrator/src/admission/admission.ts';
import { createBandwidthLimits } from '../../apps/orchestrator/src/links/bandwidth-limits.ts';
import { createTimetables } from '../../apps/orchestrator/src/links/timetables.ts';
import { createLog } from '../../apps/orchestrator/src/log.ts';
import { waitForReplicas } from '../../apps/orchestrator/src/redis/replicas.ts';
import { projectInputSchema } from '../../apps/orchestrator/src/schemas/project.ts';
import { siteSchema } from '../../apps/orchestrator/src/schemas/site.ts';
import { timetableInputSchema } from '../../apps/orchestrator/src/schemas/timetable.ts';
import { namedTable } from '../../apps/orchestrator/src/sites/table.ts';
import { createAddressGuard } from '../../apps/orchestrator/src/webhooks/address-guard.ts';
import { createWebhooks } from '../../apps/orchestrator/src/webhooks/webhooks.ts';
import { temporaryDirectory } from './harness.ts';
import { RedisServers } from './redis-servers.ts';

const log = createLog('silent');
const stack = new AsyncDisposableStack();
let redis: Redis;
before(async () => {
  const directory = stack.use(await temporaryDirectory());
  const servers = stack.use(new RedisServers(directory.path));
  const master = await servers.start({ 'repl-diskless-sync-delay': '0' });
  await servers.start({ replicaof: `127.0.0.1 ${master}` });
  await servers.until(master, ['INFO', 'replication'], /state=online/);
  redis = new Redis(master, '127.0.0.1');
  stack.defer(() => redis.disconnect());
  await waitForReplicas(redis, { silenceMs: 10_000, log });
});
after(() => stack.disposeAsync());

async function waits(): Promise<number> {
  const stats = await redis.info('commandstats');
  return Number(/^cmdstat_wait:calls=(\d+)/m.exec(stats)?.[1] ?? 0);
}

async function assertKept(changes: Readonly<Record<string, () => Promise<unknown>>>): Promise<void> {
  for (const [name, change] of Object.entries(changes)) {
    const before = await waits();
    await change();
    assert.ok((await waits()) > before, `${name} was acknowledged before a replica had it`);
  }
}

test('API keys: made, rotated, revoked', async () => {
  const apiKeys = createApiKeys(redis);
  const input = { name: 'n', role: 'viewer', project: null, operations: null, expiresAt: null } as const;
  const { id } = await apiKeys.create(input, 'test');
  await assertKept({
    create: () => apiKeys.create(input, 'test'),
    rotate: () => apiKeys.rotate(id, null, 0),
    revoke: () => apiKeys.revoke(id, null),
  });
});

test('what was done is on record as safely as the change itself', async () => {
  const audit = createAuditLog(redis, { maxEntries: 10, log });
  const caller = { kind: 'api-key', id: 'k', name: 'n', role: 'admin', project: null } as const;
  const entry = {
    ...{ at: new Date().toISOString(), caller, operation: 'revokeApiKey', method: 'DELETE', target: '/v1/api-keys/a' },
    ...{ outcome: 'done' as const, status: 204, code: null, address: '192.0.2.1', userAgent: null, requestId: 'r' },
  };
  await assertKept({ record: () => audit.record(entry) });
});

test('projects: added, changed, removed', async () => {
  const projects = createProjects(redis);
  await assertKept({
    add: () => projects.add(projectInputSchema.parse({ id: 'red', endpoints: null })),
    update: () => projects.update('red', { endpoints: [] }, () => undefined),
    remove: () => projects.remove('red', async () => []),
  });
});

test('the pause, the limits and their timetables', async () => {
  const admission = createAdmission(redis);
  const limits = createBandwidthLimits(redis);
  const timetables = createTimetables(redis, limits, { now: Date.now, log });
  const period = { days: ['sat'], from: '22:00', to: '23:00', bandwidthBytesPerSec: 1_000_000 };
  const timetable = timetableInputSchema.parse({ periods: [period], otherwise: null });
  await assertKept({
    pause: () => admission.pause(new Date().toISOString()),
    resume: () => admission.resume(),
    'limit of places': () => admission.setLimit('total', 3),
    'limit of bandwidth': () => limits.set('total', 1_000_000),
    timetable: () => timetables.set('total', timetable),
    'timetable removed': () => timetables.remove('total'),
  });
});

test('sites and their like: added, changed, removed', async () => {
  const sites = namedTable(redis, {
    key: '{lmas}:sites',
    kind: 'site',
    schema: siteSchema,
    notFound: 'SITE_NOT_FOUND',
  });
  const site = siteSchema.parse({ id: 'a', description: '', gateway: null, createdAt: new Date().toISOString() });
  await assertKept({
    add: () => sites.add(site, []),
    change: () => sites.change('a', async (before) => ({ ...before, description: 'b' })),
    remove: () => sites.remove('a'),
  });
});

test('webhooks: made, changed, switched off and on, removed', async () => {
  const vault = { seal: async () => 'sealed', open: async () => '' };
  const webhooks = createWebhooks(redis, { vault, guard: createAddressGuard([]) });
  const change = (changes: object) => webhooks.change('w', changes, () => undefined);
  await assertKept({
    create: () => webhooks.create({ id: 'w', url: 'https://example.org/', description: '', events: null }, null),
    change: () => change({ description: 'b' }),
    disable: () => webhooks.disable('w', 'no one is there'),
    enable: () => change({ enabled: true }),
    rotate: () => webhooks.rotateSecret('w'),
    remove: () => webhooks.remove('w'),
  });
});
