/**
 * What anybody may look up in the record store, without a claim.
 */
import type { Redis } from 'ioredis';
import type { Need } from '../admission/groups.ts';
import { keys } from '../redis/keys.ts';
import { readStored } from '../redis/stored-json.ts';
import { type PageMark, type Search, search } from './index-search.ts';
import { type JournalEntry, journalEntrySchema } from './journal-entry.ts';
import { DONE_FIELD } from './needs.ts';
import { type Migration, storedMigrationSchema } from './record.ts';
import { createRecordCache } from './record-cache.ts';
import { READ_RECORDS } from './scripts.ts';
import { overlay } from './store-answers.ts';

export interface RecordReads {
  get(id: string): Promise<Migration | undefined>;
  /** However many: a few at a time, with a turn for whatever else there is to do in between. */
  getMany(ids: readonly string[]): Promise<Migration[]>;
  /** @param index only those in it (`keys.index`) */
  live(index?: string): Promise<string[]>;
  /** What the check of each of them has found that it needs, where it has it or waits for it. */
  needs(ids: readonly string[]): Promise<(Need | null)[]>;
  /** Those of them that some run has taken up, and has not handed back since. */
  running(): Promise<string[]>;
  isLive(id: string): Promise<boolean>;
  /** Ids of those that have one of these locks (`keys.vmById`, `keys.vmByName`). */
  lockedBy(locks: readonly string[]): Promise<string[]>;
  /** Ended, but not everything of theirs could be taken down. @param index only those in it */
  incomplete(index?: string): Promise<string[]>;
  /** Live ones, and those of which something is left to be taken down. @param index only those in it */
  unfinished(index?: string): Promise<string[]>;
  /** Live migrations that some run has taken up and none holds now, with the token of the last one. */
  orphans(): Promise<{ id: string; token: number }[]>;
  /** Live migrations that no run has, and that have waited for longer than their request allows. */
  overdue(): Promise<string[]>;
  /** Ids that match, newest first. */
  search(query: Search): Promise<PageMark[]>;
  /** The `traceparent` of its submission, if somebody traced it. */
  traceparentOf(id: string): Promise<string | null>;
  readJournal(id: string): Promise<JournalEntry[]>;
  /** The oldest first. */
  readLog(id: string): Promise<string[]>;
}

export function createRecordReads(redis: Redis): RecordReads {
  const getMany = recordLoader(redis);
  /** Walks the smaller one of the two. */
  const inBoth = (set: string, index: string | undefined): Promise<string[]> =>
    index === undefined ? redis.smembers(set) : redis.zinter(2, set, index);
  return {
    getMany,
    get: async (id) => (await getMany([id]))[0],
    live: (index) => inBoth(keys.live, index),
    async needs(ids) {
      const pipeline = redis.pipeline();
      for (const id of ids) pipeline.hget(keys.migration(id), 'need');
      return ((await pipeline.exec()) ?? []).map(([error, need]) => {
        if (error) throw error;
        return typeof need === 'string' ? need : null;
      });
    },
    running: () => redis.smembers(keys.running),
    isLive: async (id) => (await redis.sismember(keys.live, id)) === 1,
    lockedBy: async (locks) => [...new Set((await redis.mget([...locks])).filter((id) => id !== null))],
    incomplete: (index) => inBoth(keys.incomplete, index),
    async unfinished(index) {
      const [live, incomplete] = await Promise.all([inBoth(keys.live, index), inBoth(keys.incomplete, index)]);
      return [...new Set([...live, ...incomplete])];
    },
    async orphans() {
      const ids = await redis.smembers(keys.running);
      const pipeline = redis.pipeline();
      for (const id of ids) pipeline.exists(keys.lease(id)).hget(keys.migration(id), 'token');
      const answers = (await pipeline.exec()) ?? [];
      return ids.flatMap((id, index) => {
        const held = answers[2 * index]?.[1] !== 0;
        return held ? [] : [{ id, token: Number(answers[2 * index + 1]?.[1]) }];
      });
    },
    overdue: () => redis.zrangebyscore(keys.queueDeadlines, '-inf', Date.now(), 'LIMIT', 0, 100),
    search: (query) => search(redis, query),
    async traceparentOf(id) {
      const record = await redis.hget(keys.migration(id), 'record');
      return record === null ? null : readStored(storedMigrationSchema, record).notes.traceparent;
    },
    async readLog(id) {
      const entries = await redis.xrange(keys.log(id), '-', '+');
      return entries.map(([, fields]) => fields[1] ?? '{}');
    },
    async readJournal(id) {
      const entries = Object.values(await redis.hgetall(keys.journal(id)));
      return entries.map((json) => readStored(journalEntrySchema, json)).sort((a, b) => a.sequence - b.sequence);
    },
  };
}

/** So many are parsed in one turn: a page of a list, and some ten milliseconds at most in which nobody else is answered. */
const BATCH = 50;

/** Whole records, each as of one moment; a round trip for every batch. */
function recordLoader(redis: Redis) {
  const records = createRecordCache();
  const names = ['record', 'cancelRequestedAt', 'pointOfNoReturnAt', DONE_FIELD] as const;
  const loadBatch = async (ids: readonly string[]): Promise<Migration[]> => {
    const answers = (await READ_RECORDS(redis, ids.map(keys.migration), names)) as (string | null)[][];
    const found: Migration[] = [];
    answers.forEach(([record, ...beside], index) => {
      if (record) found.push(overlay(records.parse(ids[index] ?? '', record), beside[0], beside[1], beside[2]));
    });
    return found;
  };
  return async (ids: readonly string[]): Promise<Migration[]> => {
    const found: Migration[] = [];
    for (let i = 0; i < ids.length; i += BATCH) found.push(...(await loadBatch(ids.slice(i, i + BATCH))));
    return found;
  };
}
