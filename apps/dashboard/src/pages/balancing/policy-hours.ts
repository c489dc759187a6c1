/** When a policy works by itself: inside its windows and outside of its blackouts, on the clock of its time zone. Pure. */
import type { BalancingPolicy } from '@lmas/client';

type Period = BalancingPolicy['windows'][number];
type Hours = Pick<BalancingPolicy, 'timeZone' | 'windows' | 'blackouts'>;
/** What the clock on the wall shows there. */
interface Wall {
  readonly day: string;
  readonly dayBefore: string;
  /** "08:05"; sorts as times do. */
  readonly clock: string;
}

const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];

/** null: this browser does not know the time zone, so nobody can tell. */
export function isOpen({ timeZone, windows, blackouts }: Hours, atMs: number): boolean | null {
  if (windows.length + blackouts.length === 0) return true;
  try {
    const wall = wallOf(timeZone, atMs);
    const inside = (period: Period): boolean => covers(period, atMs, wall);
    return (windows.length === 0 || windows.some(inside)) && !blackouts.some(inside);
  } catch {
    return null;
  }
}

/** @throws RangeError for a zone that the browser does not know */
function wallOf(timeZone: string, atMs: number): Wall {
  const format = new Intl.DateTimeFormat('en-GB', {
    ...{ timeZone, weekday: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' },
  });
  const parts = Object.fromEntries(format.formatToParts(atMs).map(({ type, value }) => [type, value]));
  const at = DAYS.indexOf((parts.weekday ?? '').toLowerCase());
  const day = DAYS[at] ?? '';
  return { day, dayBefore: DAYS.at(at - 1) ?? '', clock: `${parts.hour}:${parts.minute}` };
}

/** As the orchestrator has it (time/periods.ts): one that ends no later than it begins ends on the next day. */
function covers(period: Period, atMs: number, { day, dayBefore, clock }: Wall): boolean {
  if (period.kind === 'dates') return Date.parse(period.from) <= atMs && atMs < Date.parse(period.to);
  const { days = DAYS, from, to } = period;
  const begins = (on: string): boolean => (days as readonly string[]).includes(on);
  if (from < to) return begins(day) && from <= clock && clock < to;
  return (begins(day) && from <= clock) || (begins(dayBefore) && clock < to);
}
