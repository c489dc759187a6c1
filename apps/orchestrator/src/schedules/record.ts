/**
 * What is stored of a schedule: what a person set, and how far the machinery has come with it. One record, so that each
 * of the two sees what the other did before it writes.
 */
import type { Redis } from 'ioredis';
import { z } from 'zod';
import type { Logger } from '../log.ts';
import { readableFromOf } from '../redis/record-versions.ts';
import { type VersionedTable, versionedTable } from '../redis/versioned-table.ts';
import { ownedNameSchema, slugSchema, timestampSchema } from '../schemas/common.ts';
import {
  recordedActionSchema,
  runRefSchema,
  type scheduleActionSchema,
  type scheduleHistoryEntrySchema,
  scheduleInputSchema,
  type scheduleSchema,
  waitingSchema,
} from '../schemas/schedule.ts';
import { nextOpening } from '../time/periods.ts';
import { occurrencesAfter } from './trigger.ts';

export type Schedule = z.infer<typeof scheduleSchema>;
export type ScheduleInput = z.output<typeof scheduleInputSchema>;
export type ScheduleAction = z.output<typeof scheduleActionSchema>;
export type HistoryEntry = z.infer<typeof scheduleHistoryEntrySchema>;
export type RunRef = z.infer<typeof runRefSchema>;

export const progressSchema = z.object({
  /** Every time of the trigger up to this one has been dealt with: it never comes again, whatever clocks do. */
  seenUntil: timestampSchema,
  /** Decided, and perhaps done: whoever finds this does it (again), which is the same run. */
  starting: z.object({ dueAt: timestampSchema, why: z.string() }).nullable(),
  waiting: waitingSchema
    .extend({ /** When it is tried again. */ tryAt: timestampSchema.nullable().default(null) })
    .nullable(),
  current: z.object({ dueAt: timestampSchema, run: runRefSchema }).nullable(),
});
export type Progress = z.infer<typeof progressSchema>;

export const storedScheduleSchema = scheduleInputSchema.extend({
  id: ownedNameSchema,
  action: recordedActionSchema,
  project: slugSchema.nullable(),
  createdAt: timestampSchema,
  pausedAt: timestampSchema.nullable(),
  progress: progressSchema,
});
export type StoredSchedule = z.output<typeof storedScheduleSchema>;

const MAX_HISTORY = 200;

export const createScheduleTable = (redis: Redis, log?: Logger): VersionedTable<StoredSchedule> =>
  versionedTable(redis, {
    ...{ name: 'schedule', schema: storedScheduleSchema, maxLog: MAX_HISTORY, log },
    readableFrom: ({ action }) => (action.kind === 'migration' ? readableFromOf(action.migration) : undefined),
  });

export const nextDueMs = (schedule: StoredSchedule): number | undefined =>
  occurrencesAfter(schedule, Date.parse(schedule.progress.seenUntil)).next().value?.atMs;

/** When somebody has to look at it; null: never, unless a person changes it. */
export function lookAtMs(schedule: StoredSchedule, nowMs: number): number | null {
  const { starting, waiting, current } = schedule.progress;
  if (starting !== null || current !== null) return 0;
  if (schedule.pausedAt !== null) return null;
  const opensMs = waiting === null ? undefined : nextOpening(schedule, nowMs);
  const tryMs = waiting?.for === 'other-run' ? Date.parse(waiting.tryAt ?? '') || nowMs : opensMs;
  const times = [nextDueMs(schedule), tryMs].filter((atMs) => atMs !== undefined);
  return times.length === 0 ? null : Math.min(...times);
}

/** As the API shows it. */
export function shown(schedule: StoredSchedule): Schedule {
  const { progress, ...rest } = schedule;
  const { starting, waiting, current } = progress;
  const dueMs = schedule.pausedAt === null ? nextDueMs(schedule) : undefined;
  const isIdle = starting === null && waiting === null && current === null;
  const isOver = isIdle && nextDueMs(schedule) === undefined;
  return {
    ...rest,
    state: isOver ? 'finished' : schedule.pausedAt === null ? 'active' : 'paused',
    nextAt: dueMs === undefined ? null : new Date(dueMs).toISOString(),
    waiting: waiting && waitingSchema.parse(waiting),
    current,
  };
}
