/** The audit log, with a real Redis. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { createLog } from '../log.ts';
import { keys } from '../redis/keys.ts';
import { startTestRedis, type TestRedis } from '../testing/test-redis.ts';
import { type AuditEntry, type AuditLog, createAuditLog } from './audit.ts';

const MOST = 30;
const PROJECTS = ['blue', 'red'];
let server: TestRedis;
let audit: AuditLog;
beforeEach(async () => {
  server = await startTestRedis();
  for (const project of PROJECTS) await server.redis.hset(keys.projects, project, '{}');
  audit = createAuditLog(server.redis, { maxEntries: MOST, log: createLog('silent') });
});
afterEach(() => server[Symbol.asyncDispose]());

const entryOf = (project: string | null, target: string): Omit<AuditEntry, 'id'> => ({
  at: new Date().toISOString(),
  caller: { kind: 'api-key', id: 'k', name: 'n', role: 'operator', project },
  ...{ operation: 'deleteCredential', method: 'DELETE', target, outcome: 'refused', status: 404 },
  ...{ code: 'CREDENTIAL_NOT_FOUND', address: '192.0.2.1', userAgent: null, requestId: 'r' },
});

test('a time before 1970, or in any year of four digits, is a time like others', async () => {
  await audit.record(entryOf(null, '/v1/credentials/a'));
  const count = async (query: { since?: string; until?: string }) =>
    (await audit.list({ limit: 50, ...query }, null)).items.length;
  const [early, late] = [['1960-01-01T00:00:00Z', '0000-01-01T00:00:00Z'], ['9999-12-31T23:59:59.999Z']];
  for (const time of early)
    assert.deepEqual([await count({ since: time }), await count({ until: time })], [1, 0], time);
  for (const time of late) assert.deepEqual([await count({ since: time }), await count({ until: time })], [0, 1], time);
});

const targetsFor = async (project: string | null): Promise<string[]> => {
  const { items } = await audit.list({ limit: 200 }, project);
  return items.map(({ target }) => target);
};

test('whoever calls a lot pushes out nothing but what callers of the same project did', async () => {
  await audit.record(entryOf(null, '/of-nobody'));
  await audit.record(entryOf('blue', '/of-blue'));
  for (let i = 0; i < 3 * MOST; i++) await audit.record(entryOf('red', `/red/${i}`));
  const kept = Array.from({ length: MOST }, (_, i) => `/red/${3 * MOST - 1 - i}`);
  assert.deepEqual(await targetsFor(null), [...kept, '/of-blue', '/of-nobody']);
  assert.deepEqual(await targetsFor('red'), kept);
  assert.deepEqual(await targetsFor('blue'), ['/of-blue']);
  const keptOf = async (project: string | null) => (await audit.list({ limit: 1 }, project)).kept;
  assert.deepEqual([(await keptOf(null)).entries, (await keptOf('red')).entries], [MOST + 2, MOST]);
  const { items } = await audit.list({ limit: 200 }, null);
  assert.equal((await keptOf(null)).oldestAt, items.at(-1)?.at);
});

test('ids are of one order, and pages go on where they stopped, however many were written at one instant', async () => {
  const projects = [null, ...PROJECTS];
  await Promise.all(
    Array.from({ length: 2 * MOST }, (_, i) => audit.record(entryOf(projects[i % 3] ?? null, `/${i}`))),
  );
  for (const [project, count] of [
    [null, 2 * MOST],
    ['red', (2 * MOST) / 3],
  ] as const) {
    const whole = (await audit.list({ limit: 200 }, project)).items.map(({ id }) => id);
    assert.deepEqual([whole.length, new Set(whole).size], [count, count]);
    const paged: string[] = [];
    for (let cursor: string | null | undefined; cursor !== null; ) {
      const page = await audit.list({ limit: 7, ...(cursor === undefined ? {} : { cursor }) }, project);
      paged.push(...page.items.map(({ id }) => id));
      cursor = page.nextCursor;
    }
    assert.deepEqual(paged, whole);
  }
});

test('what an earlier version wrote stays readable, and where its clock was ahead the order goes on from there', async () => {
  const write = (project: string | null, target: string, id = '*') =>
    server.redis.xadd(keys.audit, id, 'entry', JSON.stringify(entryOf(project, target)));
  await write('red', '/earlier');
  await write(null, '/ahead', `${Date.now() + 60_000}-0`);
  await audit.record(entryOf('blue', '/before it'));
  await audit.record(entryOf(null, '/first'));
  await audit.record(entryOf('red', '/second'));
  assert.deepEqual(await targetsFor(null), ['/second', '/first', '/ahead', '/before it', '/earlier']);
  assert.deepEqual(await targetsFor('red'), ['/second', '/earlier']);
  assert.deepEqual(await targetsFor('blue'), ['/before it']);
});

test('a page of a project reads of the log of the installation no more than where it has entries from before', async () => {
  const { redis } = server;
  const log = createAuditLog(redis, { maxEntries: 100_000, log: createLog('silent') });
  const write = (project: string | null, target: string) =>
    redis.xadd(keys.audit, '*', 'entry', JSON.stringify(entryOf(project, target)));
  for (const target of ['/1', '/2']) await write('red', target);
  await Promise.all(Array.from({ length: 5_000 }, (_, i) => write(null, `/everybody/${i}`)));
  await log.record(entryOf('red', '/3'));
  const targetsOf = async (project: string, query: { limit?: number; cursor?: string; since?: string } = {}) => {
    const { items, nextCursor } = await log.list({ limit: 50, ...query }, project);
    return { targets: items.map(({ target }) => target), nextCursor };
  };
  const readsOf = async (ask: () => Promise<unknown>) => {
    const count = async () => {
      const stats = await redis.info('commandstats');
      return [...stats.matchAll(/^cmdstat_x(?:rev)?range:calls=(\d+)/gm)].reduce(
        (sum, [, calls]) => sum + Number(calls),
        0,
      );
    };
    const before = await count();
    await ask();
    return (await count()) - before;
  };
  assert.deepEqual((await targetsOf('red')).targets, ['/3', '/2', '/1']);
  assert.deepEqual((await targetsOf('blue')).targets, []);
  // Whether something was added, what there is of its own and from before, and since when that is kept.
  assert.ok((await readsOf(() => targetsOf('red'))) <= 4);
  assert.ok((await readsOf(() => targetsOf('blue'))) <= 3);
  const paged: string[] = [];
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const query = { limit: 1, ...(cursor === undefined ? {} : { cursor }) };
    const reads = await readsOf(async () => {
      const page = await targetsOf('red', query);
      paged.push(...page.targets);
      cursor = page.nextCursor;
    });
    assert.ok(reads <= 4, `${reads} reads for ${paged.at(-1)}`);
  }
  assert.deepEqual(paged, ['/3', '/2', '/1']);
  await write('blue', '/by an earlier version beside this one');
  await write('red', '/4');
  assert.deepEqual((await targetsOf('blue')).targets, ['/by an earlier version beside this one']);
  assert.deepEqual((await targetsOf('red')).targets, ['/4', '/3', '/2', '/1']);
  const [newest] = (await log.list({ limit: 1 }, 'red')).items;
  assert.deepEqual(
    (await targetsOf('red', { since: new Date(Number(newest?.id.split('-')[0])).toISOString() })).targets,
    ['/4'],
  );
});
