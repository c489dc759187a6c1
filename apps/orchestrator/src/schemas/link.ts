/**
 * Links between two sites: what was set for them, what was measured, and the test that measures.
 */
import { z } from 'zod';
import { portSchema, slugSchema, timestampSchema } from './common.ts';
import { findingSchema } from './finding.ts';
import { trafficLimitsSchema } from './limits.ts';

export const linkIdSchema = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,62}~[a-z0-9][a-z0-9-]{0,62}$/, 'two names of sites with a tilde between')
  .meta({ id: 'LinkId', description: 'Both sites, in alphabetical order, with a tilde between: `lisbon~porto`.' });

const rateBitsPerSec = z.int().min(1_000).nullable();

/** One direction, as the gateways measured it last. */
export const linkMeasurementSchema = z
  .object({
    source: slugSchema,
    destination: slugSchema,
    rttMinMs: z.number(),
    rttMedianMs: z.number(),
    goodputBitsPerSec: z.number().nullable(),
    lossPct: z
      .number()
      .nullable()
      .describe(
        'What was sent again while no queue showed; null: not known. Drops under the test’s own load do not count.',
      ),
    mtuBytes: z.int().nullable(),
    measuredBy: z.enum(['test', 'migration']).describe('A test of the link, or the first moments of a migration.'),
    measuredAt: timestampSchema,
  })
  .meta({ id: 'LinkMeasurement' });

export const linkSchema = z
  .object({
    id: linkIdSchema,
    sites: z.tuple([slugSchema, slugSchema]),
    rateBitsPerSec: rateBitsPerSec.describe('What the link is said to carry, as somebody set it; null: not set.'),
    limits: trafficLimitsSchema,
    measurements: z.array(linkMeasurementSchema).describe('The newest of each direction.'),
    running: z.int().describe('Migrations that hold a place on it now, in both directions.'),
  })
  .meta({ id: 'Link' });

/** What is not named stays as it is. */
export const linkChangeSchema = z
  .strictObject({ rateBitsPerSec: rateBitsPerSec.optional(), limits: trafficLimitsSchema.partial().optional() })
  .meta({
    id: 'LinkChange',
    examples: [{ rateBitsPerSec: 1_000_000_000, limits: { maxMigrations: 2, bandwidthBytesPerSec: 100_000_000 } }],
  });

export const linkTestInputSchema = z
  .strictObject({ source: slugSchema, destination: slugSchema, durationMs: z.int().min(0).max(30_000).default(5_000) })
  .refine(({ source, destination }) => source !== destination, {
    path: ['destination'],
    error: 'must be another site than the source',
  })
  .meta({ id: 'LinkTestRequest', examples: [{ source: 'lisbon', destination: 'porto', durationMs: 5_000 }] });
export const linkTestSchema = z
  .object({
    source: slugSchema,
    destination: slugSchema,
    listener: slugSchema.describe('Which site accepted the tunnel’s connections.'),
    port: portSchema,
    rttMinMs: z.number(),
    rttMedianMs: z.number(),
    goodputBitsPerSec: z.number().nullable(),
    mtuBytes: z.int().nullable(),
    lossPct: z
      .number()
      .nullable()
      .describe(
        'What was sent again while no queue showed; null: not known. Drops under the test’s own load do not count.',
      ),
    clockOffsetMs: z.number(),
    findings: z.array(findingSchema),
  })
  .meta({ id: 'LinkTest' });
