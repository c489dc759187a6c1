/**
 * Tells who calls, by whatever was sent as a bearer: an API key, or a token of the identity provider if one is configured.
 */
import type { ApiKeys } from './api-keys.ts';
import type { Principal } from './principal.ts';

export interface Authenticator {
  /** undefined: nobody that is known, any more or at all. @throws LmasError UNAVAILABLE when it cannot be told now */
  authenticate(login: string): Promise<Principal | undefined>;
}

export const createAuthenticator = (apiKeys: ApiKeys): Authenticator => ({
  authenticate: (login) => apiKeys.verify(login),
});
