/**
 * Credentials: secrets go in and never come out.
 */
import { z } from 'zod';
import { slugSchema, timestampSchema } from './common.ts';

export const credentialInputSchema = z
  .discriminatedUnion('kind', [
    z.strictObject({
      id: slugSchema,
      kind: z.literal('ssh-key'),
      username: z.string().min(1),
      privateKey: z.string().min(1),
      passphrase: z.string().optional(),
    }),
    z.strictObject({
      id: slugSchema,
      kind: z.literal('password'),
      username: z.string().min(1),
      password: z.string().min(1),
    }),
  ])
  .meta({ id: 'CredentialRequest' });
/** Secrets go in and never come out. */
export const credentialSchema = z
  .object({
    id: slugSchema,
    kind: z.enum(['ssh-key', 'password']),
    username: z.string(),
    project: slugSchema.nullable().default(null).describe('Whose it is; null: the installation’s.'),
    createdAt: timestampSchema,
  })
  .meta({ id: 'Credential' });
