/**
 * Lists of migrations by index: one sorted set per filter value, ids by creation time. A search walks the smallest of
 * the sets that were asked for and looks its ids up in the others, so that no record is read which is not shown.
 */
import type { Redis } from 'ioredis';
import { keys } from '../redis/keys.ts';
import type { Migration } from './record.ts';

export interface PageMark {
  readonly createdAtMs: number;
  readonly id: string;
}

export interface Search {
  /** Names of indexes; a migration has to be in all of them. */
  readonly indexes: readonly string[];
  /** Older than this one. */
  readonly before?: PageMark | undefined;
  readonly createdAfterMs?: number | undefined;
  /** Exclusive. */
  readonly createdBeforeMs?: number | undefined;
  readonly limit: number;
}

const BATCH = 500;

/** Every index that this migration belongs into now. */
export function indexesOf({ project, phase, vm, source, destination, request }: Migration): string[] {
  const names = new Set([
    keys.index('phase', phase),
    ...(project === null ? [] : [keys.index('project', project)]),
    keys.index('vm', request.vm),
    keys.index('vm', vm.name),
    ...(vm.id === null ? [] : [keys.index('vm', vm.id)]),
    ...[source, destination].flatMap(({ site, endpoint }) => [
      keys.index('site', site),
      keys.index('endpoint', endpoint),
    ]),
    ...Object.entries(request.labels).map(([name, value]) => labelIndex(`${name}=${value}`)),
    ...(request.correlationId === null ? [] : [keys.index('correlation', request.correlationId)]),
  ]);
  return [...names];
}

export const labelIndex = (assignment: string): string => keys.index('label', assignment);

/** Ids, newest first, with what is needed to go on after each. */
export async function search(redis: Redis, { indexes, before, ...query }: Search): Promise<PageMark[]> {
  const [driver = keys.migrations, ...others] = await smallestFirst(redis, indexes);
  const newest = Math.min(
    before?.createdAtMs ?? Number.POSITIVE_INFINITY,
    query.createdBeforeMs ?? Number.POSITIVE_INFINITY,
  );
  const max = newest === Number.POSITIVE_INFINITY ? '+inf' : newest === query.createdBeforeMs ? `(${newest}` : newest;
  const found: PageMark[] = [];
  for await (const marks of batchesOf(redis, driver, { max, min: query.createdAfterMs ?? '-inf' })) {
    const older = marks.filter(
      ({ id, createdAtMs }) => before === undefined || createdAtMs < before.createdAtMs || id < before.id,
    );
    found.push(...(await inAll(redis, older, others)));
    if (found.length >= query.limit) break;
  }
  return found.slice(0, query.limit);
}

/**
 * What is in an index, newest first. Each batch begins at the time at which the one before ended, behind those of that time that were seen:
 * Redis walks past whatever an offset counts, and would walk the whole way again each time.
 */
async function* batchesOf(
  redis: Redis,
  index: string,
  { max, min }: { max: number | string; min: number | string },
): AsyncGenerator<PageMark[], undefined> {
  for (let from = { max, offset: 0 }; ; ) {
    const flat = await redis.zrevrangebyscore(index, from.max, min, 'WITHSCORES', 'LIMIT', from.offset, BATCH);
    const marks: PageMark[] = [];
    for (let i = 0; i + 1 < flat.length; i += 2) marks.push({ id: flat[i] ?? '', createdAtMs: Number(flat[i + 1]) });
    yield marks;
    const last = marks.at(-1);
    if (last === undefined || marks.length < BATCH) return;
    const { length: seen } = marks.filter(({ createdAtMs }) => createdAtMs === last.createdAtMs);
    from = { max: last.createdAtMs, offset: last.createdAtMs === from.max ? from.offset + seen : seen };
  }
}

async function smallestFirst(redis: Redis, indexes: readonly string[]): Promise<string[]> {
  const sized = await Promise.all(indexes.map(async (name) => ({ name, size: await redis.zcard(name) })));
  return sized.sort((a, b) => a.size - b.size).map(({ name }) => name);
}

async function inAll(redis: Redis, marks: readonly PageMark[], indexes: readonly string[]): Promise<PageMark[]> {
  let left = [...marks];
  for (const name of indexes) {
    if (left.length === 0) return left;
    const scores = await redis.zmscore(name, ...left.map(({ id }) => id));
    left = left.filter((_, i) => scores[i] !== null);
  }
  return left;
}
