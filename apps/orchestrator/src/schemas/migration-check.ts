/**
 * The checks of a migration without the migration.
 */
import { z } from 'zod';
import { findingSchema } from './finding.ts';

/** `POST /v1/migration-checks`: the same checks as the real run, and nothing else. */
export const migrationCheckSchema = z
  .object({
    ok: z.boolean(),
    findings: z.array(findingSchema),
    memoryBytes: z.int(),
    diskBytes: z.int(),
  })
  .meta({ id: 'MigrationCheck' });
