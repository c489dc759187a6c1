/** What a dispatcher that died had in its hands is taken over, and its name leaves the group; what was gone before is told. On a real Redis. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { createLog } from '../log.ts';
import { newMigrationId, newRecord } from '../migrations/record.ts';
import { eventJson } from '../migrations/store-answers.ts';
import { keys } from '../redis/keys.ts';
import { migrationInputSchema } from '../schemas/migration.ts';
import { startTestRedis, type TestRedis } from '../testing/test-redis.ts';
import { createDeliveries } from './deliveries.ts';
import { type DispatcherParts, startDispatcher } from './dispatcher.ts';
import { GROUP, missedNotices, takeNotices } from './feed-group.ts';
import { createTurns } from './turns.ts';
import type { Webhook } from './webhooks.ts';

const HOOK: Webhook = {
  ...{ id: 'hook', url: 'http://127.0.0.1:1/', description: '', events: null, project: null },
  ...{ createdAt: '2026-01-01T00:00:00.000Z', secretRotatedAt: null, failingSince: null, disabled: null },
};
let server: TestRedis;
let redis: Redis;
let subscriber: Redis;
let enqueued: string[];

before(async () => {
  server = await startTestRedis();
  redis = server.redis;
  subscriber = redis.duplicate();
});
after(async () => {
  subscriber.disconnect();
  await server[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await redis.flushall();
  enqueued = [];
  await redis.xgroup('CREATE', keys.feed, GROUP, '$', 'MKSTREAM');
});

const start = (changes: Partial<DispatcherParts> = {}) => {
  const [deliveries, webhookTimeoutMs] = [createDeliveries(redis), 1_000];
  return startDispatcher({
    ...{ redis, subscriber, deliveries, webhookTimeoutMs, log: createLog('silent') },
    turns: createTurns(redis, { deliveries, webhookTimeoutMs }),
    webhooks: { list: async () => [HOOK] } as unknown as DispatcherParts['webhooks'],
    enqueue: async (id) => void enqueued.push(id),
    ...changes,
  });
};

async function notice(): Promise<void> {
  const request = migrationInputSchema.parse({ vm: 'web-1', source: 'a', destination: 'b' });
  const { migration } = newRecord(newMigrationId(), request, { source: 'x', destination: 'y' }, [], { plugin: 'kvm' });
  await redis.xadd(keys.feed, '*', 'event', eventJson('phase', 'queued', migration).notice);
}
/** Reads everything for a consumer, which then says nothing more. @param forMs since when it has said nothing */
async function dies(consumer: string, forMs: number): Promise<void> {
  await redis.xreadgroup('GROUP', GROUP, consumer, 'STREAMS', keys.feed, '>');
  const pending = (await redis.xpending(keys.feed, GROUP, '-', '+', 100, consumer)) as [string][];
  for (const [id] of pending) await redis.call('XCLAIM', keys.feed, GROUP, consumer, 0, id, 'IDLE', forMs, 'JUSTID');
}
interface Consumer {
  readonly name: string;
  readonly pending: number;
}
async function consumers(): Promise<Consumer[]> {
  const all = (await redis.xinfo('CONSUMERS', keys.feed, GROUP)) as unknown[][];
  return all.map((fields) => {
    const value = (name: string) => fields[fields.indexOf(name) + 1];
    return { name: String(value('name')), pending: Number(value('pending')) };
  });
}
async function until(condition: (all: readonly Consumer[]) => boolean): Promise<readonly Consumer[]> {
  for (;;) {
    const all = await consumers();
    if (condition(all)) return all;
    await sleep(20);
  }
}
const has = (all: readonly Consumer[], consumer: string) => all.some(({ name }) => name === consumer);

test('what a dead one had in its hands is sent, and it leaves the group', async () => {
  await notice();
  await notice();
  await dies('dead', 60_000);
  const dispatcher = await start({ deadAfterMs: 200 });
  await until((all) => !has(all, 'dead'));
  assert.equal(new Set(enqueued).size, 2);
  await dispatcher.stop();
  assert.deepEqual(await consumers(), [], 'who stops in order leaves nothing either');
});

test('who still has something is not forgotten, however long it has been silent', async () => {
  await notice();
  await dies('slow', 0); // it is not yet time to take it over
  await redis.xgroup('CREATECONSUMER', keys.feed, GROUP, 'dead');
  const dispatcher = await start({ deadAfterMs: 1 });
  const left = await until((all) => !has(all, 'dead'));
  assert.deepEqual(
    left.filter(({ name }) => name === 'slow'),
    [{ name: 'slow', pending: 1 }],
  );
  await dispatcher.stop();
});

/** So many of them, of which the feed keeps the newest. */
async function notices(count: number, kept = count): Promise<void> {
  for (let i = 0; i < count; i++) await notice();
  await redis.xtrim(keys.feed, 'MAXLEN', kept);
}
async function sent(count: number): Promise<void> {
  while (new Set(enqueued).size < count) await sleep(20);
}

test('notices that the feed has not kept until somebody came are counted, and the others are sent', async () => {
  await redis.hset(keys.webhooks, HOOK.id, '{}');
  const first = await start();
  await notices(3);
  await sent(3);
  await first.stop();
  await notices(4, 1);
  assert.deepEqual(await missedNotices(redis), { count: 0, at: null });
  const errors: unknown[] = [];
  const log = createLog('silent');
  const second = await start({ log: Object.assign(log, { error: (facts: unknown) => errors.push(facts) }) });
  await sent(4);
  await notices(3, 3); // one that was read is cut off
  await sent(7);
  await second.stop();
  const { count, at } = await missedNotices(redis);
  assert.deepEqual([count, errors], [3, [{ missed: 3 }]]);
  assert.ok(Math.abs(Date.parse(at ?? '') - Date.now()) < 60_000, String(at));
});

test('what one that died has taken counts as well, once it is not kept any more; several count it once', async () => {
  await redis.hset(keys.webhooks, HOOK.id, '{}');
  await notices(2);
  const taken = await takeNotices(redis, { consumer: 'dead', takeOverAfterMs: 60_000, count: 10 });
  assert.deepEqual([taken.entries.length, taken.missed], [2, 0]);
  await notices(5, 1);
  const dispatchers = await Promise.all([start(), start(), start()]);
  await sent(1);
  while ((await missedNotices(redis)).count < 6) await sleep(20);
  for (const dispatcher of dispatchers) await dispatcher.stop();
  assert.equal((await missedNotices(redis)).count, 2 + 4);
});

test('where there is no webhook nothing is missed; a feed that is begun anew has lost nothing', async () => {
  const first = await start();
  await notices(3);
  await sent(3);
  await first.stop();
  await notices(4, 1);
  const second = await start();
  await sent(4);
  await second.stop();
  assert.equal((await missedNotices(redis)).count, 0);
  await redis.hset(keys.webhooks, HOOK.id, '{}');
  await redis.del(keys.feed);
  const third = await start();
  await notices(2);
  await sent(6);
  await third.stop();
  assert.equal((await missedNotices(redis)).count, 0);
});
