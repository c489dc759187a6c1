/**
 * What runs write in the record store. Whoever writes for a run holds a `Claim`; a claim that was superseded writes nothing
 * any more, and says so by LmasError SUPERSEDED; where Redis lacks what the run was told is written, by WRITES_FORGOTTEN.
 */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { Need } from '../admission/groups.ts';
import { placesKeys, waitingKeys } from '../admission/scripts.ts';
import { LmasError } from '../errors.ts';
import { keys } from '../redis/keys.ts';
import { readWhole, type UnknownFields, writeWhole } from '../redis/stored-json.ts';
import { gapBefore } from './course.ts';
import { indexesOf } from './index-search.ts';
import type { JournalEntry } from './journal-entry.ts';
import { needOf } from './needs.ts';
import type { Phase } from './phases.ts';
import { type EventType, readableFrom, type StoredMigration, storedMigrationSchema } from './record.ts';
import * as scripts from './scripts.ts';
import { eventJson, MAX_EVENTS, overlay, verdict } from './store-answers.ts';
import { createRunPlaces, type RunPlaces } from './store-places.ts';
import type { RecordReads } from './store-reads.ts';
import { vmLocked } from './store-requests.ts';
import { WriteCount } from './write-count.ts';

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
  /** What its check has found that it needs, and it has. */
  readonly need: Need | null;
  /** The run before this one ended in order, having touched nothing. */
  readonly handedBack: boolean;
}

export type ClaimRefusal = 'missing' | 'ended' | 'busy' | 'waiting';
const CLAIM_REFUSALS: Record<string, ClaimRefusal> = { BUSY: 'busy', ENDED: 'ended', WAITING: 'waiting' };

export interface RunWrites extends RunPlaces {
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
    known: { version: number; stored: StoredMigration; journal: readonly JournalEntry[]; need: Need | null },
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
  /** Gives a VM back before the end. @throws LmasError SUPERSEDED, WRITES_FORGOTTEN */
  unlock(claim: Claim, lockKey: string): Promise<void>;
  /** @throws LmasError CANCELLED when a cancel came first, SUPERSEDED */
  passPointOfNoReturn(claim: Claim, at: string): Promise<void>;
  writeJournal(claim: Claim, entry: JournalEntry): Promise<void>;
  /** Keeps lines of its log with the record, the newest few hundred. @throws LmasError SUPERSEDED */
  appendLog(claim: Pick<Claim, 'id' | 'token'>, lines: readonly string[]): Promise<void>;
}

export function createRunWrites(redis: Redis, reads: Pick<RecordReads, 'get' | 'incomplete'>): RunWrites {
  const counts = new WeakMap<Claim, WriteCount>();
  /** What a later version wrote into the record that a run has. */
  const unknownOf = new WeakMap<Claim, UnknownFields>();
  const countOf = (claim: Claim): WriteCount => counts.get(claim) ?? new WriteCount(0);
  /** What FENCE asks for. */
  const fence = (claim: Claim) => [claim.token, countOf(claim).known] as const;

  return {
    ...createRunPlaces(redis, { fence, add: (claim, writes) => countOf(claim).add(writes) }),
    async claim(id, runId, leaseMs) {
      const [word, token, version, record, cancelRequestedAt, pointOfNoReturnAt, writes, need, handedBack] = verdict(
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
      const { value, unknown } = readWhole(storedMigrationSchema, record ?? '');
      unknownOf.set(claim, unknown);
      const { migration, notes } = value;
      return {
        claim,
        version: Number(version),
        stored: { migration: overlay(migration, cancelRequestedAt, pointOfNoReturnAt), notes },
        need: need || null,
        handedBack: handedBack === '1',
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
    async restore(claim, { version, stored, journal, need }) {
      const { id, token, runId } = claim;
      const { phase, createdAt, cancelRequestedAt, pointOfNoReturnAt } = stored.migration;
      verdict(
        await scripts.RESTORE_RECORD(
          redis,
          [
            ...[keys.migration(id), keys.journal(id), keys.live, keys.running, keys.lease(id), keys.queueDeadlines],
            ...[...waitingKeys, keys.migrations, keys.bandwidth, keys.changes, ...stored.notes.locks],
          ],
          [
            ...[
              id,
              token,
              runId,
              writeWhole(stored, unknownOf.get(claim), readableFrom(stored)),
              version,
              phase,
              countOf(claim).known,
            ],
            ...[cancelRequestedAt ?? '', pointOfNoReturnAt ?? ''],
            ...[JSON.stringify(indexesOf(stored.migration)), Date.parse(createdAt), need ?? ''],
            ...[needOf(stored.migration), stored.migration.request.bandwidthBytesPerSec ?? ''],
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
            writeWhole(stored, unknownOf.get(claim), readableFrom(stored)),
            phase,
            told?.event ?? '',
            MAX_EVENTS,
            keys.eventChannel(id),
            told?.notice ?? '',
            // What a list is filtered by changes with the phase, and with it only.
            told === undefined || told.notice === '' ? '' : JSON.stringify(indexesOf(stored.migration)),
            id,
            Date.parse(createdAt),
            needOf(stored.migration),
            event === undefined ? 0 : gapBefore(event.type, stored.migration, Date.now()),
          ],
        ),
      );
      if (word === 'CONFLICT') throw new LmasError('INTERNAL', `Record ${id} was written by somebody without a claim.`);
      countOf(claim).add(writes);
    },
    async end(claim, { locks, phase, complete }) {
      const { id } = claim;
      const ofThis = [keys.migration(id), keys.live, keys.running, keys.lease(id), keys.events(id), keys.journal(id)];
      const names = [...ofThis, keys.incomplete, ...placesKeys, keys.bandwidth, keys.keptPairs, ...locks];
      const facts = [...fence(claim), id, phase, KEEP_EVENTS_MS, complete ? 1 : 0, keys.admissionChannel];
      verdict(await scripts.END(redis, names, facts));
    },
    async lock(claim, lockKey) {
      const { id } = claim;
      const [word, answer] = verdict(await scripts.LOCK(redis, [keys.migration(id), lockKey], [...fence(claim), id]));
      if (word === 'LOCKED') throw await vmLocked(reads, answer, (await reads.get(id))?.project ?? null);
      countOf(claim).add(answer);
    },
    async unlock(claim, lockKey) {
      const { id } = claim;
      const [, writes] = verdict(await scripts.UNLOCK(redis, [keys.migration(id), lockKey], [...fence(claim), id]));
      countOf(claim).add(writes);
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
  };
}
