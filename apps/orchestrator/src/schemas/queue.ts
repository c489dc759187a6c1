/**
 * The queue: what waits, what runs, what holds it back.
 */
import { z } from 'zod';
import { timestampSchema } from './common.ts';
import { trafficLimitsSchema } from './limits.ts';

export const queueSchema = z
  .object({
    pausedAt: timestampSchema.nullable().describe('Since when nothing new is started; null while it is not paused.'),
    waiting: z.int().describe('Migrations that wait for their turn.'),
    running: z.int().describe('Migrations that hold a place.'),
    limits: trafficLimitsSchema.describe('Of the whole installation.'),
  })
  .meta({ id: 'Queue' });

/** What is not named stays as it is. Takes effect at once, and on what waits only: nothing that runs is stopped. */
export const queueChangeSchema = z
  .strictObject({ paused: z.boolean().optional(), limits: trafficLimitsSchema.partial().optional() })
  .meta({ id: 'QueueChange', examples: [{ paused: true }, { limits: { maxMigrations: 20 } }] });

export const queueOrderQuerySchema = z.strictObject({
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: z.string().max(512).optional().describe('`nextCursor` of the page before.'),
});

/** Why a migration that waits in the queue does not run yet. */
export const waitingSchema = z
  .object({
    place: z
      .int()
      .describe('Its place in the order, from 1. One further back may start earlier if it needs other places.'),
    reason: z.string().describe('In words: `waits for a place: site a allows 2`.'),
    blockedBy: z
      .array(
        z.object({
          kind: z.enum(['paused', 'total', 'project', 'site', 'link', 'endpoint', 'host-pair', 'gateway-address']),
          id: z
            .string()
            .nullable()
            .describe(
              'Which project, site, link, endpoint or pair of hosts; for `gateway-address` the site whose gateway machine has them.',
            ),
          limit: z.int().nullable(),
        }),
      )
      .describe('Every limit that holds it back now; none: it is the turn of others, or of a free worker.'),
  })
  .meta({ id: 'Waiting' });
