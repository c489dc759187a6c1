/** Accepting a migration, on a real Redis: what is answered when it comes again, and what a refusal leaves. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Redis } from 'ioredis';
import { createProjects } from '../access/projects.ts';
import { createAdmission } from '../admission/admission.ts';
import { laneOf } from '../admission/groups.ts';
import { LmasError } from '../errors.ts';
import { type BandwidthLimits, createBandwidthLimits } from '../links/bandwidth-limits.ts';
import { createLog } from '../log.ts';
import { connect } from '../redis/connect.ts';
import { keys } from '../redis/keys.ts';
import { type PrivateRedis, startPrivateRedis } from '../redis/private-server.ts';
import { DRILLS_SINCE, STORE_VERSION } from '../redis/record-versions.ts';
import { migrationInputSchema } from '../schemas/migration.ts';
import { projectInputSchema } from '../schemas/project.ts';
import { newMigrationId } from './record.ts';
import { type CreateOptions, createMigrationService, type MigrationService } from './service.ts';
import { createMigrationStore, type MigrationStore } from './store.ts';

const log = createLog('silent');
const directory = await mkdtemp(join(tmpdir(), 'lmas-create-'));
const endpoints = new Set(['a', 'b']);
let server: PrivateRedis;
let redis: Redis;
let bandwidth: BandwidthLimits;
let service: MigrationService;
const find = async (id: string) => {
  if (!endpoints.has(id)) throw new LmasError('ENDPOINT_NOT_FOUND');
  return { id, plugin: 'p', site: `site-${id}`, cordonedAt: null };
};
const optionsSchema = { safeParse: () => ({ success: true }) };
const createService = (store: MigrationStore, plugin: object = { optionsSchema }): MigrationService =>
  createMigrationService(
    redis,
    store,
    { hurry: async () => undefined },
    {
      inventory: { endpoints: { get: find } } as never,
      plugins: { get: () => plugin } as never,
      admission: createAdmission(redis),
      laneOf: async (migration) => laneOf(migration, { transparent: false }),
      changes: { getMany: async () => [] } as never,
      giveUps: undefined as never,
      words: undefined as never,
      projects: createProjects(redis),
      idempotencyMs: 60_000,
    },
  );
before(async () => {
  server = await startPrivateRedis('redis-server', directory, log);
  redis = connect(server, log);
  bandwidth = createBandwidthLimits(redis);
  service = createService(createMigrationStore(redis));
});
after(async () => {
  redis.disconnect();
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});

const allLimits = () => redis.hgetall(keys.bandwidth);
const asking = (vm: string) =>
  migrationInputSchema.parse({ vm, source: 'a', destination: 'b', transport: 'direct', bandwidthBytesPerSec: 5_000 });

test('a drill is refused where the plugin has none', async () => {
  const request = migrationInputSchema.parse({ ...asking('rehearsed'), drill: {} });
  await assert.rejects(service.create(request, { project: null }), { code: 'DRILL_NOT_SUPPORTED' });
});

test('from the first drill on the records are no more for versions that would take it for a move', async () => {
  await redis.hset(keys.store, { version: STORE_VERSION, readableFrom: 2 });
  const readableFrom = () => redis.hget(keys.store, 'readableFrom');
  const drills = createService(createMigrationStore(redis), { optionsSchema, drill: () => undefined });
  await drills.create(asking('moved'), { project: null });
  assert.equal(await readableFrom(), '2');
  const { id, purpose } = await drills.create({ ...asking('rehearsed'), drill: { keepMs: 0 } }, { project: null });
  assert.deepEqual([purpose, await readableFrom()], ['drill', String(DRILLS_SINCE)]);
  assert.ok(STORE_VERSION >= DRILLS_SINCE, 'this version reads them');
  // What every version from before drills looks for in a record, also one that runs still.
  assert.equal(JSON.parse((await redis.hget(keys.migration(id), 'record')) ?? '').migration, undefined);
  await redis.del(keys.bandwidth);
});

test('the bandwidth limit comes with the record, in one step: an end in between leaves neither', async () => {
  const dies = createService({
    ...createMigrationStore(redis),
    create: async () => assert.fail('killed before the record was stored'),
  });
  await assert.rejects(dies.create(asking('killed'), { project: null }), assert.AssertionError);
  assert.deepEqual(await allLimits(), {});
  const { id } = await service.create(asking('killed'), { project: null });
  assert.deepEqual(await allLimits(), { [id]: '5000' });
  await bandwidth.set(id, null);
});

test('a refused migration leaves no bandwidth limit behind', async () => {
  const { id } = await service.create(asking('twin'), { project: null });
  for (const idempotencyKey of [undefined, 'k']) {
    const again = service.create(asking('twin'), { idempotencyKey, project: null });
    await assert.rejects(again, { code: 'VM_ALREADY_MIGRATING' });
  }
  assert.deepEqual(await allLimits(), { [id]: '5000' });
  await bandwidth.set(id, null);
});

test('whether a VM is free is told without asking for it, by whichever of its names another migration was', async () => {
  const { id } = await service.create(asking('db'), { project: null });
  await bandwidth.set(id, null);
  const free = (vm: string, name: string, project: string | null = null, source = 'a') =>
    service.requireFree({ id: vm, name }, source, project);
  const taken = { code: 'VM_ALREADY_MIGRATING', message: `Migration ${id} of this VM is under way.` };
  await assert.rejects(free('db', 'x'), taken);
  await assert.rejects(free('x', 'db'), taken);
  await assert.rejects(free('x', 'db', 'red'), { code: taken.code, message: /^Somebody else/ });
  await free('x', 'y');
  await free('x', 'db', null, 'b');
  await redis.set(keys.vmById('x'), id);
  await assert.rejects(free('x', 'y', null, 'b'), taken);
  await redis.del(keys.vmById('x'));
});

test('the key of a request that was refused is free again, whatever comes at the same moment', async () => {
  const { id } = await service.create(asking('busy'), { project: null });
  await bandwidth.set(id, null);
  const free = { idempotencyKey: 'free', project: null };
  await assert.rejects(service.create(asking('busy'), free), { code: 'VM_ALREADY_MIGRATING' });
  const { id: other } = await service.create(asking('idle'), free);
  assert.equal((await service.create(asking('idle'), free)).id, other);
  await assert.rejects(service.create(asking('busy'), free), { code: 'IDEMPOTENCY_KEY_REUSED' });
  await bandwidth.set(other, null);
});

test('one that was refused, and one with the same key that was accepted meanwhile: the key stands for the latter', async () => {
  const store = createMigrationStore(redis);
  const key = { idempotencyKey: 'twice', project: null };
  const { id: holder } = await service.create(asking('held'), { project: null });
  const paused = Promise.withResolvers<void>();
  const arrived = Promise.withResolvers<void>();
  const slow = createService({
    ...store,
    async create(...args) {
      arrived.resolve();
      await paused.promise;
      return await store.create(...args);
    },
  });
  const late = slow.create(asking('held'), key);
  await arrived.promise; // it has reserved the key, and stored nothing yet
  await assert.rejects(service.create(asking('held'), key), { code: 'VM_ALREADY_MIGRATING' });
  await redis.del(keys.vmByName('a', 'held')); // the first migration of the VM is over
  paused.resolve();
  const { id } = await late;
  assert.notEqual(id, holder);
  assert.equal((await service.create(asking('held'), key)).id, id);
  for (const each of [holder, id]) await bandwidth.set(each, null);
});

test('what was accepted is answered alike, also when an endpoint is gone since, and sets no limit again', async () => {
  const once = { idempotencyKey: 'once', project: null };
  const { id } = await service.create(asking('web'), once);
  await bandwidth.set(id, null);
  endpoints.delete('b');
  assert.equal((await service.create(asking('web'), once)).id, id);
  await assert.rejects(service.create(asking('other'), once), { code: 'IDEMPOTENCY_KEY_REUSED' });
  await assert.rejects(service.create(asking('other'), { project: null }), { code: 'UNKNOWN_REFERENCE' });
  assert.deepEqual(await allLimits(), {});
  endpoints.add('b');
});

test('of a project so many wait as may, and no more; one more is told how many there are, and its key is free', async () => {
  const projects = createProjects(redis);
  const limit = (maxWaiting: number | null) => projects.update('red', { limits: { maxWaiting } }, () => undefined);
  for (const id of ['red', 'red-2', 'r']) await projects.add(projectInputSchema.parse({ id }));
  const ask = (vm: string, project: string | null, idempotencyKey?: string) =>
    service.create({ ...asking(vm), bandwidthBytesPerSec: null }, { project, idempotencyKey });
  await limit(2);
  for (const project of ['red-2', 'r', null]) for (const n of [1, 2, 3]) await ask(`${project}-${n}`, project);
  const [first, second] = [await ask('red-1', 'red'), await ask('red-2', 'red', 'key-2')];
  const full = {
    code: 'PROJECT_QUEUE_FULL',
    message: 'Of project red 2 migrations wait; it may have 2 waiting.',
    remedy: /lmas project set red --max-waiting/,
  };
  await assert.rejects(ask('red-3', 'red', 'key-3'), full);
  assert.equal((await ask('red-2', 'red', 'key-2')).id, second.id, 'what was accepted is answered alike');
  await ask('red-2-4', 'red-2');

  await limit(3);
  const together = await Promise.allSettled([1, 2, 3].map((n) => ask(`red-together-${n}`, 'red')));
  assert.equal(together.filter(({ status }) => status === 'fulfilled').length, 1, 'of those that come at once');
  await assert.rejects(ask('red-3', 'red', 'key-3'), { message: /3 migrations wait; it may have 3/ });
  await createMigrationStore(redis).requestCancel(first.id);
  await createMigrationStore(redis).claim(first.id, 'run', 60_000);
  await ask('red-3', 'red', 'key-3');
  await limit(0);
  await assert.rejects(ask('red-4', 'red'), { message: /3 migrations wait; it may have 0/ });
  await limit(null);
  await ask('red-4', 'red');
});

test('a project asks for no more than its highest priority; what is ordered for it, and what names none, goes with that', async () => {
  const projects = createProjects(redis);
  await projects.add(projectInputSchema.parse({ id: 'low', limits: { maxPriority: 20 } }));
  const order = () => ({ id: newMigrationId(), fence: { key: 'an order', token: 1 } });
  await redis.hset('an order', 'token', '1');
  const asked = (priority: number) => ({ ...asking(`high-${priority}`), bandwidthBytesPerSec: null, priority });
  const priorityOf = async (priority: number, project: string | null, options: Partial<CreateOptions> = {}) =>
    (await service.create({ ...asked(priority), vm: newMigrationId() }, { project, ...options })).request.priority;
  const refused = {
    code: 'PRIORITY_TOO_HIGH',
    message: 'Project low may ask for priority 20 at most, and not for 21.',
    issues: [{ path: 'priority', message: 'at most 20' }],
  };
  const key = { idempotencyKey: 'high', project: 'low' };
  await projects.update('low', { limits: { maxPriority: null } }, () => undefined);
  const { id } = await service.create(asked(21), key);
  await projects.update('low', { limits: { maxPriority: 20 } }, () => undefined);
  assert.equal((await service.create(asked(21), key)).id, id, 'what was accepted is answered alike');
  await assert.rejects(priorityOf(21, 'low'), refused);
  const lowered = [await priorityOf(20, 'low'), await priorityOf(50, 'low'), await priorityOf(1, 'low')];
  assert.deepEqual([...lowered, await priorityOf(90, 'low', { order: order() })], [20, 20, 1, 20]);
  assert.deepEqual([await priorityOf(90, null), await priorityOf(90, 'removed')], [90, 90]);
});
