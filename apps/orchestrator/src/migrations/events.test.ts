/** The feed of all notices on a real Redis: what a reader is told who comes back after a long time. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { keys, MAX_NOTICES } from '../redis/keys.ts';
import { startTestRedis } from '../testing/test-redis.ts';
import { createEventHub, isEvent } from './events.ts';

const server = await startTestRedis();
const { redis } = server;
const subscriber = redis.duplicate();
after(async () => {
  subscriber.disconnect();
  await server[Symbol.asyncDispose]();
});
const events = await createEventHub(redis, subscriber, { get: async () => undefined });

/** What is told first. */
async function first(afterId: string): Promise<unknown> {
  const ending = new AbortController();
  try {
    for await (const event of events.followAll(afterId, { signal: ending.signal })) {
      return isEvent(event) ? event.json : event;
    }
  } finally {
    ending.abort();
  }
  return assert.fail('nothing was told');
}
test('where the feed is can be told without what anybody did, and nothing that comes later is before it', async () => {
  await notice(100, 1);
  const position = await events.position();
  await redis.xadd(keys.feed, '*', 'event', 'later');
  assert.equal(await first(position), 'later');
  await redis.xadd(keys.feed, `${Date.now() + 3_600_000}-1`, 'event', 'from a clock that was set back since');
  const ahead = await events.position();
  await redis.xadd(keys.feed, '*', 'event', 'after that');
  assert.equal(await first(ahead), 'after that');
  await redis.del(keys.feed);
});

/** Of one script: a server that is silent for long is taken for one that is away. */
const AT_ONCE = 10_000;
/** Adds notices as the scripts do, from `<from>-1` on, an id a millisecond. */
async function notice(from: number, count: number): Promise<void> {
  for (let done = 0; done < count; done += AT_ONCE) {
    await redis.eval(
      `for i = ARGV[1], ARGV[2] do
        redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], i .. '-1', 'event', 'n' .. i)
      end`,
      ...[1, keys.feed, from + done, from + Math.min(count, done + AT_ONCE) - 1, MAX_NOTICES],
    );
  }
}

test('who comes back is told when something of what came meanwhile may not be kept any more', async () => {
  assert.deepEqual(await first('500-1'), { missed: null }, 'there is nothing of what the reader has seen');
  await notice(1_000, 10);
  assert.equal(await first('500-1'), 'n1000', 'nothing was ever cut off');
  assert.equal(await first('1003-1'), 'n1004');
  await redis.xtrim(keys.feed, 'MAXLEN', 5); // as by a version that keeps fewer
  assert.deepEqual(await first('1003-1'), { missed: null });
  await notice(2_000, MAX_NOTICES + 1_000);
  assert.deepEqual(await first('1003-1'), { missed: null });
  assert.equal(await first(`${MAX_NOTICES + 1_000}-1`), `n${MAX_NOTICES + 1_001}`);
});

test('who reads more slowly than is written is told how many he missed, and goes on from there', async () => {
  await redis.del(keys.feed);
  await notice(1_000, 5);
  const ending = new AbortController();
  const reader = events.followAll('1000-1', { signal: ending.signal });
  const next = async () => {
    const { value } = await reader.next();
    return isEvent(value) ? value.json : value;
  };
  assert.deepEqual([await next(), await next()], ['n1001', 'n1002']);
  await notice(2_000, 2 * MAX_NOTICES); // meanwhile
  const kept = await redis.xlen(keys.feed);
  const told = [await next(), await next()];
  assert.deepEqual(told, ['n1003', 'n1004'], 'what was read already');
  const lost = 2 * MAX_NOTICES - kept;
  assert.ok(lost > 0);
  assert.deepEqual(await next(), { missed: lost });
  assert.equal(await next(), `n${2_000 + lost}`);
  await notice(10 * MAX_NOTICES, 2 * MAX_NOTICES);
  const left = new Set<unknown>();
  for (let value = await next(); typeof value === 'string'; value = await next()) left.add(value);
  ending.abort();
  assert.equal(left.size, 99, 'the rest of the batch, and not what came meanwhile');
});
