/** Schedules in words: what they start, when, and inside which hours. Pure. */
import type { Schedule } from '@lmas/client';

type Period = Schedule['windows'][number];

const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;

/** A kind that a newer orchestrator has is told by its name. */
export function actionWords({ action }: Pick<Schedule, 'action'>): string {
  if (action.kind === 'migration') {
    return `move ${action.migration.vm}: ${action.migration.source} → ${action.migration.destination}`;
  }
  if (action.kind === 'plan') return `plan ${action.plan}, ${action.mode}`;
  const { kind, policy } = action as { readonly kind: string; readonly policy?: string };
  return policy === undefined ? kind : `a pass of policy ${policy}`;
}

export const triggerWords = ({ trigger, timeZone }: Pick<Schedule, 'trigger' | 'timeZone'>): string =>
  trigger.kind === 'once'
    ? `once, ${trigger.at.replace('T', ' ')} (${timeZone})`
    : `${trigger.expression} (${timeZone})`;

/** "fri, sat 22:00–06:00", "2026-12-18 00:00 – 2027-01-07 00:00 UTC". */
export function periodWords(period: Period): string {
  if (period.kind === 'dates') return `${dateWords(period.from)} – ${dateWords(period.to)} UTC`;
  const { days = [...DAYS], from, to } = period;
  return `${days.length === DAYS.length ? 'every day' : days.join(', ')} ${from}–${to}`;
}

/** In UTC: a stretch between two dates is one for everybody. */
const dateWords = (iso: string): string => new Date(iso).toISOString().slice(0, 16).replace('T', ' ');

/** Of a plan. */
export const MODES: Readonly<Record<Extract<Schedule['action'], { kind: 'plan' }>['mode'], string>> = {
  failover: 'failover: the VMs move',
  validate: 'validate: only checks',
  drill: 'drill: a rehearsal',
  disaster: 'disaster: says what is known, and starts nothing',
};

export const MISSED: Readonly<Record<Schedule['missed'], string>> = {
  skip: 'is left out',
  'run-now': 'is made up for at once',
  'next-window': 'begins when the next window opens',
};

export const OVERLAP: Readonly<Record<Schedule['overlap'], string>> = {
  skip: 'the new one is left out',
  queue: 'the new one waits for it',
  replace: 'the former one is cancelled first',
};
