/**
 * Credentials: secrets go in and never come out.
 */
import { z } from 'zod';
import { ownedNameSchema, slugSchema, timestampSchema } from './common.ts';

export const credentialInputSchema = z
  .discriminatedUnion('kind', [
    z.strictObject({
      id: slugSchema,
      kind: z.literal('ssh-key'),
      username: z.string().min(1).max(256),
      privateKey: z.string().min(1).max(32_768).describe('In OpenSSH’s or PEM format. It is read before it is stored.'),
      passphrase: z.string().max(1_024).optional(),
    }),
    z.strictObject({
      id: slugSchema,
      kind: z.literal('password'),
      username: z.string().min(1),
      password: z.string().min(1),
    }),
  ])
  .meta({
    id: 'CredentialRequest',
    examples: [{ id: 'ops', kind: 'password', username: 'lmas', password: 'correct horse battery staple' }],
  });
/** Secrets go in and never come out. */
export const credentialSchema = z
  .object({
    id: ownedNameSchema,
    kind: z.enum(['ssh-key', 'password']),
    username: z.string(),
    project: slugSchema.nullable().default(null).describe('Whose it is; null: the installation’s.'),
    publicKey: z
      .object({ type: z.string(), fingerprint: z.string() })
      .nullable()
      .default(null)
      .describe('Of an SSH key, to find it again in authorized_keys: as ssh-keygen -lf prints it.'),
    createdAt: timestampSchema,
  })
  .meta({
    id: 'Credential',
    examples: [
      {
        id: 'ops',
        kind: 'password',
        username: 'lmas',
        project: null,
        publicKey: null,
        createdAt: '2026-01-01T00:00:00.000Z',
      },
    ],
  });
