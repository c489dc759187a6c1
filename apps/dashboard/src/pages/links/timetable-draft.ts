/** A bandwidth timetable as the form has it, the request that it makes, and its words. Pure. */
import type { Timetable, TimetableInput } from '@lmas/client';
import { formatByteRate } from '@lmas/format';
import type { Day } from '../../parts/days-field.tsx';
import type { Complaint } from '../../parts/problem.tsx';

export interface PeriodDraft {
  readonly days: readonly Day[];
  readonly from: string;
  readonly to: string;
  readonly bandwidthBytesPerSec: number | null;
}

export interface TimetableDraft {
  readonly timeZone: string;
  readonly periods: readonly PeriodDraft[];
  readonly otherwise: number | null;
}

/** 100 Mbit/s in office hours. */
export const newPeriod: PeriodDraft = {
  days: ['mon', 'tue', 'wed', 'thu', 'fri'],
  from: '08:00',
  to: '19:00',
  bandwidthBytesPerSec: 12_500_000,
};

export const newTimetable = (timeZone: string): TimetableDraft => ({
  timeZone,
  periods: [newPeriod],
  otherwise: null,
});

export const draftOf = ({ timeZone = 'UTC', periods, otherwise }: TimetableInput): TimetableDraft => ({
  timeZone,
  periods: periods.map(({ days = [], ...period }) => ({ ...period, days })),
  otherwise,
});

/** null while a time has no days, which would mean all of them, or there is no time at all. */
export function requestOf({ timeZone, periods, otherwise }: TimetableDraft): TimetableInput | null {
  if (periods.length === 0 || periods.some(({ days }) => days.length === 0)) return null;
  return {
    timeZone: timeZone.trim(),
    periods: periods.map(({ days, ...period }) => ({ ...period, days: [...days] })),
    otherwise,
  };
}

const FIELDS: Readonly<Record<string, string>> = {
  days: 'days',
  from: 'from',
  to: 'to',
  bandwidthBytesPerSec: 'at most',
};

/** `periods.1.from` is the second time's "from"; bytes per second are what nobody typed here. */
export function inWords({ path, message }: Complaint): Complaint {
  const [field = '', place, name = ''] = path.split('.');
  const words = message.startsWith('Too small') ? 'Too small: at least 0.01 Mbit/s, or empty' : message;
  if (field === 'periods' && place !== undefined) {
    return { path: `Time ${Number(place) + 1}: ${FIELDS[name] ?? name}`, message: words };
  }
  if (field === 'otherwise') return { path: 'At all other times', message: words };
  return field === 'timeZone' ? { path: 'Time zone', message } : { path, message };
}

export const rateWords = (bytesPerSec: number | null): string =>
  bytesPerSec === null ? 'unlimited' : formatByteRate(bytesPerSec);

/** "mon, tue 08:00–19:00". */
export const periodWords = ({ days, from, to }: Timetable['periods'][number]): string =>
  `${days === undefined || days.length === 7 ? 'every day' : days.join(', ')} ${from}–${to}`;
