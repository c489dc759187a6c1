/**
 * Every live migration with its lane, as its record says: what the books are rebuilt from. One of which that cannot be told (its record
 * is not to be read, its endpoint is gone) is said and left out: it keeps the place that it has, and is not in the way of the others.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../log.ts';
import type { MigrationStore } from '../migrations/store.ts';
import { isRedisAway } from '../redis/away.ts';
import type { Restored } from './admission.ts';
import type { LaneFinder } from './lanes.ts';

/** Looked at together: of thousands, a few at a time. */
const BATCH = 20;
/** A rest is as long as what was done before it, so that thousands leave half of Redis and of this process to everybody else; but no longer. */
const LONGEST_REST_MS = 100;

export async function* liveLanes(
  store: Pick<MigrationStore, 'live' | 'getMany' | 'needs'>,
  laneOf: LaneFinder,
  log: Logger,
): AsyncGenerator<readonly Restored[]> {
  const ids = await store.live();
  const leaveOut = (migration: string) => (error: unknown) => {
    if (isRedisAway(error)) throw error;
    log.error({ err: error, migration }, 'this migration keeps its place as it is: its record does not say which');
    return [];
  };
  /** All of them at once; one by one where one is not to be read. */
  const read = (some: readonly string[]) =>
    store.getMany(some).catch(async () => {
      return (await Promise.all(some.map((id) => store.getMany([id]).catch(leaveOut(id))))).flat();
    });
  for (let i = 0; i < ids.length; i += BATCH) {
    const begunMs = performance.now();
    const migrations = await read(ids.slice(i, i + BATCH));
    const needs = await store.needs(migrations.map(({ id }) => id));
    const found = migrations.map(async (migration, n): Promise<Restored[]> => {
      const need = needs[n] ?? null;
      return [{ migration, need, lane: await laneOf(migration, need) }];
    });
    yield (await Promise.all(found.map((each, n) => each.catch(leaveOut(migrations[n]?.id ?? ''))))).flat();
    if (i + BATCH < ids.length) await sleep(Math.min(performance.now() - begunMs, LONGEST_REST_MS));
  }
}
