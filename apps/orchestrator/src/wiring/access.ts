/** Secrets, and who may call: made from the settings and Redis, and complete before anybody can ask. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type ApiKeys, createApiKeys } from '../access/api-keys.ts';
import { type Authenticator, createAuthenticator } from '../access/authenticator.ts';
import { ensureAdminKey } from '../access/first-key.ts';
import { type KeyRing, type MasterKeySource, openKeyRing } from '../access/master-keys.ts';
import { createTokenVerifier } from '../access/oidc.ts';
import { type OidcConfig, readOidcConfig } from '../access/oidc-config.ts';
import { createProjects, type Projects } from '../access/projects.ts';
import { createRotation, type Rotation, refuseToStartAnew } from '../access/rotation.ts';
import { createSealingKey } from '../access/sealing-key.ts';
import { createVault, type Vault } from '../access/vault.ts';
import type { Config } from '../config.ts';
import { LmasError } from '../errors.ts';
import type { Base } from './base.ts';
import type { Connections } from './connections.ts';

export interface Secrets {
  readonly keyRing: KeyRing;
  readonly vault: Vault;
}

/** `undefined`: the key has to be made first (`makeKeys`). @throws LmasError MASTER_KEY_INVALID, INVALID_CONFIG */
export async function findKeys(config: Config): Promise<KeyRing | undefined> {
  const source = masterKeySource(config);
  return isToBeMade(source) ? undefined : await openKeyRing(source);
}

/**
 * Makes the key, unless one is missing that is needed.
 * @throws LmasError MASTER_KEY_INVALID, MASTER_KEY_NOT_WRITTEN, INVALID_CONFIG
 */
export async function makeKeys(config: Config, { work }: Pick<Connections, 'work'>): Promise<KeyRing> {
  const source = masterKeySource(config);
  if (source.kind === 'file') await refuseToStartAnew(work, source.path);
  return await openKeyRing(source);
}

export const secretsUnder = (keyRing: KeyRing, { calls }: Pick<Connections, 'calls'>): Secrets => ({
  keyRing,
  vault: createVault(keyRing, createSealingKey(calls, keyRing)), // people have secrets sealed
});

const isToBeMade = (source: MasterKeySource): boolean =>
  source.kind === 'file' && source.create && !existsSync(source.path);

export interface Access {
  readonly apiKeyFile: string;
  readonly apiKeys: ApiKeys;
  readonly projects: Projects;
  readonly rotation: Rotation;
  readonly authenticator: Authenticator;
  /** The identity provider whose tokens are accepted, if any. */
  readonly oidc: OidcConfig | undefined;
}

export async function openAccess(
  { config, log }: Base,
  { calls, work }: Connections,
  { keyRing, vault }: Secrets,
): Promise<Access> {
  // A rotation that a crash broke off is finished, and is not in the way of the rest.
  await createRotation(work, keyRing, vault, log)
    .resume()
    .catch((error: unknown) => log.error({ err: error }, 'secrets could not be sealed anew'));
  const oidc = config.oidcFile === undefined ? undefined : await readOidcConfig(config.oidcFile);
  const tokens = oidc === undefined ? undefined : createTokenVerifier(oidc);
  const apiKeyFile = join(config.dataDir, 'api-key');
  await ensureAdminKey(work, createApiKeys(work), apiKeyFile, {
    ...{ otherWaysIn: tokens !== undefined, log },
    show: process.stderr.isTTY ? showFirstKey : undefined,
  });
  const [apiKeys, projects] = [createApiKeys(calls), createProjects(calls)];
  return {
    ...{ apiKeyFile, apiKeys, projects, oidc },
    rotation: createRotation(calls, keyRing, vault, log),
    authenticator: createAuthenticator(apiKeys, projects, tokens),
  };
}

/** Between the lines of the log, which may go elsewhere. */
function showFirstKey(key: string, path: string): void {
  process.stderr.write(
    `\nAPI key of role admin, shown this once: ${key}\nIt is also in ${path}, where lmas finds it.\n\n`,
  );
}

/** @throws LmasError INVALID_CONFIG when there are several */
function masterKeySource(config: Config): MasterKeySource {
  const { masterKey: text, masterKeyFile: path, masterKeyCommand: command } = config;
  const sources: MasterKeySource[] = [
    ...(text === undefined ? [] : [{ kind: 'environment' as const, text }]),
    ...(path === undefined ? [] : [{ kind: 'file' as const, path, create: false }]),
    ...(command === undefined ? [] : [{ kind: 'command' as const, command }]),
  ];
  if (sources.length > 1) {
    throw new LmasError(
      'INVALID_CONFIG',
      'Only one of LMAS_MASTER_KEY, LMAS_MASTER_KEY_FILE and LMAS_MASTER_KEY_COMMAND can be set.',
    );
  }
  return sources[0] ?? { kind: 'file', path: join(config.dataDir, 'master-key'), create: true };
}
