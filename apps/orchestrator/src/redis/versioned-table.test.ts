/** What a removed record leaves behind: nothing. On a real Redis. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { startTestRedis, type TestRedis } from '../testing/test-redis.ts';
import { NEEDS_PERSON, versionedTable } from './versioned-table.ts';

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
