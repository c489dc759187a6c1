/**
 * Admission: who may start now, and why the others wait. Everything is in Redis, so that any number of orchestrators
 * share one order and one set of limits; what has to hold at every instant is in scripts.ts. It owns no connection.
 */
import type { Redis } from 'ioredis';
import type { Migration } from '../migrations/record.ts';
import { keys } from '../redis/keys.ts';
import { replaceFields } from '../redis/replace-field.ts';
import { replicated } from '../redis/replicas.ts';
import { excludedBy, type GroupKind, groupsOf, laneEntry, type Need, orderOf, parseGroup } from './groups.ts';
import { ADMIT, placesKeys, RANKS, REPAIR, RESTORE, type RestoreArgs, waitingKeys } from './scripts.ts';

export interface Waiting {
  /** From 1. */
  readonly place: number;
  readonly reason: string;
  readonly blockedBy: readonly Blocker[];
}

export interface Blocker {
  readonly kind: GroupKind | 'paused';
  readonly id: string | null;
  readonly limit: number | null;
}

export interface Restored {
  readonly migration: Migration;
  /** What its check had found that it needs, when its lane was made out. */
  readonly need: Need | null;
  readonly lane: string;
}

export interface Admission {
  /** Starts up to `room` migrations: gives them their places and answers their ids, the first in the order first. */
  admit(room: number): Promise<string[]>;
  /** Those that hold places though no run has taken them up yet: whoever admitted them may have died since. */
  notTakenUp(): Promise<string[]>;
  /** Why each of these waits; the ids of those that do not wait are missing from the answer. */
  explain(ids: readonly string[]): Promise<Map<string, Waiting>>;
  /** Ids of those that wait, in their order, beginning with the `first` (from 0). */
  order(first: number, count: number): Promise<string[]>;
  /** How many wait, how many hold places, since when the queue is paused. */
  summary(): Promise<{ waiting: number; running: number; pausedAt: string | null }>;
  /** By group: places taken, and places there are; a group that is missing has none taken, or no limit. */
  books(): Promise<{ readonly taken: ReadonlyMap<string, number>; readonly limits: ReadonlyMap<string, number> }>;
  /** Stops starting anything, or starts again. Safe to repeat. */
  pause(at: string): Promise<void>;
  resume(): Promise<void>;
  /**
   * `null` is unlimited. Looked at by the next admission; nothing that runs is touched. `expect` throws when the limit of
   * now is not the one that the caller has seen; between it and the change nobody else's comes.
   */
  setLimit(group: string, places: number | null, expect?: (current: number | null) => void): Promise<void>;
  /** Makes queue and places what the records say that they are, whatever was lost. `live`: all of them, in batches. */
  rebuild(live: AsyncIterable<readonly Restored[]>): Promise<void>;
  /** Tells every orchestrator to look again. */
  announce(): Promise<void>;
}

const EXPLAINED_LIMITS: Record<
  Exclude<Blocker['kind'], 'paused'>,
  (id: string | null, limit: number | null) => string
> = {
  total: (_, limit) => `the installation allows ${limit}`,
  project: (id, limit) => `project ${id} allows ${limit}`,
  site: (id, limit) => `site ${id} allows ${limit}`,
  link: (id, limit) => `link ${id} allows ${limit}`,
  endpoint: (id, limit) => `endpoint ${id} allows ${limit}`,
  'host-pair': (id) => `${id} allows 1, because the gateways tell migrations apart by their hosts`,
  'gateway-address': (id, limit) =>
    `the gateway machine of site ${id} has ${limit} ${limit === 1 ? 'address' : 'addresses'}, and this migration needs its own`,
};

function inWords(blockedBy: readonly Blocker[]): string {
  if (blockedBy.some(({ kind }) => kind === 'paused')) return 'the queue is paused';
  if (blockedBy.length === 0) return 'waits for its turn, or for a worker that is free';
  const limits = blockedBy.map(({ kind, id, limit }) => {
    if (kind === 'paused') return '';
    return EXPLAINED_LIMITS[kind](id, limit);
  });
  return `waits for a place: ${limits.join('; ')}`;
}

export function createAdmission(redis: Redis): Admission {
  const announce = async (): Promise<void> => void (await redis.publish(keys.admissionChannel, ''));
  const books = [...waitingKeys, ...placesKeys];

  return {
    announce,
    async admit(room) {
      return (await ADMIT(redis, [...books, keys.placeLimits, keys.pausedAt, keys.keptPairs], [room])) as string[];
    },
    async notTakenUp() {
      const holders = await redis.hkeys(keys.places);
      if (holders.length === 0) return [];
      const isTakenUp = await redis.smismember(keys.running, ...holders);
      return holders.filter((_, index) => isTakenUp[index] === 0);
    },
    async explain(ids) {
      const explained = new Map<string, Waiting>();
      if (ids.length === 0) return explained;
      const asked = [
        all(redis, (batch) => {
          batch.hgetall(keys.placesTaken).hgetall(keys.placeLimits).get(keys.pausedAt).hkeys(keys.keptPairs);
          batch.hmget(keys.waitingEntries, ...ids);
        }) as Promise<[Hash, Hash, string | null, string[], (string | null)[]]>,
        RANKS(redis, [keys.waiting], ids) as Promise<(number | null)[]>,
      ] as const;
      const [[takenNow, limitsNow, pausedAt, kept, entries], ranks] = await Promise.all(asked);
      const [taken, limits] = [numbers(takenNow), numbers(limitsNow)];
      const isTaken = (group: string): boolean =>
        excludedBy(group).some((other) => (taken.get(other) ?? 0) > 0 || kept.includes(other.split(':')[1] ?? ''));
      ids.forEach((id, index) => {
        const rank = ranks[index];
        const lane = entries[index]?.split('|')[0];
        if (rank === null || rank === undefined || lane === undefined) return;
        const groups = groupsOf(lane);
        const blockedBy = [...new Set(groups)].flatMap((group): Blocker[] => {
          const { kind, id: name } = parseGroup(group);
          if (kind === 'host-pair') return isTaken(group) ? [{ kind, id: name, limit: 1 }] : [];
          const limit = limits.get(group);
          const wanted = groups.filter((one) => one === group).length;
          // More than there are is refused when it is its turn, and not waited for (scripts.ts).
          const waitsInVain = kind === 'gateway-address' && limit !== undefined && wanted > limit;
          if (limit === undefined || waitsInVain || (taken.get(group) ?? 0) + wanted <= limit) return [];
          return [{ kind, id: name, limit }];
        });
        if (pausedAt !== null) blockedBy.unshift({ kind: 'paused', id: null, limit: null });
        explained.set(id, { place: rank + 1, reason: inWords(blockedBy), blockedBy });
      });
      return explained;
    },
    order: (first, count) => redis.zrange(keys.waiting, first, first + count - 1),
    async summary() {
      const [waiting, running, pausedAt] = (await all(redis, (batch) =>
        batch.zcard(keys.waiting).hlen(keys.places).get(keys.pausedAt),
      )) as [number, number, string | null];
      return { waiting, running, pausedAt };
    },
    async books() {
      const [taken, limits] = await Promise.all([redis.hgetall(keys.placesTaken), redis.hgetall(keys.placeLimits)]);
      return { taken: numbers(taken), limits: numbers(limits) };
    },
    async pause(at) {
      await redis.setnx(keys.pausedAt, at);
      await replicated(redis);
    },
    async resume() {
      await redis.del(keys.pausedAt);
      await replicated(redis);
      await announce();
    },
    async setLimit(group, places, expect = () => undefined) {
      const after = places === null ? null : String(places);
      for (;;) {
        const before = await redis.hget(keys.placeLimits, group);
        expect(before === null ? null : Number(before));
        const change = { hash: keys.placeLimits, field: group, before, after };
        if (await replaceFields(redis, [change], keys.admissionChannel)) return;
      }
    },
    async rebuild(live) {
      for await (const batch of live) {
        const names = batch.map(({ migration }) => keys.migration(migration.id));
        const facts = batch.map(({ migration, need, lane }): RestoreArgs => {
          const order = orderOf(migration);
          return [migration.id, lane, order, laneEntry(lane, order, migration.id), need ?? ''];
        });
        await RESTORE(redis, [...books, keys.live, keys.running, ...names], facts.flat());
      }
      await REPAIR(redis, [...books, keys.live, keys.keptPairs, keys.incomplete], []);
      await announce();
    },
  };
}

type Hash = Readonly<Record<string, string>>;
const numbers = (hash: Hash): Map<string, number> =>
  new Map(Object.entries(hash).map(([name, value]) => [name, Number(value)]));

type Batch = ReturnType<Redis['pipeline']>;

/** Several questions in one round trip. */
async function all(redis: Redis, ask: (batch: Batch) => unknown): Promise<unknown[]> {
  const batch = redis.pipeline();
  ask(batch);
  return ((await batch.exec()) ?? []).map(([error, answer]) => {
    if (error) throw error;
    return answer;
  });
}
