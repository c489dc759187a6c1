/** The log of deliveries keeps what is pending, and of what is done as much as it has room for. On a real Redis. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import type { Redis } from 'ioredis';
import { errorCode } from '../errors.ts';
import { keys } from '../redis/keys.ts';
import { startTestRedis, type TestRedis } from '../testing/test-redis.ts';
import { createDeliveries, type Deliveries, type Delivery, deliveryId } from './deliveries.ts';

const ROOM = 1_000;
const WEBHOOK = { createdAt: '2026-01-01T00:00:00.000Z' };
const WEEK_MS = 7 * 24 * 3_600_000;
let server: TestRedis;
let redis: Redis;
let deliveries: Deliveries;

before(async () => {
  server = await startTestRedis();
  redis = server.redis;
  deliveries = createDeliveries(redis);
});
after(() => server[Symbol.asyncDispose]());
beforeEach(() => redis.flushall());

const BEGAN_MS = Date.now() - 3_600_000;
/** The nth of one webhook, a second after the one before. */
async function made(n: number): Promise<Delivery> {
  const delivery: Delivery = {
    ...{ id: deliveryId('hook', String(n)), webhook: 'hook', event: 'migration.queued', migration: null },
    createdAt: new Date(BEGAN_MS + n * 1_000).toISOString(),
    ...{ status: 'pending', nextAttemptAt: null, attempts: [], payload: String(n) },
  };
  assert.ok(await deliveries.add(delivery, WEBHOOK));
  return delivery;
}
const save = (delivery: Delivery, status: Delivery['status']) =>
  deliveries.save({ delivery: { ...delivery, status }, tries: 1, madeFor: WEBHOOK.createdAt });
async function done(from: number, to: number): Promise<Delivery[]> {
  const all: Delivery[] = [];
  for (let n = from; n <= to; n++) {
    const delivery = await made(n);
    await save(delivery, 'delivered');
    all.push(delivery);
  }
  return all;
}
/** Of all pages, the oldest first. */
async function listed(): Promise<string[]> {
  const ids: string[] = [];
  for (let cursor: string | undefined; ; ) {
    const { items, nextCursor } = await deliveries.list('hook', { limit: 200, cursor });
    ids.push(...items.map(({ id }) => id));
    if (nextCursor === null) return ids.reverse();
    cursor = nextCursor;
  }
}
const records = async (): Promise<number> => (await redis.keys(keys.webhookDelivery('*'))).length;

test('what is done goes with its record once there are many of it; what is pending stays, however old it is', async () => {
  const pending = [await made(1), await made(2)];
  const all = await done(3, ROOM + 12);
  const [gone, kept] = [all.slice(0, 10), all.slice(10)];
  const ids = (some: readonly Delivery[]) => some.map(({ id }) => id);
  assert.deepEqual(await listed(), [...ids(pending), ...ids(kept)]);
  assert.equal(await records(), 2 + ROOM);
  for (const { id } of gone) {
    await assert.rejects(deliveries.get('hook', id), (error) => errorCode(error) === 'DELIVERY_NOT_FOUND');
  }
  assert.deepEqual(new Set(await deliveries.overdue(0)), new Set(ids(pending)));
});

test('an attempt that is due later than any can be is due now: a clock was ahead when it was written', async () => {
  const dueIn = async (second: number, hours: number): Promise<string> => {
    const delivery = await made(second);
    const nextAttemptAt = new Date(Date.now() + hours * 3_600_000).toISOString();
    await deliveries.save({ delivery: { ...delivery, nextAttemptAt }, tries: 1, madeFor: null });
    return delivery.id;
  };
  await dueIn(1, 11);
  const astray = await dueIn(2, 13);
  assert.deepEqual(await deliveries.overdue(60_000), [astray]);
});

test('many that are pending are all kept', async () => {
  for (let n = 1; n <= ROOM + 10; n++) await made(n);
  assert.equal((await listed()).length, ROOM + 10);
  assert.equal(await redis.zcard(keys.webhooksPending), ROOM + 10);
});

test('one that is sent again is pending like any other, and done once more at its end', async () => {
  const [again] = await done(1, 1);
  assert.ok(again !== undefined);
  await save(again, 'pending');
  await done(2, ROOM + 2);
  assert.equal((await deliveries.get('hook', again.id)).delivery.status, 'pending');
  assert.equal(await records(), ROOM + 1);
  await save(again, 'failed');
  assert.equal((await deliveries.get('hook', again.id)).delivery.status, 'failed', 'the last one of a thousand');
  assert.equal(await records(), ROOM);
});

test('what was done more than a week ago goes, also out of the list', async () => {
  const [old] = await done(1, 2);
  assert.ok(old !== undefined);
  await redis.zadd(keys.webhookDone('hook'), 'XX', Date.now() - WEEK_MS - 1_000, old.id);
  const [last] = await done(3, 3);
  assert.deepEqual((await listed()).length, 2);
  assert.deepEqual([await records(), (await listed()).at(-1)], [2, last?.id]);
});

test('of a webhook that is removed nothing is left, pending or done', async () => {
  for (let n = 1; n <= ROOM + 10; n++) await made(n);
  await done(ROOM + 11, ROOM + 20);
  await deliveries.forget('hook');
  assert.deepEqual(await redis.keys('*'), []);
});
