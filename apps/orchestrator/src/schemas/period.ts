/**
 * Times of the week and stretches between dates, for maintenance windows, blackout times and limits by time of day.
 */
import { z } from 'zod';
import { isZone } from '../time/zone.ts';

export const WEEKDAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;
const clock = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'a time of day such as 22:30');

/** With any fraction of a second that means anything, and an offset. */
export const MAX_TIME_LENGTH = 40;
const instant = z.iso.datetime({ offset: true }).max(MAX_TIME_LENGTH);

export const timeZoneSchema = z
  .string()
  .max(64)
  .refine(isZone, 'no time zone of the IANA table, such as Europe/Lisbon or UTC')
  .describe('A name of the IANA table, such as `Europe/Lisbon`.');

export const weeklyPeriodSchema = z.strictObject({
  kind: z.literal('weekly'),
  days: z
    .array(z.enum(WEEKDAYS))
    .min(1)
    .max(WEEKDAYS.length)
    .default([...WEEKDAYS])
    .describe('The days on which it begins.'),
  from: clock.describe('On the clock of the time zone.'),
  to: clock.describe('Not after `from`: on the next day.'),
});

export const periodSchema = z
  .discriminatedUnion('kind', [
    weeklyPeriodSchema,
    z.strictObject({
      kind: z.literal('dates'),
      from: instant,
      to: instant,
    }),
  ])
  .meta({ id: 'Period' });

export type Period = z.output<typeof periodSchema>;
