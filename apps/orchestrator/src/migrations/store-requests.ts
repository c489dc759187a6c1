/**
 * What requests write in the record store: a new record, a cancel. Neither needs a claim.
 */
import type { Redis } from 'ioredis';
import { projectSees } from '../access/principal.ts';
import { entriesOf, laneEntry, orderOf } from '../admission/groups.ts';
import { waitingKeys } from '../admission/scripts.ts';
import { LmasError } from '../errors.ts';
import { keys } from '../redis/keys.ts';
import { leaveEarlierVersionsOut } from '../redis/record-versions.ts';
import { writeWhole } from '../redis/stored-json.ts';
import type { Fence } from '../redis/versioned-table.ts';
import type { Reserved } from './idempotency.ts';
import { indexesOf } from './index-search.ts';
import { now, readableFrom, type StoredMigration } from './record.ts';
import * as scripts from './scripts.ts';
import { eventJson, MAX_EVENTS, verdict } from './store-answers.ts';
import type { RecordReads } from './store-reads.ts';

export type CancelVerdict = 'missing' | 'ended' | 'too-late' | 'accepted' | 'already';
const CANCEL_VERDICTS: Record<string, CancelVerdict> = {
  MISSING: 'missing',
  ENDED: 'ended',
  TOO_LATE: 'too-late',
  ACCEPTED: 'accepted',
  ALREADY: 'already',
};

export interface OrderedBy {
  readonly fence?: Fence | undefined;
  /** How many migrations of its project may wait, this one among them; null: any number. */
  readonly maxWaiting?: number | null | undefined;
  /** The idempotency key: it stands for the record once that is stored, and is free again when it is refused. */
  readonly reserved?: Reserved | undefined;
}

export interface RequestWrites {
  /**
   * Stores a new record, its VM locks, its bandwidth limit and its place in the queue in one step; done before, it does nothing.
   * @throws LmasError VM_ALREADY_MIGRATING naming the other one, PROJECT_QUEUE_FULL, WITHDRAWN when the fence is not met
   */
  create(stored: StoredMigration, lane: string, by?: OrderedBy): Promise<void>;
  requestCancel(id: string): Promise<CancelVerdict>;
}

export function createRequestWrites(redis: Redis, reads: Pick<RecordReads, 'get' | 'incomplete'>): RequestWrites {
  return {
    async create(stored, lane, { fence, maxWaiting = null, reserved } = {}) {
      const { migration, notes } = stored;
      const from = readableFrom(stored);
      if (from !== undefined) await leaveEarlierVersionsOut(redis, from);
      const { event, notice } = eventJson('phase', 'queued', migration);
      const { project } = migration;
      const waiting = project === null || maxWaiting === null ? ['', '', ''] : [...entriesOf(project), maxWaiting];
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
            keys.bandwidth,
            ...notes.locks,
          ],
          [
            migration.id,
            Date.parse(migration.createdAt) + migration.request.timeouts.queueMs,
            writeWhole(stored, undefined, from),
            Date.parse(migration.createdAt),
            event,
            MAX_EVENTS,
            keys.eventChannel(migration.id),
            notice,
            JSON.stringify(indexesOf(migration)),
            orderOf(migration),
            laneEntry(lane, orderOf(migration), migration.id),
            keys.admissionChannel,
            ...[fence?.key ?? '', fence?.token ?? ''],
            migration.request.bandwidthBytesPerSec ?? '',
            ...[reserved?.key ?? '', reserved?.value ?? '', reserved?.ttlMs ?? ''],
            ...waiting,
          ],
        ),
      );
      if (word === 'WITHDRAWN') throw new LmasError('WITHDRAWN');
      if (word === 'LOCKED') throw await vmLocked(reads, holder, project);
      if (word === 'FULL') throw queueFull(project ?? '', holder ?? '', maxWaiting ?? 0);
    },
    async requestCancel(id) {
      const at = now();
      const migration = await reads.get(id);
      if (migration === undefined) return 'missing';
      const { event, notice } = eventJson('cancel-requested', 'cancel requested', {
        ...migration,
        cancelRequestedAt: at,
      });
      const [word] = verdict(
        await scripts.CANCEL(
          redis,
          [keys.migration(id), keys.live, keys.events(id), keys.queueDeadlines],
          [id, at, event, MAX_EVENTS, keys.eventChannel(id), keys.cancelChannel, notice, Date.parse(at)],
        ),
      );
      return CANCEL_VERDICTS[word] ?? 'missing';
    },
  };
}

function queueFull(project: string, waiting: string, maxWaiting: number): LmasError {
  return new LmasError(
    'PROJECT_QUEUE_FULL',
    `Of project ${project} ${waiting} ${waiting === '1' ? 'migration waits' : 'migrations wait'}; it may have ${maxWaiting} waiting.`,
    {
      remedy:
        'Try again once one of them has begun, or cancel what need not wait (lmas queue list); whoever runs the installation may let more wait ' +
        `(lmas project set ${project} --max-waiting).`,
    },
  );
}

/** Names the other migration to those who see it. */
export async function vmLocked(
  reads: Pick<RecordReads, 'get' | 'incomplete'>,
  holder: string | undefined,
  project: string | null,
): Promise<LmasError> {
  const code = 'VM_ALREADY_MIGRATING';
  const other = await reads.get(holder ?? '');
  if (other !== undefined && !projectSees(project, other.project)) {
    const remedy = 'Wait for it to end; whoever runs the installation can say whose it is.';
    return new LmasError(code, 'Somebody else’s migration of this VM is under way.', { remedy });
  }
  if ((await reads.incomplete()).includes(holder ?? '')) {
    const remedy = `Wait until the teardown of ${holder} is complete; its \`leftovers\` say what is missing.`;
    return new LmasError(code, `Migration ${holder} of this VM has ended; its teardown is not complete yet.`, {
      remedy,
    });
  }
  const remedy = `Wait for ${holder} to end, or cancel it.`;
  return new LmasError(code, `Migration ${holder} of this VM is under way.`, { remedy });
}
