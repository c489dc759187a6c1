/** Passes that schedules order: each is made once, whatever breaks; a cancel is heard at any time. On a real Redis. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import type { Redis } from 'ioredis';
import { LmasError } from '../errors.ts';
import { createLog } from '../log.ts';
import type { Migration } from '../migrations/record.ts';
import type { VersionedTable } from '../redis/versioned-table.ts';
import { startTestRedis, type TestRedis } from '../testing/test-redis.ts';
import { type BalancingRun, createBalancingRunTable } from './run-record.ts';
import { type BalancingRunParts, type BalancingRuns, createBalancingRuns } from './runs.ts';
import { type BalancingStore, createBalancingStore } from './store.ts';
import { AT, moveOf, passOf, settings } from './testing/fixtures.ts';
import type { BalancingMove, BalancingPolicy } from './types.ts';

const log = createLog('silent');
const MIGRATION = 'm_00000000-0000-4000-8000-000000000000';
const FENCE = { key: 'the-schedule', token: 1 };
let server: TestRedis;
let redis: Redis;
let store: BalancingStore;
let table: VersionedTable<BalancingRun>;
let played: PlayedPolicy;
let runs: BalancingRuns;
let others: BalancingRuns;

/** A policy whose passes decide what the test says, written as real ones are. */
class PlayedPolicy {
  policy: BalancingPolicy = { id: 'p', ...settings({ mode: 'automatic' }), pausedAt: null, createdAt: AT };
  moves: BalancingMove[] = [];
  passes = 0;
  readonly migrations = new Map<string, Pick<Migration, 'phase' | 'error'>>();
  readonly cancelled: string[] = [];
  beforeCommit = async (): Promise<void> => undefined;
  afterCommit = async (): Promise<void> => undefined;

  readonly service: BalancingRunParts['service'] = {
    get: async () => this.policy,
    run: async (id, { order }) => {
      if (this.policy.pausedAt !== null) throw new LmasError('BALANCING_PAUSED');
      const lease = await store.lease(id, 60_000);
      if (lease === undefined) throw new LmasError('BALANCING_BUSY');
      try {
        const made = order && (await store.passFor(id, order));
        if (made !== undefined) return made;
        const moves = this.moves;
        const number = (await store.passes(id, 500)).length + 1;
        const pass = passOf(id, moves, { number, run: order?.run ?? null, at: new Date().toISOString() });
        await this.beforeCommit();
        assert.ok(
          await store.commit(lease, pass, { passes: number, lastPassAt: pass.at, hosts: {} }, moves, order?.fence),
        );
        this.passes += 1;
        await this.afterCommit();
        return pass;
      } finally {
        await lease.release();
      }
    },
  };
  readonly found: BalancingRunParts['migrations'] = {
    get: async (id) => {
      const migration = this.migrations.get(id);
      if (migration === undefined) throw new LmasError('MIGRATION_NOT_FOUND');
      return migration as Migration;
    },
    cancel: async (id) => {
      this.cancelled.push(id);
      return this.migrations.get(id) as Migration;
    },
  };

  runs(): BalancingRuns {
    const parts = { table, service: this.service, store, migrations: this.found, log };
    return createBalancingRuns({ ...parts, announce: async () => undefined, now: Date.now });
  }
}

before(async () => {
  server = await startTestRedis();
  redis = server.redis;
  store = createBalancingStore(redis);
  table = createBalancingRunTable(redis);
});
after(() => server[Symbol.asyncDispose]());
beforeEach(async () => {
  await redis.flushall();
  await redis.hset(FENCE.key, 'token', FENCE.token);
  played = new PlayedPolicy();
  await store.policies.add(played.policy, []);
  [runs, others] = [played.runs(), played.runs()];
});

const order = () => runs.order('p', { purpose: 'tonight', fence: FENCE });
const changeMove = (changes: Partial<BalancingMove>) =>
  store.changeMove('p', played.moves[0]?.id ?? '', (move) => ({ ...move, ...changes }));

test('the same purpose is the same run, and one pass, however many look', async () => {
  const { id } = await order();
  assert.equal((await order()).id, id);
  assert.equal((await runs.findFor('tonight'))?.id, id);
  assert.equal(await runs.findFor('tomorrow'), undefined);
  await Promise.all([runs.look(id), others.look(id), runs.look(id)]);
  await Promise.all([runs.look(id), others.look(id)]);
  const run = await runs.get(id);
  assert.deepEqual([run.phase, run.pass, run.message], ['succeeded', 1, 'Pass 1 decided on no move.']);
  assert.equal(played.passes, 1);
  assert.deepEqual(await table.dueBy(Number.MAX_SAFE_INTEGER), [], 'nobody has to look any more');
});

test('a process that dies after the pass was written: the next one finds it', async () => {
  const { id } = await order();
  played.afterCommit = async () => {
    played.afterCommit = async () => undefined;
    throw new Error('the connection to Redis broke');
  };
  await runs.look(id);
  assert.equal((await runs.get(id)).phase, 'waiting', 'nobody knows of it yet');
  await others.look(id);
  assert.deepEqual([(await runs.get(id)).pass, played.passes], [1, 1]);
});

test('it is not over before what it decided is, and tells how that ended', async () => {
  played.moves = [moveOf('p'), moveOf('p', { id: `bm_${'1'.repeat(32)}`, vm: { id: 'small', name: 'small' } })];
  const { id } = await order();
  await runs.look(id);
  assert.equal((await runs.get(id)).phase, 'moving');
  await store.changeMove('p', `bm_${'1'.repeat(32)}`, (move) => ({ ...move, state: 'refused', outcome: 'a is calm.' }));
  await changeMove({ state: 'submitted', migration: MIGRATION });
  played.migrations.set(MIGRATION, { phase: 'performing', error: null });
  await runs.look(id);
  assert.equal((await runs.get(id)).phase, 'moving');
  played.migrations.set(MIGRATION, { phase: 'succeeded', error: null });
  await runs.look(id);
  const { phase, message, code } = await runs.get(id);
  assert.deepEqual(
    [phase, message, code],
    ['succeeded', 'Pass 1 decided on 2 moves. 1 of 1 begun arrived. small was not moved: a is calm.', null],
  );
});

test('a migration that fails is a run that fails; one that nobody keeps is not called a success', async () => {
  played.moves = [moveOf('p')];
  for (const [purpose, kept, expected] of [
    [
      'a',
      { phase: 'failed', error: { code: 'GATEWAY_ENDED', message: 'A gateway ended.' } },
      ['failed', 'GATEWAY_ENDED'],
    ],
    ['b', undefined, ['failed', null]],
    ['c', { phase: 'cancelled', error: null }, ['cancelled', null]],
  ] as const) {
    const { id } = await runs.order('p', { purpose, fence: FENCE });
    await runs.look(id);
    await changeMove({ state: 'submitted', migration: MIGRATION });
    if (kept === undefined) played.migrations.clear();
    else played.migrations.set(MIGRATION, kept as unknown as Migration);
    await runs.look(id);
    const { phase, code } = await runs.get(id);
    assert.deepEqual([phase, code], expected);
    await changeMove({ state: 'decided', migration: null });
  }
});

test('proposals are not waited for', async () => {
  played.moves = [moveOf('p', { state: 'proposed', expiresAt: AT })];
  const { id } = await order();
  await runs.look(id);
  assert.equal((await runs.get(id)).phase, 'succeeded');
});

test('cancelled while its pass is made: nothing of it is written', async () => {
  played.moves = [moveOf('p')];
  const { id } = await order();
  played.beforeCommit = () => others.cancel(id);
  await runs.look(id);
  const run = await runs.get(id);
  assert.deepEqual([run.phase, run.pass, played.passes], ['cancelled', null, 0], run.message);
  assert.deepEqual([await store.passes('p', 9), await store.moves('p')], [[], []]);
  await runs.cancel(id);
  assert.equal((await runs.get(id)).endedAt, run.endedAt, 'once is enough');
});

test('cancelled after it: what was not begun is withdrawn, what moves is cancelled', async () => {
  const second = moveOf('p', { id: `bm_${'1'.repeat(32)}`, vm: { id: 'small', name: 'small' } });
  played.moves = [moveOf('p'), second];
  const { id } = await order();
  // Also when the pass was written and nobody could write that it was.
  played.afterCommit = () => others.cancel(id);
  await runs.look(id);
  assert.equal((await store.move('p', second.id)).state, 'withdrawn');
  await changeMove({ state: 'submitted', migration: MIGRATION });
  played.migrations.set(MIGRATION, { phase: 'performing', error: null });
  await others.look(id);
  assert.deepEqual([(await runs.get(id)).phase, played.cancelled], ['moving', [MIGRATION]]);
  played.migrations.set(MIGRATION, { phase: 'succeeded', error: null });
  await others.look(id);
  assert.equal((await runs.get(id)).phase, 'cancelled', 'one was past its point of no return, the other never began');
});

test('what can never be is refused, or ends as failed; an order that was withdrawn is none', async () => {
  await assert.rejects(runs.order('p', { purpose: 'x', fence: { ...FENCE, token: 0 } }), { code: 'WITHDRAWN' });
  const { id } = await order();
  played.policy = { ...played.policy, pausedAt: AT };
  await runs.look(id);
  assert.deepEqual([(await runs.get(id)).phase, (await runs.get(id)).code], ['failed', 'BALANCING_PAUSED']);
  await assert.rejects(runs.order('p', { purpose: 'y', fence: FENCE }), { code: 'BALANCING_PAUSED' });
  await assert.rejects(runs.get('b_none'), { code: 'BALANCING_RUN_NOT_FOUND' });
});

test('a policy that is removed meanwhile: what it moves goes on, and is called no success', async () => {
  played.moves = [moveOf('p')];
  const { id } = await order();
  await runs.look(id);
  assert.equal((await runs.get(id)).phase, 'moving');
  await store.remove('p');
  await runs.look(id);
  const { phase, code, message } = await runs.get(id);
  assert.deepEqual([phase, code], ['failed', 'BALANCING_POLICY_NOT_FOUND']);
  assert.match(message, /goes on, and nobody follows it/);
});

test('a policy that somebody else is at is waited for', async () => {
  const lease = await store.lease('p', 60_000);
  const { id } = await order();
  await runs.look(id);
  assert.equal((await runs.get(id)).phase, 'waiting');
  await lease?.release();
  await runs.look(id);
  assert.equal((await runs.get(id)).phase, 'succeeded');
});
