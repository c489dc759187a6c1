/**
 * The word about a schedule that goes to whoever follows everything. Pure.
 */
import type { z } from 'zod';
import type { scheduleNoticeSchema } from '../schemas/notice.ts';
import { type HistoryEntry, type StoredSchedule, shown } from './record.ts';

export type ScheduleNotice = z.infer<typeof scheduleNoticeSchema>;

export function noticesOf(schedule: StoredSchedule, entries: readonly HistoryEntry[]): ScheduleNotice[] {
  const { id, project, description, state, nextAt } = shown(schedule);
  return entries.map(({ at, message, ...entry }) => ({
    ...{ at, type: 'schedule', message },
    schedule: { id, project, description, state, nextAt, ...entry },
  }));
}
