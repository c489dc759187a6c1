/**
 * How much may run at once, and how fast: of the whole, of a link, of a site, of an endpoint.
 */
import { z } from 'zod';
import { bandwidthSchema } from './common.ts';

export const maxMigrationsSchema = z
  .int()
  .min(0)
  .max(100_000)
  .nullable()
  .describe('How many migrations may run at once; null is unlimited, 0 lets none begin.');

/** Of a site, or of an endpoint. */
export const placeLimitsSchema = z
  .strictObject({ maxMigrations: maxMigrationsSchema })
  .meta({ id: 'PlaceLimits', examples: [{ maxMigrations: 4 }, { maxMigrations: null }] });

/** Of a link, or of the whole installation. */
export const trafficLimitsSchema = z
  .strictObject({
    maxMigrations: maxMigrationsSchema,
    bandwidthBytesPerSec: bandwidthSchema.describe(
      'Bytes per second, shared fairly by the migrations that run; null is unlimited.',
    ),
  })
  .meta({ id: 'TrafficLimits' });
