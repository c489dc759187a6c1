/** One move, one migration: replies that are lost, processes that stop in between, leases that run out. On a real Redis. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Redis } from 'ioredis';
import { LmasError } from '../errors.ts';
import { createLog } from '../log.ts';
import type { Migration } from '../migrations/record.ts';
import { connect } from '../redis/connect.ts';
import { type PrivateRedis, startPrivateRedis } from '../redis/private-server.ts';
import { createMoves, type MoveParts } from './moves.ts';
import { type BalancingStore, createBalancingStore, moveIdOf } from './store.ts';
import { AT, host, moveOf, observed, passOf, settings } from './testing/fixtures.ts';
import type { BalancingMove, BalancingPolicy, Observation } from './types.ts';

const log = createLog('silent');
const { signal } = new AbortController();
const directory = await mkdtemp(join(tmpdir(), 'lmas-balancing-'));
let server: PrivateRedis;
let redis: Redis;
let store: BalancingStore;
before(async () => {
  server = await startPrivateRedis('redis-server', directory, log);
  redis = connect(server, log);
  store = createBalancingStore(redis);
});
after(async () => {
  redis.disconnect();
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});

let policies = 0;
const HOT = { passes: 1, lastPassAt: AT, hosts: { a: { over: 1, hot: true } } };

async function aPolicy(changes: object = {}): Promise<BalancingPolicy> {
  const policy = {
    ...{ id: `p-${++policies}`, ...settings({ mode: 'automatic', ...changes }) },
    ...{ pausedAt: null, createdAt: AT },
  };
  await store.policies.add(policy, []);
  return policy;
}

async function decided(): Promise<{ policy: BalancingPolicy; move: BalancingMove }> {
  const policy = await aPolicy();
  const move = moveOf(policy.id);
  const lease = await store.lease(policy.id, 10_000);
  assert.ok(lease !== undefined);
  const memory = HOT;
  assert.ok(await store.commit(lease, passOf(policy.id, [move]), memory, [move]));
  assert.ok(await store.commit(lease, passOf(policy.id, [move]), memory, [move]), 'and sent again');
  assert.equal((await store.passes(policy.id, 10)).length, 1, 'it is the same pass');
  await lease.release();
  return { policy, move };
}

/** Two that belong together, decided as one. */
async function decidedPair(limits: object = {}) {
  const rules = { affinity: [{ vms: ['p1', 'p2'] }] };
  const policy = await aPolicy({ rules, maxConcurrent: 2, ...limits });
  const moveOfVm = (name: string) =>
    moveOf(policy.id, {
      ...{ id: moveIdOf(policy.id, 1, `id-${name}`, 'c', AT), vm: { id: `id-${name}`, name } },
      text: 'p1 and p2 go from a to c.',
    });
  const [first, second] = [moveOfVm('p1'), moveOfVm('p2')];
  const lease = await store.lease(policy.id, 10_000);
  assert.ok(lease !== undefined);
  assert.ok(await store.commit(lease, passOf(policy.id, [first, second]), HOT, [first, second]));
  await lease.release();
  return { policy, first, second };
}
const pairs = () => [
  host(
    'a',
    ['p1', 'p2', 'rest'].map((name) => ({ name, cores: 3 })),
  ),
  host('b', []),
  host('c', []),
];

const hosts = () => [
  host('a', [
    { name: 'large', cores: 4 },
    { name: 'rest', cores: 5 },
  ]),
  host('b', []),
  host('c', []),
];

const observedHosts = () => observed(hosts());

/** A migration service that keeps each key's migration, as the real one does, and a check that finds nothing. */
function played({
  create = async () => undefined,
  migration = {},
  observed: hosts = observedHosts,
  blocked = () => [],
}: {
  create?: () => Promise<void>;
  migration?: Partial<Migration>;
  /** What is seen, once these VMs are under way. */
  observed?: (underWay: readonly string[]) => Observation;
  /** The findings against moving a VM. */
  blocked?: (vm: string) => { code: string; severity: 'blocker'; message: string; remedy: string }[];
} = {}) {
  const created: string[] = [];
  const migrations = new Map<string, string>();
  const requests = new Map<string, string>();
  const parts: MoveParts = {
    ...{ store, log },
    observer: { observe: async () => hosts(created) },
    checker: {
      check: async ({ vm }) => ({
        ...{ ok: true, findings: blocked(vm), memoryBytes: 2 ** 31, diskBytes: 0 },
        prediction: {
          ...{ rateBytesPerSec: 1e9, dirtyRateBytesPerSec: 0, convergence: 'yes', passes: 1 },
          ...{ durationMs: null, downtimeMs: null },
        },
      }),
    },
    migrations: {
      async create(input, { idempotencyKey = '' }) {
        const asked = requests.get(idempotencyKey) ?? JSON.stringify(input);
        requests.set(idempotencyKey, asked);
        if (asked !== JSON.stringify(input)) throw new LmasError('IDEMPOTENCY_KEY_REUSED');
        const id = migrations.get(idempotencyKey) ?? `m_00000000-0000-4000-8000-00000000000${migrations.size}`;
        migrations.set(idempotencyKey, id);
        created.push(input.vm);
        await create();
        return { id } as Migration;
      },
      get: async (id) => ({ id, phase: 'performing', endedAt: null, ...migration }) as Migration,
    },
  };
  return { moves: createMoves(parts), migrations };
}

test('a lost reply leaves the move where it is submitted again, as the same migration', async () => {
  const { policy, move } = await decided();
  let replies = 0;
  const { moves, migrations } = played({
    create: async () => {
      replies += 1;
      if (replies === 1) throw new Error('the connection to Redis broke');
    },
  });
  await assert.rejects(moves.carryOut(policy, move, { signal }), /the connection to Redis broke/);
  const between = await store.move(policy.id, move.id);
  assert.deepEqual([between.state, between.migration], ['submitting', null]);
  const { bandwidthBytesPerSec: _, ...rest } = policy.migration;
  const changed = { ...policy, migration: { ...rest, bandwidthBytesPerSec: 1_000_000 } };
  await store.policies.change(policy.id, async () => changed);
  const after = await moves.resume(between);
  assert.deepEqual([after.state, [...migrations]], ['submitted', [[`balancing:${move.id}`, after.migration]]]);
  assert.deepEqual(await moves.resume(after), after, 'once is enough');
});

test('of two who carry the same move out, both come to the same migration', async () => {
  const { policy, move } = await decided();
  const { moves, migrations } = played();
  await Promise.all([1, 2].map(() => moves.carryOut(policy, move, { signal })));
  assert.equal(migrations.size, 1);
  assert.equal((await store.move(policy.id, move.id)).state, 'submitted');
});

test('what came of a move is told from a look that began after it', async () => {
  const endedAt = new Date(Date.parse(AT) + 1).toISOString();
  const { moves } = played({ migration: { phase: 'succeeded', endedAt, error: null } });
  const move: BalancingMove = { ...moveOf('p'), state: 'submitted', migration: 'm_1' };
  assert.deepEqual(await moves.conclude([move], observed(hosts())), [], 'it began before the VM had arrived');
  const [concluded] = await moves.conclude([move], observed(hosts(), { beganAtMs: Date.parse(endedAt) }));
  assert.equal(concluded?.state, 'ended');
  assert.match(concluded.outcome ?? '', /was moved: a uses processor/);
});

test('what the service refuses is told, and stays refused', async () => {
  const { policy, move } = await decided();
  const { moves } = played({
    create: async () => {
      throw new LmasError('VM_ALREADY_MIGRATING', 'Another migration of large is under way.');
    },
  });
  const after = await moves.carryOut(policy, move, { signal });
  assert.deepEqual(
    [after.state, after.outcome],
    ['refused', 'It was not accepted: Another migration of large is under way.'],
  );
});

test('a policy maps the networks of all its VMs: a migration is told of those that its own VM has', async () => {
  const { policy, move } = await decided();
  const mapped = { ...policy, migration: { ...policy.migration, networkMap: { lan: 'lan-c', dmz: 'dmz-c' } } };
  const seen = [
    host('a', [
      { name: 'large', cores: 4, networks: ['lan', 'backup'] },
      { name: 'rest', cores: 5 },
    ]),
    ...hosts().slice(1),
  ];
  const after = await played({ observed: () => observed(seen) }).moves.carryOut(mapped, move, { signal });
  assert.equal(after.state, 'submitted');
  assert.deepEqual(after.request?.networkMap, { lan: 'lan-c' });
});

describe('who belongs together', () => {
  const inFlight = (vms: readonly string[]) => vms.map((vm) => ({ vm, source: 'a', destination: 'c' }));
  const carriedOut = async (parts: Parameters<typeof played>[0] = {}, limits: object = {}) => {
    const { policy, first, second } = await decidedPair(limits);
    const { moves } = played({ observed: (vms) => observed(pairs(), { inFlight: inFlight(vms) }), ...parts });
    return [await moves.carryOut(policy, first, { signal }), await moves.carryOut(policy, second, { signal })].map(
      ({ state, outcome }) => `${state}: ${outcome}`,
    );
  };
  const blocked = (who: string) => (vm: string) =>
    vm === who ? [{ code: 'DISK', severity: 'blocker' as const, message: 'its disk is not there.', remedy: '' }] : [];

  test('the second one follows the first, though by then its host is not too busy any more', async () => {
    assert.deepEqual(await carriedOut(), ['submitted: null', 'submitted: null']);
  });

  test('where the first one is refused, the second one stays', async () => {
    assert.deepEqual(await carriedOut({ blocked: blocked('id-p1') }), [
      'refused: Looked at once more: its disk is not there.',
      'refused: Looked at once more: p1, with which it was to go, stays: Looked at once more: its disk is not there.',
    ]);
  });

  test('where the second one cannot go, the first one does not begin', async () => {
    const [first, second] = await carriedOut({ blocked: blocked('id-p2') });
    assert.equal(first, 'refused: Looked at once more: p2, with which it was to go, cannot: its disk is not there.');
    assert.match(second ?? '', /^refused: /);
  });

  test('where a limit leaves room for the first one only, neither begins', async () => {
    const [first, second] = await carriedOut({}, { maxConcurrent: 1 });
    assert.equal(first, 'refused: Looked at once more: the policy allows 1 at once and 0 are taken.');
    assert.match(second ?? '', /^refused: /);
  });

  for (const state of ['rejected', 'withdrawn', 'expired'] as const) {
    test(`of one whose companion is ${state}: it stays`, async () => {
      const { policy, first, second } = await decidedPair();
      await store.changeMove(policy.id, first.id, (move) => ({ ...move, state, outcome: 'ada said no.' }));
      const { moves } = played({ observed: () => observed(pairs()) });
      const after = await moves.carryOut(policy, second, { signal, by: 'ada' });
      assert.equal(after.outcome, 'Looked at once more: p1, with which it was to go, stays: ada said no.');
    });
  }
});

test('whoever lost the lease writes nothing, and nobody writes to a policy that is gone', async () => {
  const policy = await aPolicy();
  const slow = await store.lease(policy.id, 60_000);
  assert.ok(slow !== undefined);
  assert.equal(await store.lease(policy.id, 60_000), undefined, 'one at a time');
  await slow.release();
  const next = await store.lease(policy.id, 60_000);
  assert.ok(next !== undefined);
  const memory = { passes: 1, lastPassAt: AT, hosts: {} };
  assert.equal(await slow.renew(), false);
  assert.equal(await store.commit(slow, passOf(policy.id, []), memory, []), false);
  assert.equal((await store.passes(policy.id, 9)).length, 0);
  await slow.release();
  assert.equal(await next.renew(), true, 'who comes late takes it from nobody');
  await store.remove(policy.id);
  assert.equal(await store.commit(next, passOf(policy.id, []), memory, []), false);
});
