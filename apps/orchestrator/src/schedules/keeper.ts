/**
 * Keeps schedules: looks at each when its time has come, decides, writes that down, and does it. Any number of keepers may
 * run: who decides first is whose decision stands, and what is done twice is the same run (`migrationIdFor`). It owns
 * nothing in Redis.
 *
 * It is woken by BullMQ at the time that the record names, by the feed when something that it waits for has happened, and
 * by itself now and then: a wake-up may be lost, and clocks may be moved.
 */
import type { Redis } from 'ioredis';
import { describeError, errorCode, LmasError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { keys } from '../redis/keys.ts';
import type { Versioned, VersionedTable } from '../redis/versioned-table.ts';
import type { ActionKind, Actions } from './actions.ts';
import { decide, heldUp, isHeldUp, type RunEnd } from './decide.ts';
import { noticesOf } from './notice.ts';
import {
  type HistoryEntry,
  lookAtMs,
  type Progress,
  type RunRef,
  type ScheduleAction,
  type StoredSchedule,
} from './record.ts';

export interface KeeperParts {
  readonly table: VersionedTable<StoredSchedule>;
  readonly actions: Actions;
  readonly wakes: { wakeAt(name: string, atMs: number): Promise<void> };
  readonly now: () => number;
  /** Told of each entry of a history. */
  readonly onEvent: (event: HistoryEntry['event']) => void;
  readonly log: Logger;
}

export interface ScheduleKeeper {
  /** Does what is to be done about one now. Never rejects. */
  look(id: string): Promise<void>;
  /** Looks at all that are due. Never rejects. */
  lookAtDue(): Promise<void>;
}

/** One decision leads to the next; a schedule that never comes to rest is a defect, and must not take the process along. */
const MOST_STEPS = 20;

export function createScheduleKeeper({ table, actions, wakes, now, onEvent, log }: KeeperParts): ScheduleKeeper {
  /** Whoever comes while somebody looks lets him look once more. */
  const looking = new Map<string, { again: boolean; done: Promise<void> }>();

  const write = async (
    before: Versioned<StoredSchedule>,
    progress: Progress,
    entries: readonly Omit<HistoryEntry, 'at'>[],
  ) => {
    const at = new Date(now()).toISOString();
    const value = { ...before.value, progress };
    const log = entries.map((entry): HistoryEntry => ({ at, ...entry }));
    const beside = { lookAtMs: lookAtMs(value, now()), log, notices: noticesOf(value, log) };
    const isWritten = await table.write(before, value, beside);
    if (isWritten) for (const { event } of log) onEvent(event);
    return isWritten;
  };
  /** Does what the record says is to be done, and writes what came of it. */
  const start = async (stored: Versioned<StoredSchedule>, starting: NonNullable<Progress['starting']>) => {
    const { dueAt, why } = starting;
    const { value, fence } = stored;
    const kind: ActionKind<ScheduleAction> = actions[value.action.kind];
    const purpose = purposeOf(value, dueAt);
    const { waiting } = value.progress;
    // It waits no more, whatever comes of it.
    const progress = { ...value.progress, starting: null, waiting: waiting?.dueAt === dueAt ? null : waiting };
    const entry = { dueAt, run: null, code: null };
    try {
      const isPaused = value.pausedAt !== null;
      const run = isPaused
        ? await kind.find(purpose)
        : await kind.start(value.action, { purpose, project: value.project, fence });
      if (run === undefined)
        return await write(stored, progress, [
          { ...entry, event: 'skipped', message: 'It was paused before it began.' },
        ]);
      const started = { ...entry, event: 'started' as const, message: `Started ${why}.`, run };
      return await write(stored, { ...progress, current: { dueAt, run } }, [started]);
    } catch (error) {
      if (errorCode(error) === 'WITHDRAWN') return false; // the record has changed: look at it again
      if (!isRefusal(error)) throw error;
      const { code, message } = describeError(error);
      if (isHeldUp({ code })) {
        const next = heldUp(value, starting, { code, message }, now());
        return await write(stored, next.progress, next.entries);
      }
      return await write(stored, progress, [{ ...entry, event: 'refused', message, code }]);
    }
  };
  const endOf = async (run: RunRef | undefined): Promise<RunEnd | null> =>
    run === undefined ? null : await actions[run.kind].endOf(run.id);

  /** @returns whether there may be more to do at once */
  const step = async (id: string): Promise<boolean> => {
    const stored = await table.find(id);
    if (stored === undefined) return false;
    const { starting, current } = stored.value.progress;
    if (starting !== null) {
      await start(stored, starting);
      return true;
    }
    const end = await endOf(current?.run);
    const { progress, entries, cancel } = decide(stored.value, { nowMs: now(), end });
    if (cancel !== null) await actions[cancel.kind].cancel(cancel.id);
    const isNew = entries.length > 0 || JSON.stringify(progress) !== JSON.stringify(stored.value.progress);
    if (isNew) {
      await write(stored, progress, entries);
      return true;
    }
    await wakeFor(stored);
    return false;
  };
  const wakeFor = async ({ value }: Versioned<StoredSchedule>): Promise<void> => {
    const atMs = lookAtMs(value, now());
    if (atMs !== null && atMs > now()) await wakes.wakeAt(value.id, atMs);
  };
  const lookUntilDone = async (id: string, state: { again: boolean }): Promise<void> => {
    do {
      state.again = false;
      try {
        for (let steps = 0; steps < MOST_STEPS && (await step(id)); steps++);
      } catch (error) {
        log.warn({ err: error, schedule: id }, 'a schedule could not be kept; it is looked at again');
      }
    } while (state.again);
    looking.delete(id);
  };
  const look = (id: string): Promise<void> => {
    const underWay = looking.get(id);
    if (underWay !== undefined) {
      underWay.again = true;
      return underWay.done;
    }
    const state = { again: false, done: Promise.resolve() };
    looking.set(id, state);
    state.done = lookUntilDone(id, state);
    return state.done;
  };

  /** Undefined: nothing was looked at yet. */
  let lookedAtMs: number | undefined;
  return {
    look,
    async lookAtDue() {
      const nowMs = now();
      // What was put off by a clock that was ahead is found by looking at everything once.
      const isSetBack = lookedAtMs === undefined || nowMs < lookedAtMs;
      try {
        await Promise.all((await table.dueBy(isSetBack ? Number.MAX_SAFE_INTEGER : nowMs)).map(look));
        lookedAtMs = nowMs;
      } catch (error) {
        log.warn({ err: error }, 'schedules could not be looked at; tried again');
      }
    },
  };
}

/** What a run is for: a schedule that was removed and made anew has other runs. */
const purposeOf = ({ id, createdAt }: StoredSchedule, dueAt: string): string =>
  `schedule ${id} of ${createdAt}: ${dueAt}`;

/** What will be no other the next time; all else is tried again. */
const isRefusal = (error: unknown): boolean =>
  error instanceof LmasError && !['INTERNAL', 'UNAVAILABLE'].includes(error.code);

/** Lets all keepers know, whichever process they are in, when there is something to look at. */
export function announcer(
  redis: Redis,
  wakes: { wakeAt(name: string, atMs: number): Promise<void>; forget(name: string): Promise<void> },
) {
  return async (id: string, lookAtMs: number | null): Promise<void> => {
    if (lookAtMs === null) await wakes.forget(id);
    else if (lookAtMs > Date.now()) await wakes.wakeAt(id, lookAtMs);
    else await redis.publish(keys.feedChannel, '');
  };
}
