/**
 * What a reader of a migration hears.
 */
import { z } from 'zod';
import { timestampSchema } from './common.ts';
import { migrationSchema } from './migration.ts';

/** One server-sent event of `GET /v1/migrations/:id/events`: `id` is its place in the stream, for `Last-Event-ID`. */
export const migrationEventSchema = z
  .object({
    at: timestampSchema,
    type: z.enum(['phase', 'progress', 'finding', 'log', 'error', 'cancel-requested', 'end']),
    message: z.string(),
    migration: migrationSchema.describe(
      'The whole record as of this event; `findings` and `report`, which come once, as they are now.',
    ),
  })
  .meta({ id: 'MigrationEvent' });
