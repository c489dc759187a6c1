/**
 * The record store: every migration, its journal and its event stream, in Redis. It owns no connection.
 *
 * Whoever writes for a run holds a `Claim`; a claim that was superseded writes nothing any more, and says so by
 * LmasError SUPERSEDED; where Redis lacks what the run was told is written, by WRITES_FORGOTTEN. What requests write (a new record, a cancel) needs no claim.
 */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { laneEntry, orderOf } from '../admission/groups.ts';
import { placesKeys, waitingKeys } from '../admission/scripts.ts';
import { LmasError } from '../errors.ts';
import { keys } from '../redis/keys.ts';
import { indexesOf, type PageMark, type Search, search } from './index-search.ts';
import { type JournalEntry, journalEntrySchema } from './journal-entry.ts';
import { noticeOf } from './notice.ts';
import { isOutcome, type Phase } from './phases.ts';
import { type EventType, type Migration, now, type StoredMigration, storedMigrationSchema } from './record.ts';
import { createRecordCache } from './record-cache.ts';
import * as scripts from './scripts.ts';
import { newEvent, packEvent } from './stored-event.ts';
import { WriteCount } from './write-count.ts';

/** Some 0.5 MB at most, for as long as it is kept; the record itself is kept for ever. */
const MAX_EVENTS = 400;
/** Of 2 KB at most each, and a few hundred bytes as a rule: kept as long as the record. */
const MAX_LOG_LINES = 300;
const KEEP_EVENTS_MS = 7 * 24 * 3_600_000;

export interface Claim {
  readonly id: string;
  readonly runId: string;
  /** Fencing token: grows with every take-over. */
  readonly token: number;
}

export interface ClaimedMigration {
  readonly claim: Claim;
  readonly version: number;
  readonly stored: StoredMigration;
}

export interface MigrationStore {
  /**
   * Stores a new record, its VM locks and its place in the queue in one step; done before, it does nothing.
   * @throws LmasError VM_ALREADY_MIGRATING naming the other one
   */
  create(stored: StoredMigration, lane: string): Promise<void>;
  get(id: string): Promise<Migration | undefined>;
  getMany(ids: readonly string[]): Promise<Migration[]>;
  live(): Promise<string[]>;
  /** Those of them that some run has taken up. */
  running(): Promise<string[]>;
  isLive(id: string): Promise<boolean>;
  /** Ended, but not everything of theirs could be taken down. */
  incomplete(): Promise<string[]>;
  /** Live migrations that some run has taken up and none holds now, with the token of the last one. */
  orphans(): Promise<{ id: string; token: number }[]>;
  /** For a start at which no other worker can be alive: nobody need wait for the leases of the dead. */
  dropLeases(): Promise<void>;
  /** Live migrations that no run has taken up yet, and that have waited for longer than their request allows. */
  overdue(): Promise<string[]>;
  /** Ids that match, newest first. */
  search(query: Search): Promise<PageMark[]>;
  requestCancel(id: string): Promise<CancelVerdict>;

  claim(id: string, runId: string, leaseMs: number): Promise<ClaimedMigration | ClaimRefusal>;
  /**
   * Extends the lease and answers whether a cancel was asked for.
   * @throws LmasError SUPERSEDED, WRITES_FORGOTTEN when Redis lacks what this run was told is written
   */
  renew(claim: Claim, leaseMs: number): Promise<{ cancelRequestedAt: string | null }>;
  letGo(claim: Claim): Promise<void>;
  /** After WRITES_FORGOTTEN: puts back what the run knows, and gives the lease up. @throws LmasError SUPERSEDED */
  restore(
    claim: Claim,
    known: { version: number; stored: StoredMigration; journal: readonly JournalEntry[] },
  ): Promise<void>;
  write(
    claim: Claim,
    version: number,
    stored: StoredMigration,
    event?: { type: EventType; message: string },
  ): Promise<void>;
  /**
   * Takes a live migration off the books, after its last write, which entered `phase`. `complete`: nothing is left to be
   * taken down. @throws LmasError SUPERSEDED, WRITES_FORGOTTEN
   */
  end(claim: Claim, options: { locks: readonly string[]; phase: Phase; complete: boolean }): Promise<void>;
  /** Reserves a VM. @throws LmasError VM_ALREADY_MIGRATING, SUPERSEDED, WRITES_FORGOTTEN */
  lock(claim: Claim, lockKey: string): Promise<void>;
  /** @throws LmasError CANCELLED when a cancel came first, SUPERSEDED */
  passPointOfNoReturn(claim: Claim, at: string): Promise<void>;
  writeJournal(claim: Claim, entry: JournalEntry): Promise<void>;
  readJournal(id: string): Promise<JournalEntry[]>;
  /** Keeps lines of its log with the record, the newest few hundred. @throws LmasError SUPERSEDED */
  appendLog(claim: Pick<Claim, 'id' | 'token'>, lines: readonly string[]): Promise<void>;
  /** The oldest first. */
  readLog(id: string): Promise<string[]>;
}

export type ClaimRefusal = 'missing' | 'ended' | 'busy' | 'waiting';
const CLAIM_REFUSALS: Record<string, ClaimRefusal> = { BUSY: 'busy', ENDED: 'ended', WAITING: 'waiting' };

export type CancelVerdict = 'missing' | 'ended' | 'too-late' | 'accepted' | 'already';
const CANCEL_VERDICTS: Record<string, CancelVerdict> = {
  MISSING: 'missing',
  ENDED: 'ended',
  TOO_LATE: 'too-late',
  ACCEPTED: 'accepted',
  ALREADY: 'already',
};

const answerSchema = z.array(z.union([z.string(), z.number()]).transform(String)).min(1);

/** Reads a script's answer; SUPERSEDED becomes an error here and nowhere else. */
function verdict(answer: unknown): [string, ...string[]] {
  const [word = '', ...rest] = answerSchema.parse(answer);
  if (word === 'SUPERSEDED') throw new LmasError('SUPERSEDED');
  if (word === 'FORGOTTEN') throw new LmasError('WRITES_FORGOTTEN');
  return [word, ...rest];
}

/** An event, and what is told of it to those who follow all migrations ('' for nothing). */
function eventJson(type: EventType, message: string, migration: Migration): { event: string; notice: string } {
  const event = newEvent(type, message, migration);
  const notice = noticeOf(event);
  return { event: packEvent(event), notice: notice === undefined ? '' : JSON.stringify(notice) };
}

/** What requests wrote beside the run's record is laid over it. */
const overlay = (
  migration: Readonly<Migration>,
  cancelRequestedAt: string | null | undefined,
  pointOfNoReturnAt: string | null | undefined,
): Migration => ({
  ...migration,
  cancelRequestedAt: cancelRequestedAt || null,
  pointOfNoReturnAt: pointOfNoReturnAt || null,
});

export function createMigrationStore(redis: Redis): MigrationStore {
  const records = createRecordCache();
  const loadMany = async (ids: readonly string[]): Promise<Migration[]> => {
    const pipeline = redis.pipeline();
    for (const id of ids) pipeline.hmget(keys.migration(id), 'record', 'cancelRequestedAt', 'pointOfNoReturnAt');
    const found: Migration[] = [];
    ((await pipeline.exec()) ?? []).forEach(([error, fields], index) => {
      if (error) throw error;
      const [record, ...beside] = fields as (string | null)[];
      if (record) found.push(overlay(records.parse(ids[index] ?? '', record), beside[0], beside[1]));
    });
    return found;
  };
  const counts = new WeakMap<Claim, WriteCount>();
  const countOf = (claim: Claim): WriteCount => counts.get(claim) ?? new WriteCount(0);
  /** What FENCE asks for. */
  const fence = (claim: Claim) => [claim.token, countOf(claim).known] as const;
  const load = async (id: string): Promise<Migration | undefined> => (await loadMany([id]))[0];

  return {
    async create(stored, lane) {
      const { migration, notes } = stored;
      const { event, notice } = eventJson('phase', 'queued', migration);
      const [word, holder] = verdict(
        await scripts.CREATE(
          redis,
          [
            keys.migration(migration.id),
            keys.events(migration.id),
            keys.migrations,
            keys.live,
            keys.queueDeadlines,
            ...waitingKeys,
            ...notes.locks,
          ],
          [
            migration.id,
            Date.parse(migration.createdAt) + migration.request.timeouts.queueMs,
            JSON.stringify(stored),
            Date.parse(migration.createdAt),
            event,
            MAX_EVENTS,
            keys.eventChannel(migration.id),
            notice,
            JSON.stringify(indexesOf(migration)),
            orderOf(migration),
            laneEntry(lane, orderOf(migration), migration.id),
            keys.admissionChannel,
          ],
        ),
      );
      if (word === 'LOCKED') throw await vmLocked(redis, holder);
    },
    get: load,
    getMany: loadMany,
    live: () => redis.smembers(keys.live),
    running: () => redis.smembers(keys.running),
    isLive: async (id) => (await redis.sismember(keys.live, id)) === 1,
    incomplete: () => redis.smembers(keys.incomplete),
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
    async dropLeases() {
      const ids = [...(await redis.smembers(keys.running)), ...(await redis.smembers(keys.incomplete))];
      if (ids.length > 0) await redis.del(...ids.map(keys.lease));
    },
    overdue: () => redis.zrangebyscore(keys.queueDeadlines, '-inf', Date.now(), 'LIMIT', 0, 100),
    search: (query) => search(redis, query),
    async requestCancel(id) {
      const at = now();
      const migration = await load(id);
      if (migration === undefined) return 'missing';
      const { event, notice } = eventJson('cancel-requested', 'cancel requested', {
        ...migration,
        cancelRequestedAt: at,
      });
      const [word] = verdict(
        await scripts.CANCEL(
          redis,
          [keys.migration(id), keys.live, keys.events(id)],
          [id, at, event, MAX_EVENTS, keys.eventChannel(id), keys.cancelChannel, notice],
        ),
      );
      return CANCEL_VERDICTS[word] ?? 'missing';
    },
    async claim(id, runId, leaseMs) {
      const [word, token, version, record, cancelRequestedAt, pointOfNoReturnAt, writes] = verdict(
        await scripts.CLAIM(
          redis,
          [
            keys.migration(id),
            keys.lease(id),
            keys.live,
            keys.running,
            keys.incomplete,
            keys.queueDeadlines,
            ...waitingKeys,
          ],
          [id, runId, leaseMs, Date.now()],
        ),
      );
      if (word !== 'CLAIMED') return CLAIM_REFUSALS[word] ?? 'missing';
      const claim: Claim = { id, runId, token: Number(token) };
      counts.set(claim, new WriteCount(Number(writes)));
      const { migration, notes } = storedMigrationSchema.parse(JSON.parse(record ?? ''));
      return {
        claim,
        version: Number(version),
        stored: { migration: overlay(migration, cancelRequestedAt, pointOfNoReturnAt), notes },
      };
    },
    async renew(claim, leaseMs) {
      const [, cancelRequestedAt] = verdict(
        await scripts.RENEW(
          redis,
          [keys.migration(claim.id), keys.lease(claim.id)],
          [...fence(claim), claim.runId, leaseMs],
        ),
      );
      return { cancelRequestedAt: cancelRequestedAt || null };
    },
    async letGo(claim) {
      await scripts.LET_GO(redis, [keys.lease(claim.id)], [claim.runId]);
    },
    async restore(claim, { version, stored, journal }) {
      const { id, token, runId } = claim;
      const { phase, createdAt, cancelRequestedAt, pointOfNoReturnAt } = stored.migration;
      verdict(
        await scripts.RESTORE_RECORD(
          redis,
          [keys.migration(id), keys.journal(id), keys.live, keys.running, keys.lease(id), ...stored.notes.locks],
          [
            ...[id, token, runId, JSON.stringify(stored), version, phase, countOf(claim).known],
            ...[cancelRequestedAt ?? '', pointOfNoReturnAt ?? ''],
            ...[JSON.stringify(indexesOf(stored.migration)), Date.parse(createdAt)],
            ...journal.flatMap((entry) => [entry.key, JSON.stringify(entry)]),
          ],
        ),
      );
    },
    async write(claim, version, stored, event) {
      const { id, phase, createdAt } = stored.migration;
      const told = event === undefined ? undefined : eventJson(event.type, event.message, stored.migration);
      const [word, writes] = verdict(
        await scripts.WRITE(
          redis,
          [keys.migration(id), keys.events(id)],
          [
            ...fence(claim),
            randomUUID(),
            version,
            JSON.stringify(stored),
            phase,
            told?.event ?? '',
            MAX_EVENTS,
            keys.eventChannel(id),
            told?.notice ?? '',
            // What a list is filtered by changes with the phase, and with it only.
            told === undefined || told.notice === '' ? '' : JSON.stringify(indexesOf(stored.migration)),
            id,
            Date.parse(createdAt),
          ],
        ),
      );
      if (word === 'CONFLICT') throw new LmasError('INTERNAL', `Record ${id} was written by somebody without a claim.`);
      countOf(claim).add(writes);
    },
    async end(claim, { locks, phase, complete }) {
      const { id } = claim;
      const ofThis = [keys.migration(id), keys.live, keys.running, keys.lease(id), keys.events(id), keys.journal(id)];
      const names = [...ofThis, keys.incomplete, ...placesKeys, keys.bandwidth, ...locks];
      const facts = [...fence(claim), id, phase, KEEP_EVENTS_MS, complete ? 1 : 0, keys.admissionChannel];
      verdict(await scripts.END(redis, names, facts));
    },
    async lock(claim, lockKey) {
      const { id } = claim;
      const [word, answer] = verdict(await scripts.LOCK(redis, [keys.migration(id), lockKey], [...fence(claim), id]));
      if (word === 'LOCKED') throw await vmLocked(redis, answer);
      countOf(claim).add(answer);
    },
    async passPointOfNoReturn(claim, at) {
      const [word, writes] = verdict(
        await scripts.PASS_POINT_OF_NO_RETURN(redis, [keys.migration(claim.id)], [...fence(claim), at]),
      );
      if (word === 'CANCELLED') throw new LmasError('CANCELLED');
      countOf(claim).add(writes);
    },
    async writeJournal(claim, entry) {
      const { id } = claim;
      const [, writes] = verdict(
        await scripts.JOURNAL(
          redis,
          [keys.migration(id), keys.journal(id)],
          [...fence(claim), entry.key, JSON.stringify(entry)],
        ),
      );
      countOf(claim).add(writes);
    },
    async appendLog({ id, token }, lines) {
      verdict(await scripts.APPEND_LOG(redis, [keys.migration(id), keys.log(id)], [token, 0, MAX_LOG_LINES, ...lines]));
    },
    async readLog(id) {
      const entries = await redis.xrange(keys.log(id), '-', '+');
      return entries.map(([, fields]) => fields[1] ?? '{}');
    },
    async readJournal(id) {
      const entries = Object.values(await redis.hgetall(keys.journal(id)));
      return entries.map((json) => journalEntrySchema.parse(JSON.parse(json))).sort((a, b) => a.sequence - b.sequence);
    },
  };
}

async function vmLocked(redis: Redis, holder = ''): Promise<LmasError> {
  if ((await redis.sismember(keys.incomplete, holder)) === 1) {
    return new LmasError(
      'VM_ALREADY_MIGRATING',
      `Migration ${holder} of this VM has ended; its teardown is not complete yet.`,
      {
        remedy: `Wait until the teardown of ${holder} is complete; its \`leftovers\` say what is missing.`,
      },
    );
  }
  return new LmasError('VM_ALREADY_MIGRATING', `Migration ${holder} of this VM is under way.`, {
    remedy: `Wait for ${holder} to end, or cancel it.`,
  });
}

/** True once nothing will be written to this record any more. */
export const hasEnded = (migration: Migration): boolean => isOutcome(migration.phase);
