/**
 * Policies, their passes and their moves in Redis. What a pass decided is written in one step, and only by whoever holds the
 * policy's lease: of two that look after the same policy, one is heard. A move changes its state by compare-and-set.
 */
import { createHash, randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { LmasError } from '../errors.ts';
import { now } from '../migrations/record.ts';
import { keys } from '../redis/keys.ts';
import { readStored } from '../redis/stored-json.ts';
import type { Fence } from '../redis/versioned-table.ts';
import {
  balancingMemorySchema,
  balancingMoveSchema,
  balancingPassSchema,
  balancingPolicySchema,
} from '../schemas/balancing.ts';
import { type NamedTable, namedTable } from '../sites/table.ts';
import { noticesOfMove, noticesOfPass } from './notice.ts';
import { CHANGE_MOVE, COMMIT, RELEASE, REMOVE, RENEW } from './scripts.ts';
import type { BalancingMove, BalancingPass, BalancingPolicy, Memory } from './types.ts';

/** Passes that are kept, of each policy; and moves that are over. */
const MAX_PASSES = 500;
const MAX_CLOSED_MOVES = 1_000;
/** Passes that are looked through together; and how far the clocks of two processes may be apart. */
const LOOKED_THROUGH = 20;
const CLOCKS_APART_MS = 3_600_000;

const OPEN: ReadonlySet<BalancingMove['state']> = new Set(['proposed', 'decided', 'submitting', 'submitted']);
export const isOpen = ({ state }: BalancingMove): boolean => OPEN.has(state);

export interface BalancingStore {
  readonly policies: NamedTable<BalancingPolicy>;
  /** With everything that was kept of it. */
  remove(policy: string): Promise<void>;
  memory(policy: string): Promise<Memory>;
  /** Newest first. */
  passes(policy: string, limit: number): Promise<BalancingPass[]>;
  /** The pass that was made for an order, if it was. */
  passFor(policy: string, order: Pick<PassOrder, 'run' | 'since'>): Promise<BalancingPass | undefined>;
  /** Newest first. */
  moves(policy: string): Promise<BalancingMove[]>;
  /** @throws LmasError BALANCING_MOVE_NOT_FOUND */
  move(policy: string, id: string): Promise<BalancingMove>;
  /** Applies a change to the newest version; `undefined` of `apply` leaves it as it is. Answers what it is then. @throws LmasError BALANCING_MOVE_NOT_FOUND */
  changeMove(
    policy: string,
    id: string,
    apply: (move: BalancingMove) => BalancingMove | undefined,
  ): Promise<{ move: BalancingMove; isChanged: boolean }>;
  /**
   * What a pass found and decided. False when the lease is lost or the policy gone, and nothing is written.
   * @throws LmasError BALANCING_PAUSED when the policy was paused since, WITHDRAWN when `fence`, of whoever ordered it, is not met
   */
  commit(
    lease: Lease,
    pass: BalancingPass,
    memory: Memory,
    moves: readonly BalancingMove[],
    fence?: Fence | undefined,
  ): Promise<boolean>;
  /** `undefined`: somebody else has it. */
  lease(policy: string, ttlMs: number): Promise<Lease | undefined>;
}

/** Who wants a pass, and since when. */
export interface PassOrder {
  readonly run: string;
  readonly since: string;
  /** Met for as long as it is wanted. */
  readonly fence: Fence;
}

/** The right to look after a policy, for a while. */
export interface Lease {
  readonly policy: string;
  readonly run: string;
  /** False when it was lost. */
  renew(): Promise<boolean>;
  release(): Promise<void>;
}

/** The same for the same move of the same pass, whoever makes it. */
export function moveIdOf(policy: string, pass: number, vm: string, destination: string, createdAt: string): string {
  const text = JSON.stringify([policy, createdAt, pass, vm, destination]);
  return `bm_${createHash('sha256').update(text).digest('hex').slice(0, 32)}`;
}

export function createBalancingStore(redis: Redis): BalancingStore {
  const parseMove = (json: string): BalancingMove => readStored(balancingMoveSchema, json);
  const moves = async (policy: string): Promise<BalancingMove[]> => {
    const all = (await redis.hvals(keys.balancingMoves(policy))).map(parseMove);
    return all.sort((a, b) => b.pass - a.pass || (a.id < b.id ? -1 : 1));
  };
  const load = async (policy: string, id: string): Promise<string> => {
    const json = await redis.hget(keys.balancingMoves(policy), id);
    if (json === null) throw new LmasError('BALANCING_MOVE_NOT_FOUND', `Policy ${policy} has no move ${id}.`);
    return json;
  };
  return {
    policies: namedTable(redis, {
      ...{ key: keys.balancingPolicies, kind: 'balancing policy', notFound: 'BALANCING_POLICY_NOT_FOUND' },
      schema: balancingPolicySchema,
    }),
    moves,
    async remove(policy) {
      const { balancingEvents, balancingMemory, balancingPasses, balancingMoves, balancingLease, balancingPolicies } =
        keys;
      const shared = [balancingEvents(policy), balancingPolicies, balancingMemory];
      const own = [balancingPasses(policy), balancingMoves(policy), balancingLease(policy)];
      await REMOVE(redis, [...shared, ...own], [policy, keys.balancingChannel(policy)]);
    },
    async memory(policy) {
      const json = await redis.hget(keys.balancingMemory, policy);
      if (json === null) return { passes: 0, lastPassAt: null, hosts: {} };
      return readStored(balancingMemorySchema, json);
    },
    async passes(policy, limit) {
      const all = await redis.lrange(keys.balancingPasses(policy), 0, limit - 1);
      return all.map((json) => readStored(balancingPassSchema, json));
    },
    async passFor(policy, { run, since }) {
      for (let first = 0; ; first += LOOKED_THROUGH) {
        const some = await redis.lrange(keys.balancingPasses(policy), first, first + LOOKED_THROUGH - 1);
        const passes = some.map((json) => readStored(balancingPassSchema, json));
        const found = passes.find((pass) => pass.run === run);
        const oldest = passes.at(-1);
        const isBefore = oldest === undefined || Date.parse(oldest.at) < Date.parse(since) - CLOCKS_APART_MS;
        if (found !== undefined || isBefore) return found;
      }
    },
    move: async (policy, id) => parseMove(await load(policy, id)),
    async changeMove(policy, id, apply) {
      for (;;) {
        const json = await load(policy, id);
        const move = parseMove(json);
        const changed = apply(move);
        if (changed === undefined) return { move, isChanged: false };
        const notices = noticesOfMove(move, changed, now()).map((notice) => JSON.stringify(notice));
        const answer = await CHANGE_MOVE(
          redis,
          [keys.balancingEvents(policy), keys.balancingMoves(policy)],
          [id, json, JSON.stringify(changed), keys.balancingChannel(policy), ...notices],
        );
        if (answer === 1) return { move: changed, isChanged: true };
      }
    },
    async commit({ policy, run }, pass, memory, changed, fence) {
      const before = await moves(policy);
      const closed = before.filter((move) => !isOpen(move)).slice(MAX_CLOSED_MOVES);
      const changes = changed.map((after) => ({ before: before.find(({ id }) => id === after.id), after }));
      const notices = noticesOfPass(pass, changes).map((notice) => JSON.stringify(notice));
      const shared = [keys.balancingEvents(policy), keys.balancingLease(policy), keys.balancingPolicies];
      const own = [keys.balancingMemory, keys.balancingPasses(policy), keys.balancingMoves(policy)];
      const args = [
        run,
        policy,
        keys.balancingChannel(policy),
        JSON.stringify(memory),
        JSON.stringify(pass),
        MAX_PASSES,
      ];
      const written = changed.flatMap((move) => [move.id, JSON.stringify(move)]);
      const told = [fence?.key ?? '', fence?.token ?? '', notices.length, ...notices];
      const answer = await COMMIT(
        redis,
        [...shared, ...own],
        [...args, ...told, ...closed.map(({ id }) => id), '', ...written],
      );
      if (answer === 'WITHDRAWN') throw new LmasError('WITHDRAWN');
      if (answer === 'PAUSED') throw new LmasError('BALANCING_PAUSED', `The policy ${policy} is paused.`);
      return answer === 1;
    },
    async lease(policy, ttlMs) {
      const [key, run] = [keys.balancingLease(policy), randomUUID()];
      if ((await redis.set(key, run, 'PX', ttlMs, 'NX')) === null) return undefined;
      return {
        ...{ policy, run },
        renew: async () => (await RENEW(redis, [key], [run, ttlMs])) === 1,
        release: async () => void (await RELEASE(redis, [key], [run])),
      };
    },
  };
}
