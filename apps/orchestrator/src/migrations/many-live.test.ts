/** What one call does where thousands of migrations are live, on a real Redis: nobody else waits for it. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createProjects } from '../access/projects.ts';
import type { Vault } from '../access/vault.ts';
import { laneOf } from '../admission/groups.ts';
import { createRegistry } from '../plugins/registry.ts';
import { keys } from '../redis/keys.ts';
import { migrationInputSchema } from '../schemas/migration.ts';
import { projectInputSchema } from '../schemas/project.ts';
import { createInventory } from '../sites/sites.ts';
import { startTestRedis, type TestRedis } from '../testing/test-redis.ts';
import { newMigrationId, newRecord } from './record.ts';
import { createMigrationStore, type MigrationStore } from './store.ts';

const MANY = 450;
let server: TestRedis;
let store: MigrationStore;
let ids: string[];
before(async () => {
  server = await startTestRedis();
  store = createMigrationStore(server.redis);
  ids = await Promise.all(Array.from({ length: MANY }, (_, i) => submitted(`vm-${i}`, 'a', i < 15 ? 'blue' : null)));
});
after(() => server[Symbol.asyncDispose]());

async function submitted(vm: string, source: string, project: string | null): Promise<string> {
  const request = migrationInputSchema.parse({ vm, source, destination: 'b' });
  const record = newRecord(newMigrationId(), request, { source: 'x', destination: 'y' }, [], { project });
  await store.create(record, laneOf(record.migration, { transparent: false }));
  return record.migration.id;
}

/** The most JSON texts that are parsed without a turn for anybody else in between. */
async function parsedAtOnce<T>(work: () => Promise<T>): Promise<{ most: number; answer: T }> {
  const parse = JSON.parse;
  let [most, now, isOver] = [0, 0, false];
  const turn = (): void => {
    now = 0;
    if (!isOver) setImmediate(turn);
  };
  turn();
  JSON.parse = (...args: Parameters<typeof parse>) => {
    now += 1;
    most = Math.max(most, now);
    return parse(...args);
  };
  try {
    const answer = await work();
    return { most, answer };
  } finally {
    JSON.parse = parse;
    isOver = true;
  }
}

test('records are read a few at a time, all of them and in their order', async () => {
  const { most, answer } = await parsedAtOnce(() => store.getMany(ids));
  assert.deepEqual(
    answer.map(({ id }) => id),
    ids,
  );
  assert.ok(most <= 50, `${most} at once`);
});

test('who uses an endpoint or a site is looked up, and no record is read for it', async () => {
  const createdAt = new Date().toISOString();
  const place = { description: '', site: 'x', plugin: 'simulated', credential: 'c', config: {}, createdAt };
  for (const id of ['a', 'unused']) await server.redis.hset(keys.endpoints, id, JSON.stringify({ id, ...place }));
  const site = { id: 'y', description: '', gateway: null, createdAt };
  await server.redis.hset(keys.sites, 'y', JSON.stringify(site));
  const migrations = createMigrationStore(server.redis); // one that has read nothing yet
  const parts = { vault: {} as Vault, plugins: createRegistry([]), migrations };
  const { endpoints, sites } = createInventory(server.redis, parts);
  const refused = { code: 'IN_USE', message: /used by migration m_\S+, (migration \S+, ){9}440 more\.$/ };
  const { most } = await parsedAtOnce(async () => {
    await assert.rejects(endpoints.remove('a'), refused);
    await assert.rejects(sites.remove('y'), refused);
    await endpoints.remove('unused');
  });
  assert.ok(most < 20, `${most} parsed`);
});

test('what has ended with something left over is found as well', async () => {
  const id = await submitted('untidy', 'c', null);
  await server.redis.smove(keys.live, keys.incomplete, id);
  assert.deepEqual(await store.live(keys.index('endpoint', 'c')), []);
  assert.deepEqual(await store.incomplete(keys.index('endpoint', 'c')), [id]);
  assert.ok((await store.incomplete()).includes(id));
});

test('of what belongs to a project as much is named as can be read', async () => {
  const projects = createProjects(server.redis);
  await projects.add(projectInputSchema.parse({ id: 'blue', endpoints: null }));
  const usersOf = async () => (await store.live(keys.index('project', 'blue'))).map((id) => `migration ${id}`);
  await assert.rejects(projects.remove('blue', usersOf), {
    code: 'IN_USE',
    message: /^To blue still belong (migration m_\S+, ){10}5 more\.$/,
  });
});
