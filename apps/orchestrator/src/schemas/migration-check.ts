/**
 * The checks of a migration without the migration.
 */
import { z } from 'zod';
import { findingSchema } from './finding.ts';

const span = z
  .object({
    low: z.int(),
    high: z.int().nullable().describe('null: there is no saying; a guest a little busier would not get across.'),
  })
  .nullable();

export const predictionSchema = z
  .object({
    rateBytesPerSec: z.number().nullable().describe('What the link is taken to carry for it; null: not known.'),
    dirtyRateBytesPerSec: z.number().nullable().describe('Its dirty rate; null: its hypervisor does not say.'),
    convergence: z
      .enum(['yes', 'only-slowed-down', 'no', 'unknown'])
      .describe('Whether it gets across by pre-copy: by itself, only with the guest slowed down, or not.'),
    passes: z.int().nullable(),
    durationMs: span.describe('Of moving memory and disks.'),
    downtimeMs: span.describe('How long the guest stands still at the switchover.'),
  })
  .meta({
    id: 'Prediction',
    description: 'A model’s answer, not a promise: see "Predictions" in docs/api.md for the model and its error.',
  });

/** `POST /v1/migration-checks`: the same checks as the real run, and nothing else. */
export const migrationCheckSchema = z
  .object({
    ok: z.boolean(),
    findings: z.array(findingSchema),
    memoryBytes: z.int(),
    diskBytes: z.int(),
    prediction: predictionSchema,
  })
  .meta({ id: 'MigrationCheck' });
