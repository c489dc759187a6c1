/**
 * Bearer tokens of an OpenID provider: signature, issuer, audience and times by jose; role and project by the grants of
 * the configuration. The provider's keys are fetched when they are first needed, kept, and fetched again when they are
 * old or a token names one that is not among them, but never more often than now and then: strangers must not be able to
 * have us hammer the provider.
 */
import { createRemoteJWKSet, customFetch, errors, type JWTPayload, jwtVerify } from 'jose';
import { z } from 'zod';
import { LmasError } from '../errors.ts';
import type { OidcConfig } from './oidc-config.ts';
import type { Principal } from './principal.ts';

const FETCH_TIMEOUT_MS = 5_000;
/** A provider that does not answer is asked again after this, whoever knocks in between. */
const RETRY_MS = 1_000;
const LONGEST_NAME = 100;

const discoverySchema = z.object({ issuer: z.string(), jwks_uri: z.url({ protocol: /^https?$/ }) });
const claimsSchema = z.looseObject({
  sub: z.string().min(1).max(256),
  name: z.string().optional().catch(undefined),
  preferred_username: z.string().optional().catch(undefined),
});

export interface TokenVerifier {
  /**
   * Whose token this is.
   * @throws LmasError UNAUTHENTICATED saying why it is not accepted; FORBIDDEN when it is, and grants nothing;
   * UNAVAILABLE when the provider's keys cannot be had
   */
  verify(token: string): Promise<Principal>;
}

/** Whether this looks like a token: three parts, as RFC 7515 section 7.1 has it. */
export const isToken = (login: string): boolean => /^[\w-]+\.[\w-]+\.[\w-]*$/.test(login);

export function createTokenVerifier(config: OidcConfig): TokenVerifier {
  const fetchKeys = providerFetch();
  let keys: Promise<ReturnType<typeof createRemoteJWKSet>> | undefined;
  const keySet = () => {
    keys ??= findKeySet(config, fetchKeys).catch((error: unknown) => {
      keys = undefined; // the next token tries again
      throw error;
    });
    return keys;
  };
  return {
    async verify(token) {
      try {
        const { payload } = await jwtVerify(token, await keySet(), {
          issuer: config.issuer,
          audience: config.audience,
          algorithms: config.algorithms,
          clockTolerance: config.clockToleranceMs / 1_000,
          requiredClaims: ['sub', 'exp'],
        });
        return principalOf(payload, config);
      } catch (error) {
        throw translate(error);
      }
    },
  };
}

/** Fetches from the provider; after a failure not again at once. @throws LmasError UNAVAILABLE */
function providerFetch() {
  let failedAt = Number.NEGATIVE_INFINITY;
  return async (url: string, options: RequestInit): Promise<Response> => {
    const unavailable = (message: string, cause?: unknown) => {
      const remedy = 'API keys work meanwhile.';
      return new LmasError('UNAVAILABLE', `The keys of the identity provider cannot be had: ${message}.`, {
        remedy,
        cause,
      });
    };
    if (performance.now() - failedAt < RETRY_MS) throw unavailable('it did not answer a moment ago');
    try {
      const response = await fetch(url, { ...options, redirect: 'error' });
      if (response.status !== 200) throw unavailable(`${url} answered ${response.status}`);
      return response;
    } catch (cause) {
      failedAt = performance.now();
      throw cause instanceof LmasError ? cause : unavailable(`${url} does not answer`, cause);
    }
  };
}

async function findKeySet(config: OidcConfig, fetchKeys: ReturnType<typeof providerFetch>) {
  const url = new URL(config.jwksUrl ?? (await discover(config.issuer, fetchKeys)));
  return createRemoteJWKSet(url, {
    timeoutDuration: FETCH_TIMEOUT_MS,
    cacheMaxAge: config.jwksMaxAgeMs,
    cooldownDuration: config.jwksCooldownMs,
    [customFetch]: fetchKeys,
  });
}

/** OpenID Connect Discovery 1.0, section 4. */
async function discover(issuer: string, fetchKeys: ReturnType<typeof providerFetch>): Promise<string> {
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const response = await fetchKeys(url, { signal: AbortSignal.timeout(FETCH_TIMEOUT_MS) });
  const parsed = discoverySchema.safeParse(await response.json().catch(() => undefined));
  if (parsed.success && parsed.data.issuer === issuer) return parsed.data.jwks_uri;
  throw new LmasError('UNAVAILABLE', `${url} does not describe the issuer ${issuer}.`);
}

const REASONS: Readonly<Record<string, string>> = {
  ERR_JWT_EXPIRED: 'The token has expired.',
  ERR_JOSE_ALG_NOT_ALLOWED: 'The token is signed with an algorithm that is not allowed.',
  ERR_JWKS_NO_MATCHING_KEY: 'The token is signed with a key that the identity provider does not know.',
  ERR_JWS_SIGNATURE_VERIFICATION_FAILED: 'The signature of the token is wrong.',
};

/** Faults of the token are the caller's; faults of the provider's keys are ours. */
function translate(error: unknown): unknown {
  if (error instanceof LmasError || !(error instanceof errors.JOSEError)) return error;
  const isProviders = ['ERR_JWKS_TIMEOUT', 'ERR_JWKS_INVALID', 'ERR_JOSE_GENERIC'].includes(error.code);
  if (isProviders) {
    return new LmasError('UNAVAILABLE', 'The keys of the identity provider cannot be had.', { cause: error });
  }
  const isClaim = error instanceof errors.JWTClaimValidationFailed;
  const reason = isClaim ? `The claim ${error.claim} of the token is not accepted.` : REASONS[error.code];
  return new LmasError('UNAUTHENTICATED', reason ?? 'This is no token that can be read.', { cause: error });
}

/** @throws LmasError FORBIDDEN when no grant fits */
function principalOf(payload: JWTPayload, { grants }: OidcConfig): Principal {
  const claims = claimsSchema.safeParse(payload);
  if (!claims.success) throw new LmasError('UNAUTHENTICATED', 'The claim sub of the token is not accepted.');
  const { sub, name, preferred_username } = claims.data;
  for (const { claim, value, role, project } of grants) {
    if (!valuesAt(payload, claim).includes(value)) continue;
    const named = typeof project === 'object' && project !== null ? valuesAt(payload, project.claim)[0] : project;
    // Without the claim that names the project, the grant must not become one for everything.
    if (named === undefined) continue;
    const called = (name ?? preferred_username ?? sub).slice(0, LONGEST_NAME);
    return { kind: 'oidc', id: sub, name: called, role, project: named, operations: null, expiresAt: null };
  }
  throw new LmasError('FORBIDDEN', `The token of ${sub} is valid, and grants nothing here.`, {
    remedy: 'An admin can add a grant for it to the file of LMAS_OIDC_FILE.',
  });
}

/** Every string at a path of claims. */
function valuesAt(payload: JWTPayload, path: string): string[] {
  const read = (value: unknown, names: readonly string[]): unknown => {
    const [first, ...rest] = names;
    if (first === undefined) return value;
    const isObject = typeof value === 'object' && value !== null && Object.hasOwn(value, first);
    return isObject ? read((value as Record<string, unknown>)[first], rest) : undefined;
  };
  // A claim whose own name has dots (https://example.org/roles) is taken as it is.
  const found = Object.hasOwn(payload, path) ? payload[path] : read(payload, path.split('.'));
  return [found].flat().filter((value) => typeof value === 'string');
}
