/**
 * Wall clocks: what a clock on the wall of a time zone shows at an instant, and at which instants it shows a given time.
 * Wall time is written as the milliseconds since 1970 that UTC would show the same at. Pure; what a zone does comes from
 * the system's own table of zones (IANA), by way of luxon.
 */
import { IANAZone } from 'luxon';

const MINUTE_MS = 60_000;
export const DAY_MS = 24 * 60 * MINUTE_MS;

export const isZone = (name: string): boolean => IANAZone.isValidZone(name);

export const offsetMs = (zone: string, atMs: number): number => IANAZone.create(zone).offset(atMs) * MINUTE_MS;

export const wallOf = (zone: string, atMs: number): number => atMs + offsetMs(zone, atMs);

export type Instants =
  | { readonly kind: 'once'; readonly atMs: number }
  /** Clocks were set back over it. */
  | { readonly kind: 'twice'; readonly atMs: number; readonly againMs: number }
  /** Clocks were set forward over it: `atMs` is as long after the change as the time would have been without it. */
  | { readonly kind: 'never'; readonly atMs: number };

/** How far the clocks are moved within a day of an instant; 0 but twice a year. */
export function slackMs(zone: string, atMs: number): number {
  return Math.abs(offsetMs(zone, atMs - DAY_MS) - offsetMs(zone, atMs + DAY_MS));
}

/** At which instants the clock shows `wallMs`. Two changes of the clock within two days are not known anywhere. */
export function instantsOf(zone: string, wallMs: number): Instants {
  // An offset is less than a day: one of these two holds at that time, whichever side of a change it is.
  const [before, after] = [offsetMs(zone, wallMs - DAY_MS), offsetMs(zone, wallMs + DAY_MS)];
  const shows = (atMs: number): boolean => wallOf(zone, atMs) === wallMs;
  const [early, late] = [wallMs - Math.max(before, after), wallMs - Math.min(before, after)].sort((a, b) => a - b);
  if (early === undefined || late === undefined) throw new RangeError('Two numbers sort to two numbers.');
  if (early !== late && shows(early) && shows(late)) return { kind: 'twice', atMs: early, againMs: late };
  if (shows(early)) return { kind: 'once', atMs: early };
  if (shows(late)) return { kind: 'once', atMs: late };
  return { kind: 'never', atMs: wallMs - before };
}

/** The instant at which the clocks are changed between two instants, of which the later one has another offset. */
export function changeBetween(zone: string, fromMs: number, toMs: number): number {
  let [low, high] = [fromMs, toMs];
  const former = offsetMs(zone, fromMs);
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (offsetMs(zone, middle) === former) low = middle;
    else high = middle;
  }
  return high;
}

const two = (value: number): string => String(value).padStart(2, '0');

/** `2026-03-29 03:30`, for people. */
export function formatWall(wallMs: number): string {
  const wall = new Date(wallMs);
  const date = `${wall.getUTCFullYear()}-${two(wall.getUTCMonth() + 1)}-${two(wall.getUTCDate())}`;
  return `${date} ${two(wall.getUTCHours())}:${two(wall.getUTCMinutes())}`;
}
