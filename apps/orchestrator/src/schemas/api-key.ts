/**
 * API keys: the key itself is shown once, in the answer to the call that made it.
 */
import { z } from 'zod';
import { ROLES } from '../access/principal.ts';
import { slugSchema, timestampSchema } from './common.ts';

export const roleSchema = z.enum(ROLES).meta({
  id: 'Role',
  description: 'viewer looks, operator moves VMs, admin also says who may; each may what those before it may.',
});

export const apiKeyIdSchema = z
  .string()
  .regex(/^[a-z0-9]{12}$/, '12 letters and digits, as the list of keys shows it')
  .meta({ id: 'ApiKeyId', description: 'The part of the key between its first two underscores: lmas_<id>_….' });

const operations = z
  .array(z.string().max(100))
  .min(1)
  .max(200)
  .nullable()
  .describe('The only operations (operationId in this document) that it may call; null: all that its role may.');

export const apiKeyInputSchema = z
  .strictObject({
    name: z.string().min(1).max(100).describe('For people: whose it is and what for.'),
    role: roleSchema,
    project: slugSchema
      .nullable()
      .optional()
      .describe('The project that it is bound to; null: none, it sees everything. Default: as the caller.'),
    operations: operations.default(null),
    expiresAt: timestampSchema.nullable().default(null).describe('null: never.'),
  })
  .meta({
    id: 'ApiKeyRequest',
    examples: [{ name: 'portal', role: 'operator', operations: null, expiresAt: '2030-01-01T00:00:00.000Z' }],
  });

export const apiKeySchema = z
  .object({
    id: apiKeyIdSchema,
    name: z.string(),
    role: roleSchema,
    project: slugSchema.nullable(),
    operations,
    createdAt: timestampSchema,
    createdBy: z.string(),
    expiresAt: timestampSchema.nullable(),
    lastUsedAt: timestampSchema.nullable().describe('To the minute.'),
    rotatedAt: timestampSchema.nullable(),
    formerValidUntil: timestampSchema.nullable().describe('Until when the key of before the rotation is accepted too.'),
    revokedAt: timestampSchema.nullable(),
  })
  .meta({ id: 'ApiKey' });

export const newApiKeySchema = apiKeySchema
  .extend({ key: z.string().describe('Shown this once; only its hash is kept.') })
  .meta({ id: 'NewApiKey' });

const DAY_MS = 24 * 3_600_000;
export const apiKeyRotationSchema = z
  .strictObject({
    graceMs: z
      .int()
      .min(0)
      .max(30 * DAY_MS)
      .default(DAY_MS)
      .describe('How long the former key is accepted beside the new one.'),
  })
  .meta({ id: 'ApiKeyRotation', examples: [{ graceMs: 3_600_000 }] });

/** Who the caller is, as far as the orchestrator is concerned. */
export const callerSchema = z
  .object({
    kind: z.enum(['api-key', 'oidc']),
    id: z.string(),
    name: z.string(),
    role: roleSchema,
    project: slugSchema.nullable(),
    operations,
  })
  .meta({ id: 'Caller' });
