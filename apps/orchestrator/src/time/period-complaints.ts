/** What is wrong with windows and blackouts before anything happens by them. Pure. */
import type { Issue } from '../errors.ts';
import { type Calendar, nextOpening } from './periods.ts';

/** Of each period by itself. */
export function periodComplaints({ windows, blackouts }: Pick<Calendar, 'windows' | 'blackouts'>): Issue[] {
  return Object.entries({ windows, blackouts }).flatMap(([field, periods]) =>
    periods.flatMap((period, index) => {
      const isEmpty = period.kind === 'dates' && Date.parse(period.from) >= Date.parse(period.to);
      return isEmpty ? [{ path: `${field}.${index}.to`, message: 'is not after `from`' }] : [];
    }),
  );
}

/** Of all of them together. */
export const openingComplaints = (calendar: Calendar, nowMs: number): Issue[] =>
  nextOpening(calendar, nowMs) === undefined
    ? [{ path: 'windows', message: 'never opens again, with these windows and blackouts' }]
    : [];
