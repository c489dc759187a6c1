/**
 * Times as people write them on a command line: `fri,sat 22:00-04:00` for a time of the week, two dates with a slash
 * between for a stretch.
 */
import type { ScheduleInput } from '@lmas/client';
import { CliError } from './errors.ts';

type Period = NonNullable<ScheduleInput['windows']>[number];
type Weekday = NonNullable<Extract<Period, { kind: 'weekly' }>['days']>[number];

const DAYS: readonly Weekday[] = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];
export const PERIOD_HELP =
  '"22:00-04:00", "mon-fri 20:00-06:00", "sat,sun 00:00-00:00", or FROM/TO with dates such as 2027-01-01T00:00:00Z';

export function parsePeriod(text: string): Period {
  const dates = text.split('/');
  if (dates.length === 2) {
    const [from, to] = dates.map((date) => Date.parse(date.trim()));
    if (from !== undefined && to !== undefined && !Number.isNaN(from) && !Number.isNaN(to)) {
      return { kind: 'dates', from: new Date(from).toISOString(), to: new Date(to).toISOString() };
    }
  }
  const match = /^(?:([a-z,-]+) )?(\d\d:\d\d)-(\d\d:\d\d)$/.exec(text.trim());
  if (match === null)
    throw new CliError('INVALID_VALUE', `"${text}" is no time of the week.`, { remedy: `Write ${PERIOD_HELP}.` });
  const [, days, from = '', to = ''] = match;
  return { kind: 'weekly', from, to, ...(days === undefined ? {} : { days: parseDays(days, text) }) };
}

function parseDays(text: string, whole: string): Weekday[] {
  const days = text.split(',').flatMap((part) => {
    const [first = '', last = first] = part.split('-');
    const [from, to] = [first, last].map((name) => (DAYS as readonly string[]).indexOf(name));
    if (from === undefined || to === undefined || from < 0 || to < 0) {
      throw new CliError('INVALID_VALUE', `"${whole}": there is no day ${part}.`, {
        remedy: `Days are ${DAYS.join(', ')}.`,
      });
    }
    // sun-tue goes over the end of the week.
    const count = ((to - from + DAYS.length) % DAYS.length) + 1;
    return Array.from({ length: count }, (_, index) => DAYS[(from + index) % DAYS.length] ?? 'mon');
  });
  return [...new Set(days)];
}
