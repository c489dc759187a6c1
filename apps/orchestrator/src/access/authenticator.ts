/**
 * Tells who calls, by whatever was sent as a bearer: an API key, or a token of the identity provider if one is configured.
 */
import { LmasError } from '../errors.ts';
import type { ApiKeys } from './api-keys.ts';
import { isToken, type TokenVerifier } from './oidc.ts';
import type { Principal } from './principal.ts';
import type { Projects } from './projects.ts';

/** Which of these it is would tell a stranger what is on record. */
const NOT_ACCEPTED = 'What was sent is not accepted: no such key is known here, or it has expired or was revoked.';

export interface Authenticator {
  /** @throws LmasError UNAUTHENTICATED; FORBIDDEN; UNAVAILABLE when it cannot be told now */
  authenticate(login: string): Promise<Principal>;
}

export function createAuthenticator(apiKeys: ApiKeys, projects: Projects, tokens?: TokenVerifier): Authenticator {
  return {
    async authenticate(login) {
      if (tokens !== undefined && isToken(login)) return await requireProject(await tokens.verify(login), projects);
      const holder = await apiKeys.verify(login);
      if (holder === undefined) throw new LmasError('UNAUTHENTICATED', NOT_ACCEPTED);
      return holder;
    },
  };
}

/** A provider may name projects that nobody has registered. */
async function requireProject(holder: Principal, projects: Projects): Promise<Principal> {
  const { project } = holder;
  if (project === null) return holder;
  try {
    await projects.get(project, project);
    return holder;
  } catch (cause) {
    if (!(cause instanceof LmasError && cause.code === 'PROJECT_NOT_FOUND')) throw cause;
    throw new LmasError('FORBIDDEN', `The token is for the project ${project}, which is not registered here.`, {
      cause,
    });
  }
}
