/**
 * What those hear who follow all migrations, by webhook or by `GET /v1/events`: that something happened, and to which.
 * Short on purpose; `GET /v1/migrations/:id` has the rest.
 */
import { z } from 'zod';
import { timestampSchema } from './common.ts';
import { migrationSchema } from './migration.ts';

export const migrationSummarySchema = migrationSchema
  .pick({
    id: true,
    project: true,
    purpose: true,
    vm: true,
    source: true,
    destination: true,
    phase: true,
    where: true,
    teardown: true,
    createdAt: true,
    endedAt: true,
    error: true,
    byHand: true,
  })
  .extend(migrationSchema.shape.request.pick({ labels: true, correlationId: true }).shape)
  .meta({ id: 'MigrationSummary' });

export const NOTICE_TYPES = ['phase', 'cancel-requested', 'end'] as const;

export const migrationNoticeSchema = z
  .object({
    at: timestampSchema,
    type: z.enum(NOTICE_TYPES),
    message: z.string(),
    migration: migrationSummarySchema.describe('As of this notice.'),
  })
  .meta({ id: 'MigrationNotice' });
