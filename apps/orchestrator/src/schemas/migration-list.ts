/**
 * Lists of migrations, and what they can be filtered by.
 */
import { z } from 'zod';
import { slugSchema, timestampSchema } from './common.ts';
import { correlationIdSchema, migrationSchema, phaseSchema } from './migration.ts';

const labelFilter = z
  .string()
  .max(256)
  .regex(/^[a-z0-9][a-z0-9._/-]{0,62}=/, 'name=value');

export const migrationListQuerySchema = z.strictObject({
  phase: phaseSchema.optional(),
  site: slugSchema.optional().describe('From or to this site.'),
  endpoint: slugSchema.optional().describe('From or to this endpoint.'),
  vm: z.string().min(1).max(256).optional().describe('Id or name of the VM.'),
  label: z
    .union([labelFilter, z.array(labelFilter).max(8)])
    .optional()
    .describe('`name=value`; given several times, all of them.'),
  correlationId: correlationIdSchema.optional(),
  needs: z
    .enum(['person'])
    .optional()
    .describe(
      '`person`: only those that a person has to look after: `byHand` says what to do and nobody has said that it is done, or the `teardown` is `incomplete`.',
    ),
  createdAfter: timestampSchema.optional().describe('Created at this time or later.'),
  createdBefore: timestampSchema.optional().describe('Created before this time.'),
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: z.string().max(512).optional().describe('`nextCursor` of the page before, with the same filters.'),
});
export const migrationListSchema = z
  .object({ items: z.array(migrationSchema), nextCursor: z.string().nullable() })
  .meta({ id: 'MigrationList', description: 'Newest first.' });
