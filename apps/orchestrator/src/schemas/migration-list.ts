/**
 * Lists of migrations.
 */
import { z } from 'zod';
import { slugSchema } from './common.ts';
import { migrationSchema, phaseSchema } from './migration.ts';

export const migrationListQuerySchema = z.strictObject({
  phase: phaseSchema.optional(),
  vm: z.string().optional(),
  endpoint: slugSchema.optional(),
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: z.string().optional(),
});
export const migrationListSchema = z
  .object({ items: z.array(migrationSchema), nextCursor: z.string().nullable() })
  .meta({ id: 'MigrationList', description: 'Newest first.' });
