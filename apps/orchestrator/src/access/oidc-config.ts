/**
 * The settings of the identity provider: a JSON file, because a mapping of claims does not fit into a variable.
 */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { LmasError } from '../errors.ts';
import { slugSchema } from '../schemas/common.ts';
import { ROLES } from './principal.ts';

const LOOPBACK_HOST = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/** Keys of the provider travel over it: nobody may put others in their place. */
const url = z.url({ protocol: /^https?$/ }).refine((text) => {
  const { protocol, hostname } = new URL(text);
  return protocol === 'https:' || LOOPBACK_HOST.test(hostname);
}, 'https, unless it is this very machine');

/** Signatures with a private key only: with a shared secret, whoever can check a token could make one. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'] as const;

const grantSchema = z.strictObject({
  claim: z.string().min(1).describe('Where in the token to look; a dot leads further in: realm_access.roles.'),
  value: z.string().min(1).describe('What has to be there, or among what is there.'),
  role: z.enum(ROLES),
  project: z
    .union([slugSchema, z.strictObject({ claim: z.string().min(1) })])
    .nullable()
    .describe('The project; null: the whole installation; { "claim": … }: the project that the token names there.'),
});

export const oidcConfigSchema = z.strictObject({
  issuer: url,
  audience: z.string().min(1),
  jwksUrl: url.optional().describe('Default: as <issuer>/.well-known/openid-configuration says.'),
  algorithms: z
    .array(z.enum(ALGORITHMS))
    .min(1)
    .default([...ALGORITHMS]),
  clockToleranceMs: z.int().min(0).max(300_000).default(30_000),
  jwksMaxAgeMs: z.int().min(10_000).default(600_000).describe('After this the keys are fetched again.'),
  jwksCooldownMs: z.int().min(0).default(10_000).describe('An unknown key has them fetched again, not more often.'),
  page: z
    .strictObject({
      clientId: z
        .string()
        .min(1)
        .describe('Of a public client that may send people back to https://<orchestrator>/ui/.'),
      scope: z.string().min(1).default('openid'),
      origins: z
        .array(url)
        .default([])
        .describe('Where the provider’s endpoints are, if not at the issuer’s own host and port.'),
    })
    .optional()
    .describe('Offers the login on the web page; its access tokens have to be for `audience`.'),
  grants: z.array(grantSchema).min(1).describe('The first that fits says role and project; who fits none may nothing.'),
});
export type OidcConfig = z.output<typeof oidcConfigSchema>;

/** @throws LmasError INVALID_CONFIG with every complaint */
export async function readOidcConfig(path: string): Promise<OidcConfig> {
  let json: unknown;
  try {
    json = JSON.parse(await readFile(path, 'utf8'));
  } catch (cause) {
    throw new LmasError('INVALID_CONFIG', `LMAS_OIDC_FILE: ${path} cannot be read as JSON.`, { cause });
  }
  const parsed = oidcConfigSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const complaints = parsed.error.issues.map(({ path: where, message }) => `${where.join('.')}: ${message}`);
  throw new LmasError('INVALID_CONFIG', `LMAS_OIDC_FILE: ${path}: ${complaints.join('; ')}`);
}
