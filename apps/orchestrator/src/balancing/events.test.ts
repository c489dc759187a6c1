/** What is told of a policy, once for each change, to whoever follows it and to whoever follows everything. On a real Redis. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Redis } from 'ioredis';
import { createEventHub, isEvent } from '../migrations/events.ts';
import { keys } from '../redis/keys.ts';
import { type Notice, noticeSchema } from '../schemas/notice.ts';
import { startTestRedis, type TestRedis } from '../testing/test-redis.ts';
import { createPolicyEvents, type PolicyEvents } from './events.ts';
import { type BalancingStore, createBalancingStore } from './store.ts';
import { AT, moveOf, passOf, settings } from './testing/fixtures.ts';
import type { BalancingMove, BalancingPass } from './types.ts';

let server: TestRedis;
let redis: Redis;
let subscriber: Redis;
let store: BalancingStore;
let events: PolicyEvents;
before(async () => {
  server = await startTestRedis();
  redis = server.redis;
  subscriber = redis.duplicate();
  store = createBalancingStore(redis);
  events = createPolicyEvents(await createEventHub(redis, subscriber, { get: async () => undefined }), redis);
});
after(async () => {
  subscriber.disconnect();
  await server[Symbol.asyncDispose]();
});

const add = (id: string) => store.policies.add({ id, ...settings(), pausedAt: null, createdAt: AT }, []);
const memory = { passes: 1, lastPassAt: AT, hosts: {} };
const proposed = (policy: string, changes: Partial<BalancingMove> = {}) =>
  moveOf(policy, { state: 'proposed', expiresAt: AT, ...changes });

async function commit(policy: string, pass: BalancingPass, moves: readonly BalancingMove[], times = 1): Promise<void> {
  const lease = await store.lease(policy, 60_000);
  assert.ok(lease !== undefined);
  for (let sent = 0; sent < times; sent++) assert.ok(await store.commit(lease, pass, memory, moves));
  await lease.release();
}

/** Event, move and message of everything in a stream. */
async function toldIn(stream: string, policy: string): Promise<(readonly [string, string])[]> {
  const entries = await redis.xrange(stream, '-', '+');
  const notices = entries.map(([, [, json = '']]): Notice => noticeSchema.parse(JSON.parse(json)));
  return notices.flatMap((notice) =>
    notice.type === 'balancing' && notice.balancing.policy === policy
      ? [[notice.balancing.event, notice.message] as const]
      : [],
  );
}

test('each pass and each turn of a proposal is told once, however often it is sent', async () => {
  await add('told');
  const move = proposed('told');
  await commit('told', passOf('told', [move], { mode: 'propose' }), [move], 2);
  // The same proposal of a later pass is no news.
  await commit('told', passOf('told', [move], { mode: 'propose', number: 2 }), [{ ...move, pass: 2 }]);
  const answer = (state: BalancingMove['state'], changes: Partial<BalancingMove>) =>
    store.changeMove('told', move.id, (current) => ({ ...current, state, ...changes }));
  await answer('submitting', { answeredBy: 'Ada' });
  await answer('submitted', {});
  await answer('ended', { outcome: 'large was moved.' });
  const expected = [
    ['pass-done', 'Pass 1 proposes 1 move.'],
    ['proposed', 'large goes.'],
    ['pass-done', 'Pass 2 proposes 1 move.'],
    ['approved', 'Ada said yes. large goes.'],
  ];
  assert.deepEqual(await toldIn(keys.balancingEvents('told'), 'told'), expected);
  assert.deepEqual(await toldIn(keys.feed, 'told'), expected, 'and to whoever follows everything');
});

test('what nobody wants any more is told as well', async () => {
  await add('over');
  const ends = ['rejected', 'expired', 'withdrawn', 'refused'] as const;
  const moves = ends.map((state) => proposed('over', { id: `bm_${state.padEnd(32, '0').replace(/[^0-9a-f]/g, '1')}` }));
  await commit('over', passOf('over', moves, { mode: 'propose' }), moves);
  for (const [index, state] of ends.entries()) {
    const outcome = `It was ${state}.`;
    await store.changeMove('over', moves[index]?.id ?? '', (move) => ({ ...move, state, outcome }));
  }
  const told = (await toldIn(keys.balancingEvents('over'), 'over')).slice(1 + ends.length);
  assert.deepEqual(
    told,
    ends.map((state) => [state, `It was ${state}.`]),
  );
  const automatic = passOf('over', [], { number: 2 });
  await commit('over', automatic, [moveOf('over', { id: `bm_${'2'.repeat(32)}` })]);
  assert.deepEqual((await toldIn(keys.balancingEvents('over'), 'over')).slice(-1), [
    ['pass-done', 'Pass 2 decided on no move.'],
  ]);
});

test('a reader hears what comes, goes on where it was, and is let go when the policy is removed', {
  timeout: 20_000,
}, async () => {
  await add('read');
  const [before_, move] = [passOf('read', []), proposed('read')];
  await commit('read', before_, []);
  const hangUp = new AbortController();
  const heard: { id: string; event: string }[] = [];
  const read = async (afterId: string | undefined, count: number): Promise<void> => {
    for await (const event of events.follow('read', afterId, hangUp)) {
      if (!isEvent(event)) continue;
      const notice = noticeSchema.parse(JSON.parse(event.json));
      assert.ok(notice.type === 'balancing');
      heard.push({ id: event.id, event: notice.balancing.event });
      if (heard.length === count) return;
    }
  };
  const reading = read(undefined, 2);
  await redis.ping(); // it has looked where the stream ends by now
  await commit('read', passOf('read', [move], { number: 2 }), [move]);
  await reading;
  assert.deepEqual(
    heard.map(({ event }) => event),
    ['pass-done', 'proposed'],
  );
  await read(heard[0]?.id, 3);
  assert.equal(heard[2]?.id, heard[1]?.id, 'what came after that one');
  await read('0-0', 4);
  assert.equal(heard[3]?.event, 'pass-done', 'or everything that is kept');
  const end = read(heard[2]?.id, 99);
  await store.remove('read');
  await end;
});
