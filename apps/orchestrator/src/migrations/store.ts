/**
 * The record store: every migration, its journal and its event stream, in Redis. It owns no connection.
 *
 *   store-reads.ts     what anybody may look up
 *   store-requests.ts  what requests write: a new record, a cancel
 *   store-runs.ts      what runs write, each under its claim
 *   store-places.ts    the same, of their places in the queue
 *   scripts.ts         the steps in Redis that all of them are made of, and the invariants
 */
import type { Redis } from 'ioredis';
import { keys } from '../redis/keys.ts';
import { isOutcome } from './phases.ts';
import type { Migration } from './record.ts';
import { DROP_LEASES } from './scripts.ts';
import { createRecordReads, type RecordReads } from './store-reads.ts';
import { createRequestWrites, type RequestWrites } from './store-requests.ts';
import { createRunWrites, type RunWrites } from './store-runs.ts';

export type { Claim, ClaimedMigration, ClaimRefusal } from './store-runs.ts';

export interface MigrationStore extends RecordReads, RequestWrites, RunWrites {
  /**
   * For a start of the one process that holds leases under this name, or, with null, of the only one that there is: nobody need wait
   * for those that its dead self held.
   */
  dropLeases(instance: string | null): Promise<void>;
}

export function createMigrationStore(redis: Redis): MigrationStore {
  const reads = createRecordReads(redis);
  return {
    ...reads,
    ...createRequestWrites(redis, reads),
    ...createRunWrites(redis, reads),
    async dropLeases(instance) {
      const ids = [...(await redis.smembers(keys.running)), ...(await redis.smembers(keys.incomplete))];
      if (ids.length > 0) await DROP_LEASES(redis, ids.map(keys.lease), [instance === null ? '' : `${instance}.`]);
    },
  };
}

/** True once nothing will be written to this record any more. */
export const hasEnded = (migration: Migration): boolean => isOutcome(migration.phase);
