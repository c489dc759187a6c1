/** What a removed record leaves behind: nothing; and what a broken one is in the way of: nobody. On a real Redis. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { startTestRedis, type TestRedis } from '../testing/test-redis.ts';
import { keys } from './keys.ts';
import { NEEDS_PERSON, pageOf, versionedTable } from './versioned-table.ts';

const schema = z.object({ id: z.string(), createdAt: z.string(), colour: z.string(), asks: z.boolean() });
let server: TestRedis;
let redis: Redis;
before(async () => {
  server = await startTestRedis();
  redis = server.redis;
});
after(() => server[Symbol.asyncDispose]());

test('a record that is removed is in no list any more, also one that waits for a person', async () => {
  const table = versionedTable(redis, {
    ...{ name: 'thing', schema, maxLog: 1 },
    indexesOf: ({ colour }) => [['colour', colour]],
    needsPerson: ({ asks }) => asks,
  });
  const thing = { id: 'one', createdAt: '2026-06-01T12:00:00.000Z', colour: 'red', asks: true };
  const seat = { name: 'best', taken: () => assert.fail('nobody has it') };
  assert.ok(await table.add(thing, { lookAtMs: 1, log: [{ made: true }], seat }));
  assert.deepEqual(await table.ids(0, 10, NEEDS_PERSON), ['one']);
  await table.remove('one');
  await table.remove('one');
  assert.deepEqual(await redis.keys('*'), []);
});

test('a record that cannot be read is logged and left out of lists, and the pages go on after it', async () => {
  const told: unknown[] = [];
  const log = { error: (...words: unknown[]) => void told.push(words) };
  const table = versionedTable(redis, { ...{ name: 'thing', schema, maxLog: 1 }, log });
  const COUNT = 120; // more than are looked at together
  for (let n = 0; n < COUNT; n += 1) {
    const createdAt = new Date(Date.UTC(2026, 5, 1, 0, 0, n)).toISOString();
    await table.add({ id: `t${n}`, createdAt, colour: 'red', asks: false }, { lookAtMs: null });
  }
  const broken = [119, 60, 59, 58, 0];
  const { record } = keys.versioned('thing');
  for (const n of broken) await redis.hset(record(`t${n}`), 'record', n === 0 ? 'no JSON' : '{"id":null}');
  const seen: string[] = [];
  for (let cursor: string | undefined; ; ) {
    const page = await pageOf(table, { limit: 30, cursor }, () => true);
    seen.push(...page.items.map(({ id }) => id));
    if (page.nextCursor === null) break;
    cursor = page.nextCursor;
  }
  const whole = Array.from({ length: COUNT }, (_, n) => COUNT - 1 - n).filter((n) => !broken.includes(n));
  assert.deepEqual(
    seen,
    whole.map((n) => `t${n}`),
  );
  assert.ok(told.length >= broken.length);
  assert.deepEqual(await table.getMany(['t0', 't1']).then((found) => found.map(({ id }) => id)), ['t1']);
  await assert.rejects(table.find('t0'));
});
