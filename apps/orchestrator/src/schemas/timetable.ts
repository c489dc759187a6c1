/**
 * Bandwidth by the time of day, of a link or of the whole installation.
 */
import { z } from 'zod';
import { bandwidthSchema, timestampSchema } from './common.ts';
import { timeZoneSchema, weeklyPeriodSchema } from './period.ts';

const MAX_PERIODS = 50;

export const timetableInputSchema = z
  .strictObject({
    timeZone: timeZoneSchema.default('UTC'),
    periods: z
      .array(weeklyPeriodSchema.omit({ kind: true }).extend({ bandwidthBytesPerSec: bandwidthSchema }))
      .min(1)
      .max(MAX_PERIODS)
      .describe('The first one that a time is in counts.'),
    otherwise: bandwidthSchema.describe('At all other times: bytes per second; null is unlimited.'),
  })
  .meta({
    id: 'BandwidthTimetableRequest',
    examples: [
      {
        timeZone: 'Europe/Lisbon',
        periods: [
          { days: ['mon', 'tue', 'wed', 'thu', 'fri'], from: '08:00', to: '19:00', bandwidthBytesPerSec: 12_500_000 },
        ],
        otherwise: null,
      },
    ],
  });

export const timetableSchema = z
  .object({
    ...timetableInputSchema.shape,
    now: z
      .object({ bandwidthBytesPerSec: bandwidthSchema, until: timestampSchema.nullable() })
      .describe('What it says now, and until when; null: for ever.'),
  })
  .meta({ id: 'BandwidthTimetable' });
