/**
 * One attempt at a time for each webhook, the others in line, in their order; what is tried slower; what was meant for another one of
 * the name. On a real Redis.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import type { Redis } from 'ioredis';
import { createLog } from '../log.ts';
import { keys } from '../redis/keys.ts';
import { TEST_EVENT } from '../schemas/webhook.ts';
import { startTestRedis, type TestRedis } from '../testing/test-redis.ts';
import { createAddressGuard, parseNetwork } from './address-guard.ts';
import { type Courier, createCourier } from './courier.ts';
import { createDeliveries, type Deliveries, type Delivery, deliveryId } from './deliveries.ts';
import { createTurns, MAX_IN_LINE, type Turn, type Turns } from './turns.ts';
import type { Webhook, Webhooks } from './webhooks.ts';

const BEGAN_MS = Date.now() - 3_600_000;
const CREATED_AT = '2026-01-01T00:00:00.000Z';
const AT = new Date(BEGAN_MS).toISOString();
const JOB = { queue: 'webhooks', id: 'job', sentIn: null };
let server: TestRedis;
let redis: Redis;
let deliveries: Deliveries;
let turns: Turns;

before(async () => {
  server = await startTestRedis();
  redis = server.redis;
  deliveries = createDeliveries(redis);
  turns = createTurns(redis, { deliveries, webhookTimeoutMs: 1_000 });
});
after(() => server[Symbol.asyncDispose]());
beforeEach(() => redis.flushall());

/** One that is due since so many seconds after the first. */
async function made(second: number, webhook = 'hook', madeFor = { createdAt: CREATED_AT }): Promise<Delivery> {
  const delivery: Delivery = {
    ...{ id: deliveryId(webhook, String(second)), webhook, event: 'migration.queued', migration: null },
    createdAt: new Date(BEGAN_MS + second * 1_000).toISOString(),
    ...{ status: 'pending', nextAttemptAt: null, attempts: [], payload: String(second) },
  };
  await deliveries.add(delivery, madeFor);
  return delivery;
}
async function turnOf(delivery: Delivery): Promise<Turn> {
  const taken = await turns.take(delivery);
  assert.ok(taken !== undefined && 'turn' in taken, 'it is nobody’s turn');
  return taken.turn;
}

test('one at a time; what waits comes in the order in which it fell due, whoever asks for it', async () => {
  const [first, second, third, other] = [await made(1), await made(2), await made(3), await made(1, 'other')];
  const turn = await turnOf(first);
  assert.equal(turn.id, first.id);
  for (const each of [third, second, first]) assert.equal(await turns.take(each), undefined);
  assert.equal((await turnOf(other)).id, other.id, 'another webhook has a turn of its own');
  await deliveries.save({ delivery: { ...first, status: 'delivered' }, tries: 1, madeFor: CREATED_AT });
  assert.equal(await turns.end(turn, 0), second.id);
  const next = await turnOf(third);
  assert.equal(next.id, second.id, 'the one that came before it');
  assert.equal(await turns.end(next, 0), third.id);
  const last = await turnOf(third);
  assert.deepEqual([last.id, await turns.end(last, 0)], [third.id, undefined]);
  assert.equal(await redis.zscore(keys.webhooksTurns, 'hook'), null, 'nothing is left of it');
});

test('after a break it is somebody’s turn again', async () => {
  const [first, second] = [await made(1), await made(2)];
  await turns.end(await turnOf(first), 60_000);
  assert.equal(await turns.take(second), undefined);
  await redis.zadd(keys.webhooksTurns, 'XX', Date.now() - 1, 'hook');
  assert.deepEqual(await turns.abandoned(0), [second.id]);
  assert.equal((await turnOf(second)).id, second.id);
});

test('a turn or a break that ends later than any can was written by a clock that was ahead: nobody waits for it', async () => {
  const [first, second] = [await made(1), await made(2)];
  const farMs = Date.now() + 3_600_000;
  const turn = await turnOf(first);
  assert.equal(await turns.take(second), undefined);
  await redis.zadd(keys.webhooksTurns, 'XX', farMs, 'hook');
  assert.deepEqual(await turns.abandoned(30_000), [second.id]);
  assert.equal((await turnOf(second)).id, second.id, 'it was taken away from nobody');
  await redis.zadd(keys.webhooksTurns, 'XX', farMs, 'hook');
  const third = await made(3);
  assert.equal((await turnOf(third)).id, third.id, 'whoever comes need not wait for somebody to look after it');
  await redis.zadd(keys.webhooksTurns, 'XX', farMs, 'hook');
  await turns.end(turn, 0);
  assert.equal(await redis.zscore(keys.webhooksTurns, 'hook'), null, 'an end ends it');
  await redis.zadd(keys.webhooksTurns, Date.now() + 20_000, 'hook');
  const fourth = await made(4);
  assert.equal(await turns.take(fourth), undefined, 'one that can be is waited for');
});

test('of one that died over its turn the next is found; an end that comes too late ends nobody else’s', async () => {
  const [first, second, third] = [await made(1), await made(2), await made(3)];
  const dead = await turnOf(first);
  assert.equal(await turns.take(second), undefined);
  assert.deepEqual(await turns.abandoned(0), [], 'while it may live nobody interferes');
  await redis.zadd(keys.webhooksTurns, 'XX', Date.now() - 1, 'hook');
  assert.deepEqual(await turns.abandoned(0), [second.id]);
  await turnOf(second);
  assert.equal(await turns.end({ ...dead, lapsesAtMs: Date.now() }, 0), undefined);
  assert.equal(await turns.take(third), undefined, 'the second has it still');
});

test('a delivery that is not kept any more holds up no line', async () => {
  const [first, gone, last] = [await made(1), await made(2), await made(3)];
  const turn = await turnOf(first);
  for (const each of [gone, last]) assert.equal(await turns.take(each), undefined);
  await redis.del(keys.webhookDelivery(gone.id));
  assert.equal(await turns.end(turn, 0), gone.id);
  assert.deepEqual(await turns.abandoned(0), []);
  assert.deepEqual(await turns.abandoned(0), [last.id]);
});

test('what waits in a line is not taken for abandoned; what has the turn is, when nobody carries it out', async () => {
  const [first, second] = [await made(1), await made(2)];
  await turns.end(await turnOf(first), 0);
  assert.deepEqual(new Set(await deliveries.overdue(0)), new Set([first.id, second.id]));
  await turnOf(first);
  await turns.take(second);
  assert.deepEqual(await deliveries.overdue(-1_000), [first.id]);
});

/** With a receiver that has been failing for so long: nobody listens at its port. */
async function failing(forMs: number | null): Promise<{ courier: Courier; webhook: Webhook; failures: string[] }> {
  const failures: string[] = [];
  const webhook: Webhook = {
    ...{ id: 'hook', url: 'http://127.0.0.1:1/', description: '', events: null, project: null, disabled: null },
    ...{ createdAt: CREATED_AT, secretRotatedAt: null },
    failingSince: forMs === null ? null : new Date(Date.now() - forMs).toISOString(),
  };
  const webhooks = {
    find: async () => webhook,
    secrets: async () => ['whsec_AAAA'],
    noteFailure: async (_: string, message: string) => void failures.push(message),
  } as unknown as Webhooks;
  const guard = createAddressGuard([parseNetwork('127.0.0.0/8')]);
  const courier = createCourier({
    ...{ webhooks, deliveries, turns, guard, log: createLog('silent') },
    ...{ enqueue: async () => undefined, traceparentOf: async () => null, onAttempt: () => undefined },
    settings: { webhookTimeoutMs: 1_000, webhookRetryMs: 5_000, webhookDisableMs: 1_000_000 },
  });
  return { courier, webhook, failures };
}

for (const [title, forMs, breakMs] of [
  ['a first failure', null, 0],
  ['half a minute of failures', 30_000, 3_000],
  ['a day of failures', 86_400_000, 60_000],
] as const) {
  test(`after ${title} the next attempt waits ${breakMs} ms for it, and none of its tries is used up`, async () => {
    const { courier, failures } = await failing(forMs);
    const [first, second, third] = [await made(1), await made(2), await made(3)];
    for (const each of [second, third]) await redis.zadd(keys.webhookLine('hook'), Date.parse(each.createdAt), each.id);
    const [again, next, ...more] = await courier.deliver(first.id, JOB);
    assert.equal(again?.deliveryId, first.id);
    assert.ok(Math.abs((again?.inMs ?? 0) - 5_000) <= 500, 'its own next try is due as ever');
    assert.deepEqual([next?.deliveryId, more], [second.id, []]);
    assert.ok(Math.abs((next?.inMs ?? 0) - breakMs) <= 200, `${next?.inMs} ms`);
    assert.equal((await deliveries.find(first.id))?.tries, 1);
    if (breakMs > 0) assert.deepEqual(await courier.deliver(second.id, JOB), []);
    assert.deepEqual([(await deliveries.find(second.id))?.tries, failures.length], [0, 1]);
  });
}

test('in a line that is full the first is given up, in words; nothing else is', async () => {
  const { courier, failures } = await failing(null);
  const [first, last] = [await made(1), await made(2)];
  await turnOf(await made(0));
  assert.deepEqual(await courier.deliver(first.id, JOB), []);
  const others = Array.from({ length: MAX_IN_LINE - 1 }, (_, i) => [Date.parse(first.createdAt) + 1, `other-${i}`]);
  await redis.zadd(keys.webhookLine('hook'), ...others.flat());
  assert.equal((await deliveries.find(first.id))?.delivery.status, 'pending');
  assert.deepEqual(await courier.deliver(last.id, JOB), []);
  const { status, attempts } = (await deliveries.get('hook', first.id)).delivery;
  assert.equal(status, 'failed');
  assert.match(attempts.at(-1)?.message ?? '', /10000 messages wait/);
  assert.equal((await deliveries.find(last.id))?.delivery.status, 'pending');
  assert.deepEqual([await redis.zcard(keys.webhookLine('hook')), failures], [MAX_IN_LINE, []]);
});

test('in a line that is full what somebody has asked for is not given up, nor for its sake what was asked for before', async () => {
  const [test, again, ordinary] = [await made(1), await made(2), await made(3)];
  await turnOf(await made(0));
  const asked = { ...test, event: TEST_EVENT as Delivery['event'] };
  const sentAgain = { ...again, attempts: [{ at: AT, durationMs: 1, status: 500, fault: 'HTTP_STATUS', message: '' }] };
  await turns.take(ordinary);
  const others = Array.from({ length: MAX_IN_LINE - 1 }, (_, i) => [
    Date.parse(ordinary.createdAt) + 1 + i,
    `other-${i}`,
  ]);
  await redis.zadd(keys.webhookLine('hook'), ...others.flat());
  assert.deepEqual(await turns.take(asked), { givenUp: ordinary.id });
  assert.deepEqual(await turns.take(sentAgain as Delivery), { givenUp: 'other-0' });
  assert.deepEqual(await redis.zrange(keys.webhookLine('hook'), 0, 1), [asked.id, sentAgain.id].sort());
});

test('what was meant for a webhook that was removed is not sent to another one of its name', async () => {
  const { courier, webhook, failures } = await failing(null);
  const former = { createdAt: new Date(BEGAN_MS).toISOString() };
  const successor = Object.assign(webhook, { createdAt: new Date(BEGAN_MS + 60_000).toISOString() });
  // The second one was on its way to the log when its webhook was removed, and came into it after there was another one.
  const [before, late, own] = [
    await made(1, 'hook', former),
    await made(61, 'hook', former),
    await made(62, 'hook', successor),
  ];
  const [legacy, legacyOwn] = [await made(2), await made(63)];
  for (const { id } of [legacy, legacyOwn]) {
    const { madeFor: _, ...record } = JSON.parse((await redis.get(keys.webhookDelivery(id))) ?? '');
    await redis.set(keys.webhookDelivery(id), JSON.stringify(record));
  }
  for (const { id } of [before, late, legacy]) {
    await courier.deliver(id, JOB);
    const { delivery } = await deliveries.get('hook', id);
    assert.deepEqual([delivery.status, delivery.attempts.at(-1)?.message], ['failed', 'The webhook was removed.']);
  }
  assert.deepEqual(failures, []);
  for (const { id } of [own, legacyOwn]) await courier.deliver(id, JOB);
  assert.equal(failures.length, 2, 'its own are');
});
