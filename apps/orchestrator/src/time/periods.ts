/**
 * Periods: times of the week on the clock of a zone, and stretches between two dates. A time is inside a weekly period
 * when the clock on the wall says so: one from 02:00 to 03:00 is two hours long on the night in which clocks are set
 * back over it, and does not come on the night in which they are set forward over it. Pure.
 */
import { type Period, WEEKDAYS } from '../schemas/period.ts';
import { changeBetween, DAY_MS, instantsOf, offsetMs, wallOf } from './zone.ts';

export interface Calendar {
  readonly timeZone: string;
  /** Open in any of these; without one, always. */
  readonly windows: readonly Period[];
  /** Closed in each of these, whatever the windows say. */
  readonly blackouts: readonly Period[];
}

const MINUTE_MS = 60_000;
/** 1970-01-01 was a Thursday. */
const FIRST_WEEKDAY = 3;
/** Weekly periods come back within it, wherever one begins to look and whatever the clocks do. */
const HORIZON_MS = 15 * DAY_MS;

const minutesOf = (clock: string): number => Number(clock.slice(0, 2)) * 60 + Number(clock.slice(3));
const weekday = (wallMs: number) => WEEKDAYS[(Math.floor(wallMs / DAY_MS) + FIRST_WEEKDAY) % WEEKDAYS.length] ?? 'mon';

export const isInside = (period: Period, timeZone: string, atMs: number): boolean =>
  covers(period, atMs, wallOf(timeZone, atMs));

/** @param wallMs what the clock on the wall shows at `atMs` */
function covers(period: Period, atMs: number, wallMs: number): boolean {
  if (period.kind === 'dates') return Date.parse(period.from) <= atMs && atMs < Date.parse(period.to);
  const minute = Math.floor((wallMs % DAY_MS) / MINUTE_MS);
  const [from, to] = [minutesOf(period.from), minutesOf(period.to)];
  const today = period.days.includes(weekday(wallMs));
  if (from < to) return today && from <= minute && minute < to;
  return (today && from <= minute) || (period.days.includes(weekday(wallMs - DAY_MS)) && minute < to);
}

export function isOpen({ timeZone, windows, blackouts }: Calendar, atMs: number): boolean {
  const wallMs = wallOf(timeZone, atMs);
  const inside = (period: Period): boolean => covers(period, atMs, wallMs);
  return (windows.length === 0 || windows.some(inside)) && !blackouts.some(inside);
}

/** The first instant from `fromMs` on at which it is open; undefined when it never is again. */
export function nextOpening(calendar: Calendar, fromMs: number): number | undefined {
  const dates = [...calendar.windows, ...calendar.blackouts].flatMap((period) =>
    period.kind === 'dates' ? [Date.parse(period.from), Date.parse(period.to)] : [],
  );
  // From one date to the next only the week counts: what has not opened within the horizon does not before the next date. Dates
  // may be thousands of years ahead.
  const turns = [fromMs, ...dates.filter((atMs) => atMs > fromMs).sort((a, b) => a - b)];
  for (const [index, turnMs] of turns.entries()) {
    if (isOpen(calendar, turnMs)) return turnMs;
    if (isShutByDate(calendar, turnMs)) continue;
    const untilMs = Math.min(turns[index + 1] ?? Number.POSITIVE_INFINITY, turnMs + HORIZON_MS);
    for (let dayMs = turnMs; dayMs < untilMs; dayMs += DAY_MS) {
      const opening = boundariesWithin(calendar, dayMs, dayMs + DAY_MS).find((atMs) => isOpen(calendar, atMs));
      if (opening !== undefined) return opening;
    }
  }
  return undefined;
}

/** Until the next date at least. */
const isShutByDate = ({ timeZone, blackouts }: Calendar, atMs: number): boolean =>
  blackouts.some((period) => period.kind === 'dates' && isInside(period, timeZone, atMs));

/** Every instant after `fromMs` and up to `toMs`, a day later, at which it may open or close; in order. */
function boundariesWithin({ timeZone, windows, blackouts }: Calendar, fromMs: number, toMs: number): number[] {
  const today = Math.floor(wallOf(timeZone, fromMs) / DAY_MS) * DAY_MS;
  const walls = [today - DAY_MS, today, today + DAY_MS, today + 2 * DAY_MS];
  const boundaries = [...windows, ...blackouts].flatMap((period) => {
    if (period.kind === 'dates') return [Date.parse(period.from), Date.parse(period.to)];
    return [period.from, period.to].flatMap((clock) =>
      walls.flatMap((wallDayMs) => {
        const found = instantsOf(timeZone, wallDayMs + minutesOf(clock) * MINUTE_MS);
        return found.kind === 'twice' ? [found.atMs, found.againMs] : [found.atMs];
      }),
    );
  });
  // Clocks that are moved go into or out of a period at that very moment.
  const isMoved = offsetMs(timeZone, fromMs) !== offsetMs(timeZone, toMs);
  if (isMoved) boundaries.push(changeBetween(timeZone, fromMs, toMs));
  return boundaries.filter((atMs) => fromMs < atMs && atMs <= toMs).sort((a, b) => a - b);
}
