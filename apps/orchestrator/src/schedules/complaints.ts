/**
 * Why a schedule makes no sense as it is: all the reasons at once. Pure.
 */
import type { Issue } from '../errors.ts';
import { cronComplaints } from '../time/cron.ts';
import { openingComplaints, periodComplaints } from '../time/period-complaints.ts';
import { isOpen } from '../time/periods.ts';
import { DAY_MS } from '../time/zone.ts';
import type { ScheduleInput } from './record.ts';
import { instantOf, occurrencesAfter } from './trigger.ts';

/** It is sure that no run falls into a window after so many, over so long: whatever repeats has done so by then. */
const SURE_RUNS = 50;
const SURE_MS = 400 * DAY_MS;
/** What runs very often is not looked at for so long; it is not refused then. */
const MOST_RUNS = 5_000;

type Timed = Pick<ScheduleInput, 'trigger' | 'timeZone' | 'windows' | 'blackouts' | 'missed'>;

/** @param isRetimed false: its time stays what it was, and may be over */
export function complaintsAbout(schedule: Timed, nowMs: number, { isRetimed = true } = {}): Issue[] {
  const issues = [...periodComplaints(schedule), ...(isRetimed ? triggerComplaints(schedule, nowMs) : [])];
  const shut = openingComplaints(schedule, nowMs);
  if (shut.length > 0) {
    issues.push(...shut);
  } else if (issues.length === 0 && schedule.missed !== 'next-window' && !meetsWindow(schedule, nowMs)) {
    const message = 'none of the next runs falls into an open window, and `missed` lets none wait for one';
    issues.push({ path: 'trigger', message });
  }
  return issues;
}

/** When, and what, before the windows, which mean nothing without. */
const FIELDS = ['trigger', 'timeZone', 'action', 'windows', 'blackouts'];

export function inOrder(issues: readonly Issue[]): Issue[] {
  const place = ({ path }: Issue): number => {
    const at = FIELDS.indexOf(path.split('.')[0] ?? '');
    return at < 0 ? FIELDS.length : at;
  };
  return [...issues].sort((a, b) => place(a) - place(b));
}

function triggerComplaints({ trigger, timeZone }: Timed, nowMs: number): Issue[] {
  if (trigger.kind === 'cron') {
    return cronComplaints(trigger.expression).map((message) => ({ path: 'trigger.expression', message }));
  }
  const { atMs } = instantOf(trigger.at, timeZone);
  return atMs > nowMs ? [] : [{ path: 'trigger.at', message: `is over: it was ${new Date(atMs).toISOString()}` }];
}

/** False only when it is sure. */
function meetsWindow(schedule: Timed, nowMs: number): boolean {
  let looked = 0;
  for (const { atMs } of occurrencesAfter(schedule, nowMs)) {
    if (isOpen(schedule, atMs)) return true;
    looked += 1;
    if (looked >= SURE_RUNS && atMs > nowMs + SURE_MS) return false;
    if (looked === MOST_RUNS) return true;
  }
  return looked === 0; // then it is over, and what it has started may still wait
}
