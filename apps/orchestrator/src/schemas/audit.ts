/**
 * The audit log: who changed what, or tried to, and from where.
 */
import { z } from 'zod';
import { slugSchema, timestampSchema } from './common.ts';

export const AUDIT_OUTCOMES = ['done', 'refused', 'failed'] as const;

export const auditEntrySchema = z
  .object({
    id: z.string().describe('Its place in the log.'),
    at: timestampSchema,
    caller: z
      .object({
        kind: z.enum(['api-key', 'oidc']),
        id: z.string(),
        name: z.string(),
        role: z.string(),
        project: slugSchema.nullable(),
      })
      .nullable()
      .describe('null: somebody without a valid login.'),
    operation: z.string().describe('operationId in this document.'),
    method: z.string(),
    target: z.string().describe('The path of what was changed, or of what was called.'),
    outcome: z
      .enum(AUDIT_OUTCOMES)
      .describe('`refused`: nothing was changed. `failed`: the answer was an error of the orchestrator or a far end.'),
    status: z.int().describe('HTTP status of the answer.'),
    code: z.string().nullable().describe('Error code of the answer.'),
    address: z.string(),
    userAgent: z.string().nullable(),
    requestId: z.string().describe('As in the answer’s x-request-id and in the log.'),
  })
  .meta({ id: 'AuditEntry' });

export const auditQuerySchema = z.strictObject({
  strangers: z
    .stringbool()
    .default(false)
    .describe('The other list: attempts without a valid login. They are kept apart, so that they push nothing out.'),
  caller: z.string().max(256).optional().describe('Id of an API key, or subject of a token.'),
  operation: z.string().max(100).optional(),
  outcome: z.enum(AUDIT_OUTCOMES).optional(),
  target: z.string().max(512).optional().describe('Beginning of the path.'),
  since: timestampSchema.optional(),
  until: timestampSchema.optional(),
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: z
    .string()
    .regex(/^\d{1,15}-\d{1,15}$/)
    .optional()
    .describe('`nextCursor` of the page before, with the same filters.'),
});

export const auditListSchema = z
  .object({
    items: z.array(auditEntrySchema),
    nextCursor: z.string().nullable(),
    kept: z
      .object({
        entries: z.int(),
        maxEntries: z
          .int()
          .describe(
            'Of each project, and of callers who are bound to none: when there would be more, the oldest of these go. LMAS_AUDIT_MAX_ENTRIES.',
          ),
        oldestAt: timestampSchema.nullable(),
      })
      .describe('How far back this list reaches.'),
  })
  .meta({ id: 'AuditList', description: 'Newest first.' });
