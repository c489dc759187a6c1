/** What a person orders while a pass is being made, or carried out, counts from the moment in which it is stored. On a real Redis. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { createLog } from '../log.ts';
import { WEEKDAYS } from '../schemas/period.ts';
import { startTestRedis, type TestRedis } from '../testing/test-redis.ts';
import { type BalancingParts, type BalancingService, createBalancingService } from './service.ts';
import { type BalancingStore, createBalancingStore } from './store.ts';
import { AT, host, moveOf, observed, passOf, settings } from './testing/fixtures.ts';
import type { BalancingMove, BalancingPolicy } from './types.ts';

const log = createLog('silent');
const { signal } = new AbortController();
const HOUR_MS = 3_600_000;
const POLICY: BalancingPolicy = { id: 'p', ...settings({ mode: 'automatic' }), pausedAt: null, createdAt: AT };
const ORDER = { run: 'b_00000000-0000-4000-8000-000000000000', since: AT, fence: { key: 'the-run', token: 0 } };
const OVERLOADED = [
  host('a', [
    { name: 'large', cores: 4 },
    { name: 'rest', cores: 5 },
  ]),
  host('b', []),
  host('c', []),
];
let server: TestRedis;
let redis: Redis;
let store: BalancingStore;
let service: BalancingService;
/** The moves that were carried out, each with the threshold that counted then. */
let carriedOut: [vm: string, high: number][];
/** What happens while hosts are looked at, and when a move is carried out. */
let whileLooking: () => Promise<unknown>;
let afterMove: () => Promise<unknown>;
/** Those that name the policy. */
let schedules: string[];

before(async () => {
  server = await startTestRedis();
  redis = server.redis;
  store = createBalancingStore(redis);
});
after(() => server[Symbol.asyncDispose]());
beforeEach(async () => {
  await redis.flushall();
  await redis.hset(ORDER.fence.key, 'token', ORDER.fence.token);
  await store.policies.add(POLICY, []);
  carriedOut = [];
  schedules = [];
  whileLooking = afterMove = async () => undefined;
  service = createBalancingService(played());
});

function played(): BalancingParts {
  const moves: BalancingParts['moves'] = {
    past: async () => [],
    conclude: async () => [],
    resume: async (move) => move,
    async carryOut(policy, move, { by }) {
      carriedOut.push([move.vm.name, policy.cpu.high]);
      await afterMove();
      if (by === undefined) return move;
      return (await store.changeMove('p', move.id, (each) => ({ ...each, state: 'submitted' }))).move;
    },
  };
  const observer: BalancingParts['observer'] = {
    async observe() {
      await whileLooking();
      return observed(OVERLOADED);
    },
    vmsAt: async () => OVERLOADED.flatMap(({ vms }) => vms) as never,
  };
  const endpoints = { list: async () => ['a', 'b', 'c'].map((id) => ({ id, plugin: 'simulated' }) as never) };
  const told = { onPass: () => undefined, onMove: () => undefined, schedulesNaming: async () => schedules };
  return { store, endpoints, observer, moves, leaseMs: 60_000, log, ...told };
}

/** A pass that was written and of which nothing was begun, as a crash leaves it. */
async function leftBehind(changes: { run?: string; at?: string; asked?: boolean } = {}): Promise<BalancingMove[]> {
  const left = ['one', 'two'].map((name, index) =>
    moveOf('p', { id: `bm_${String(index).repeat(32)}`, vm: { id: `id-${name}`, name } }),
  );
  const lease = await store.lease('p', 60_000);
  assert.ok(lease !== undefined);
  const pass = passOf('p', left, { at: new Date().toISOString(), ...changes });
  assert.ok(await store.commit(lease, pass, { passes: 1, lastPassAt: pass.at, hosts: {} }, left));
  await lease.release();
  return left;
}
const stateOf = async ({ id }: BalancingMove) => (await store.move('p', id)).state;

test('without a word from anybody the overloaded host is relieved', async () => {
  const { moves } = await service.run('p', { signal });
  await service.stop();
  assert.deepEqual([moves.length, carriedOut.length], [1, 1]);
});

test('a pause while hosts are looked at: the pass comes to nothing', async () => {
  whileLooking = () => service.pause('p');
  await assert.rejects(service.run('p', { signal }), { code: 'BALANCING_PAUSED' });
  assert.deepEqual([await store.passes('p', 10), await store.moves('p'), carriedOut], [[], [], []]);
});

test('a pause between two moves of a pass: the second one is withdrawn', async () => {
  const [, second] = await leftBehind();
  afterMove = () => service.pause('p');
  await service.tend(POLICY, { signal });
  assert.deepEqual(carriedOut, [['one', POLICY.cpu.high]]);
  assert.equal(await stateOf(second as BalancingMove), 'withdrawn');
});

test('what was decided is carried out by the settings that there are by then, or withdrawn by them', async () => {
  const asked = { ...settings({ mode: 'automatic' }), passes: 'asked' as const };
  const [first, second] = await leftBehind();
  await service.replace('p', { ...asked, cpu: { ...asked.cpu, high: 0.99 } }, () => undefined);
  afterMove = () => service.replace('p', { ...asked, mode: 'explain' }, () => undefined);
  await service.tend(await service.get('p'), { signal });
  assert.deepEqual(carriedOut, [['one', 0.99]]);
  assert.deepEqual(
    [await stateOf(first as BalancingMove), await stateOf(second as BalancingMove)],
    ['decided', 'withdrawn'],
  );
});

test('a pass that was made for an order is its answer, also when the policy was paused since', async () => {
  await leftBehind({ run: ORDER.run });
  await service.pause('p');
  const { number, moves } = await service.run('p', { signal, order: ORDER });
  assert.deepEqual([number, moves.length, carriedOut], [1, 2, []]);
});

test('neither the number of a pass nor the id of a move comes to mean another one, also when the policy is made anew', async () => {
  const first = await service.run('p', { signal });
  await service.stop();
  await service.remove('p');
  assert.deepEqual([await redis.exists('{lmas}:balancing:passes:p'), await store.moves('p')], [0, []]);
  service = createBalancingService(played());
  await store.policies.add(POLICY, []); // made at the same instant, as when a clock was set back
  const second = await service.run('p', { signal });
  await service.stop();
  assert.deepEqual([first.number, second.number], [1, 2]);
  assert.equal(second.moves.length, 1);
  assert.notDeepEqual(second.moves, first.moves);
});

/** Two hours from now, on the clock of UTC, for two hours. */
function laterToday() {
  const clock = (ms: number): string => new Date(Date.now() + ms).toISOString().slice(11, 16);
  return { kind: 'weekly' as const, from: clock(2 * HOUR_MS), to: clock(4 * HOUR_MS), days: [...WEEKDAYS] };
}
const { id: _, pausedAt: __, createdAt: ___, ...SETTINGS } = POLICY;
const change = (changes: Partial<BalancingPolicy>) =>
  service.replace('p', { ...SETTINGS, ...changes }, () => undefined);

test('outside of its windows a policy makes no pass by itself; who asks for one gets it', async () => {
  const shut = await change({ windows: [laterToday()] });
  await service.tend(shut, { signal });
  assert.deepEqual([await store.passes('p', 10), carriedOut], [[], []]);
  await service.run('p', { signal });
  await service.stop();
  assert.equal(carriedOut.length, 1);
});

test('inside of them it does; in a blackout it does not', async () => {
  const from = new Date(Date.now() - HOUR_MS).toISOString();
  const to = new Date(Date.now() + HOUR_MS).toISOString();
  await service.tend(await change({ blackouts: [{ kind: 'dates', from, to }] }), { signal });
  assert.deepEqual(await store.passes('p', 10), []);
  await service.tend(await change({ windows: [{ kind: 'dates', from, to }] }), { signal });
  assert.equal((await store.passes('p', 10)).length, 1);
  await service.stop();
});

test('what was decided when the window closed is withdrawn', async () => {
  const [first, second] = await leftBehind();
  afterMove = () => change({ windows: [laterToday()] });
  await service.tend(POLICY, { signal });
  assert.deepEqual(carriedOut, [['one', POLICY.cpu.high]]);
  assert.deepEqual(
    [await stateOf(first as BalancingMove), await stateOf(second as BalancingMove)],
    ['decided', 'withdrawn'],
  );
  assert.match((await store.move('p', second?.id ?? '')).outcome ?? '', /window of the policy has closed/);
});

test('a proposal that nobody answers expires also where no pass comes after it', async () => {
  const asked = await change({ mode: 'propose', passes: 'asked', proposalMs: 1_000 });
  const { moves } = await service.run('p', { signal });
  const proposed = async () => (await store.move('p', moves[0] ?? '')).state;
  await service.tend(asked, { signal });
  assert.deepEqual([await proposed(), (await service.unanswered()).length], ['proposed', 1]);
  await sleep(1_001); // by the clock on the wall, which says when it expires
  assert.deepEqual(await service.unanswered(), [], 'nobody is asked any more');
  await service.tend(asked, { signal });
  assert.equal(await proposed(), 'expired');
  assert.match((await store.move('p', moves[0] ?? '')).outcome ?? '', /^Nobody answered until /);
  assert.equal((await store.passes('p', 10)).length, 1);
});

/** Two that were decided as one, and one that was not. */
async function proposals(): Promise<readonly [BalancingMove, BalancingMove, BalancingMove]> {
  const proposal = (name: string, index: number, text: string) =>
    moveOf('p', { id: `bm_${String(index).repeat(32)}`, vm: { id: `id-${name}`, name }, state: 'proposed', text });
  const together = 'one and two go from a to c.';
  const all = [
    proposal('one', 0, together),
    proposal('two', 1, together),
    proposal('three', 2, 'three goes.'),
  ] as const;
  const lease = await store.lease('p', 60_000);
  assert.ok(lease !== undefined);
  assert.ok(await store.commit(lease, passOf('p', all), { passes: 1, lastPassAt: AT, hosts: {} }, [...all]));
  await lease.release();
  return all;
}

test('who belongs together is approved together, and rejected together', async () => {
  const all = await proposals();
  const [one, two] = all;
  assert.equal((await service.approve('p', two.id, { by: 'ada', signal })).state, 'submitted');
  assert.deepEqual(await Promise.all(all.map(stateOf)), ['submitted', 'submitted', 'proposed']);
  await assert.rejects(service.approve('p', one.id, { by: 'ada', signal }), { code: 'MOVE_ANSWERED' });
});

test('what is rejected takes with it who was to go with it', async () => {
  const all = await proposals();
  await service.reject('p', all[0].id, { by: 'ada', signal });
  assert.deepEqual(await Promise.all(all.map(stateOf)), ['rejected', 'rejected', 'proposed']);
  const { outcome } = await store.move('p', all[1].id);
  assert.equal(outcome, 'ada said no to one, with which it was to go.');
});

test('what a pass that was asked for has decided is taken up after a crash, also outside of the windows', async () => {
  const shut = await change({ windows: [laterToday()] });
  await leftBehind({ asked: true });
  await service.tend(shut, { signal });
  assert.deepEqual(
    carriedOut.map(([name]) => name),
    ['one', 'two'],
  );
});

test('a pass remembers whether somebody asked for it', async () => {
  await service.tend(POLICY, { signal });
  await service.stop();
  service = createBalancingService(played());
  await service.run('p', { signal });
  await service.stop();
  assert.deepEqual(
    (await store.passes('p', 10)).map(({ asked }) => asked),
    [true, false],
  );
});

test('windows that never open, and another policy that moves VMs of the same hosts, are refused', async () => {
  const past = { kind: 'dates' as const, from: '2020-01-01T00:00:00Z', to: '2020-02-01T00:00:00Z' };
  await assert.rejects(change({ windows: [past] }), { code: 'INVALID_BALANCING_POLICY' });
  await assert.rejects(service.create({ id: 'q', ...SETTINGS }), { code: 'INVALID_BALANCING_POLICY' });
  await assert.rejects(change({ rules: { ...SETTINGS.rules, pinned: ['lagre'] } }), {
    code: 'INVALID_BALANCING_POLICY',
  });
  await change({ rules: { ...SETTINGS.rules, pinned: ['large'] } });
});

test('a clock that was ahead and is put right stops neither the passes nor, for ever, what rests', async () => {
  const nextYear = new Date(Date.now() + 365 * 24 * HOUR_MS).toISOString();
  const moved = moveOf('p', { state: 'ended', startedAt: nextYear, endedAt: nextYear });
  const lease = await store.lease('p', 60_000);
  assert.ok(lease !== undefined);
  const pass = passOf('p', [moved], { at: nextYear });
  assert.ok(await store.commit(lease, pass, { passes: 1, lastPassAt: nextYear, hosts: {} }, [moved]));
  await lease.release();
  await service.tend(POLICY, { signal });
  await service.stop();
  assert.equal((await store.passes('p', 10)).length, 2);
  const { startedAt, endedAt } = await store.move('p', moved.id);
  for (const time of [startedAt, endedAt]) assert.ok(Date.parse(time ?? '') <= Date.now(), time ?? 'none');
});

test('a policy of which schedules order passes is not removed', async () => {
  schedules = ['schedule level'];
  await assert.rejects(service.remove('p'), { code: 'IN_USE', message: /ordered by schedule level/ });
  schedules = [];
  await service.remove('p');
});
