/**
 * The log that stays with a migration's record.
 */
import { z } from 'zod';
import { timestampSchema } from './common.ts';

export const migrationLogEntrySchema = z
  .object({
    at: timestampSchema,
    level: z.enum(['info', 'warn', 'error']),
    run: z.int().nullable().describe('Which run wrote it; null where it was not a run.'),
    message: z.string(),
    error: z.object({ code: z.string(), message: z.string() }).nullable(),
    fields: z.record(z.string(), z.unknown()).describe('What else the line says; secrets are not in it.'),
  })
  .meta({ id: 'MigrationLogEntry' });

export const migrationLogSchema = z
  .object({ items: z.array(migrationLogEntrySchema).describe('The oldest first.') })
  .meta({ id: 'MigrationLog' });

export type MigrationLogEntry = z.infer<typeof migrationLogEntrySchema>;
export type LogLevel = MigrationLogEntry['level'];

export const parseLogEntry = (json: string): MigrationLogEntry => migrationLogEntrySchema.parse(JSON.parse(json));
