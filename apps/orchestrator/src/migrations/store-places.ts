/**
 * A run's places in the record store, beyond those that admission gave it: the pair of hosts of a migration whose traffic can be
 * intercepted, or its own addresses of a gateway machine. One that finds them taken hands itself back to the queue, and holds nothing while
 * it waits. Nor does a drill whose copy runs.
 */
import type { Redis } from 'ioredis';
import { addressesNeed, laneEntry, laneOf, type Need, orderOf, rankOf } from '../admission/groups.ts';
import { placesKeys, waitingKeys } from '../admission/scripts.ts';
import { keys } from '../redis/keys.ts';
import * as scripts from './places-scripts.ts';
import type { Migration } from './record.ts';
import { verdict } from './store-answers.ts';
import type { Claim } from './store-runs.ts';

export interface RunPlaces {
  /**
   * Takes a pair of hosts (`hostPairOf`) beside the places there are, in place of another one.
   * @returns the id of whoever has it, or waits for it and comes first; `undefined`: it is ours now
   */
  takeHosts(claim: Claim, migration: Migration, pair: string): Promise<string | undefined>;
  /**
   * Takes `count` addresses of the gateway machine beside the source, which has `limit` of them, in place of what it has.
   * @returns the id of one that has some, or waits for some and comes first; `undefined`: they are ours now
   */
  takeAddresses(
    claim: Claim,
    migration: Migration,
    addresses: { count: number; limit: number },
  ): Promise<string | undefined>;
  /** Gives up what the check had found, and keeps the other places. */
  letNeedGo(claim: Claim, migration: Migration): Promise<void>;
  /**
   * Ends this run in order: the migration waits for what it needs and for its other places as one that was never taken up, in the
   * same order. `untilMs`: for how long, as a time.
   */
  handBack(claim: Claim, migration: Migration, waiting: { need: Need; untilMs: number }): Promise<void>;
  /** Ends this run in order: the record waits, with no places and in no queue, until `untilMs` or until it is cancelled. */
  keep(claim: Claim, untilMs: number): Promise<void>;
}

/** What a fence asks for, and what was written since. */
interface Books {
  fence(claim: Claim): readonly [token: number, writes: number];
  add(claim: Claim, writes: string | undefined): void;
}

const laneWith = (migration: Migration, need: Need | null): string =>
  laneOf(migration, { transparent: false, direct: migration.request.transport !== 'tunnel', need });

export function createRunPlaces(redis: Redis, { fence, add }: Books): RunPlaces {
  return {
    async takeHosts(claim, migration, pair) {
      const { id } = claim;
      const rank = rankOf(orderOf(migration), id);
      const [word, answer] = verdict(
        await scripts.TAKE_HOSTS(
          redis,
          [keys.migration(id), keys.waitingLanes, ...placesKeys, keys.keptPairs],
          [...fence(claim), id, laneWith(migration, pair), rank, keys.admissionChannel],
        ),
      );
      if (word === 'HELD') return answer;
      add(claim, answer);
      return undefined;
    },
    async takeAddresses(claim, migration, { count, limit }) {
      const { id } = claim;
      const need = addressesNeed(count);
      const rank = rankOf(orderOf(migration), id);
      const [word, answer] = verdict(
        await scripts.TAKE_ADDRESSES(
          redis,
          [keys.migration(id), keys.waitingLanes, ...placesKeys, keys.placeLimits],
          [...fence(claim), id, laneWith(migration, need), rank, need, limit, keys.admissionChannel],
        ),
      );
      if (word === 'HELD') return answer;
      add(claim, answer);
      return undefined;
    },
    async letNeedGo(claim, migration) {
      const { id } = claim;
      const args = [...fence(claim), id, laneWith(migration, null), keys.admissionChannel];
      const [, writes] = verdict(await scripts.LET_NEED_GO(redis, [keys.migration(id), ...placesKeys], args));
      add(claim, writes);
    },
    async handBack(claim, migration, { need, untilMs }) {
      const { id } = claim;
      const order = orderOf(migration);
      const entry = laneEntry(laneWith(migration, need), order, id);
      const names = [keys.migration(id), keys.lease(id), keys.running, keys.queueDeadlines];
      const args = [...fence(claim), id, need, order, entry, untilMs, keys.admissionChannel];
      const [, writes] = verdict(await scripts.HAND_BACK(redis, [...names, ...waitingKeys, ...placesKeys], args));
      add(claim, writes);
    },
    async keep(claim, untilMs) {
      const { id } = claim;
      const names = [keys.migration(id), keys.lease(id), keys.running, keys.queueDeadlines];
      const args = [...fence(claim), id, untilMs, keys.admissionChannel];
      const [, writes] = verdict(await scripts.KEEP(redis, [...names, ...placesKeys, keys.bandwidth], args));
      add(claim, writes);
    },
  };
}
