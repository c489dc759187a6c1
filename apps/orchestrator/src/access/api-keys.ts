/**
 * API keys: `lmas_<id>_<256 random bits>`. The id is there for recognition and look-up; of the rest Redis has only the
 * SHA-256. A revoked key stays on record, so that its id never comes back. Every change is a compare-and-set: a rotation
 * cannot undo a revocation that came in between.
 */
import { randomBytes, randomInt } from 'node:crypto';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { LmasError } from '../errors.ts';
import { now } from '../migrations/record.ts';
import { keys } from '../redis/keys.ts';
import { type FieldChange, replaceField, replaceFields } from '../redis/replace-field.ts';
import { readStored, rewriteStored } from '../redis/stored-json.ts';
import { type apiKeyInputSchema, apiKeySchema, type newApiKeySchema } from '../schemas/api-key.ts';
import { digest, matchesDigest } from './digest.ts';
import { type Principal, projectSees } from './principal.ts';

const SECRET_BYTES = 32;
const ID_LENGTH = 12;
const ID_ALPHABET = 'abcdefghijklmnopqrstuvwxyz0123456789';
const KEY_PATTERN = new RegExp(`^lmas_([a-z0-9]{${ID_LENGTH}})_[A-Za-z0-9_-]{43}$`);
/** How exactly the last use is known; a write for every call would cost more than it tells. */
const LAST_USE_STEP_MS = 60_000;

export type ApiKeyInfo = z.infer<typeof apiKeySchema>;
export type NewApiKey = z.infer<typeof newApiKeySchema>;
export type ApiKeyInput = Omit<z.output<typeof apiKeyInputSchema>, 'project'> & { readonly project: string | null };

const storedKeySchema = apiKeySchema
  .omit({ lastUsedAt: true })
  .extend({ hash: z.string(), formerHash: z.string().nullable() });
type StoredKey = z.infer<typeof storedKeySchema>;

export interface ApiKeys {
  /** Whose key this is; undefined when it is unknown, revoked or expired. */
  verify(key: string): Promise<Principal | undefined>;
  /** @throws LmasError INVALID_REQUEST for one that has expired already */
  create(input: ApiKeyInput, createdBy: string): Promise<NewApiKey>;
  /**
   * Puts a key that somebody made beforehand on record. False when its id is known already, revoked or not.
   * @param beside a change that is made in the same step; where it cannot be, the answer is false as well
   */
  register(key: string, input: ApiKeyInput, createdBy: string, beside?: FieldChange): Promise<boolean>;
  /** Those that somebody bound to `project` sees. */
  list(project: string | null): Promise<ApiKeyInfo[]>;
  /** @throws LmasError API_KEY_NOT_FOUND */
  get(id: string, project: string | null): Promise<ApiKeyInfo>;
  /** A new key under the same id; the former one is accepted for `graceMs` more. @throws LmasError API_KEY_NOT_FOUND, ALREADY_ENDED */
  rotate(id: string, project: string | null, graceMs: number): Promise<NewApiKey>;
  /** From now on it is refused. Idempotent. @throws LmasError API_KEY_NOT_FOUND */
  revoke(id: string, project: string | null): Promise<void>;
}

const newSecret = (id: string): string => `lmas_${id}_${randomBytes(SECRET_BYTES).toString('base64url')}`;
const newId = (): string =>
  Array.from({ length: ID_LENGTH }, () => ID_ALPHABET[randomInt(ID_ALPHABET.length)]).join('');

/** A key that is on record nowhere yet. */
export const generateApiKey = (): string => newSecret(newId());

export const isUsable = ({ revokedAt, expiresAt }: Pick<ApiKeyInfo, 'revokedAt' | 'expiresAt'>): boolean =>
  revokedAt === null && (expiresAt === null || Date.parse(expiresAt) > Date.now());

export function createApiKeys(redis: Redis): ApiKeys {
  const noted = new Map<string, number>();
  const noteUse = (id: string): void => {
    if (Date.now() - (noted.get(id) ?? 0) < LAST_USE_STEP_MS) return;
    noted.set(id, Date.now());
    redis.hset(keys.apiKeyUses, id, now()).catch(() => noted.delete(id)); // the next use tries again
  };
  const load = async (id: string): Promise<{ json: string; key: StoredKey } | undefined> => {
    const json = await redis.hget(keys.apiKeys, id);
    return json === null ? undefined : { json, key: readStored(storedKeySchema, json) };
  };
  const find = async (id: string, project: string | null) => {
    const found = await load(id);
    if (found !== undefined && projectSees(project, found.key.project)) return found;
    throw new LmasError('API_KEY_NOT_FOUND', `There is no API key ${id}.`);
  };
  /** Applies a change to the newest version, again when somebody else was quicker. */
  const change = async (id: string, project: string | null, apply: (key: StoredKey) => StoredKey) => {
    for (;;) {
      const { json, key } = await find(id, project);
      const changed = apply(key);
      if (await replaceField(redis, keys.apiKeys, id, json, rewriteStored(storedKeySchema, json, changed)))
        return changed;
    }
  };
  const add = async (
    key: string,
    input: ApiKeyInput,
    createdBy: string,
    beside: readonly FieldChange[] = [],
  ): Promise<StoredKey | undefined> => {
    const id = KEY_PATTERN.exec(key)?.[1];
    if (id === undefined) return undefined;
    const { name, role, project, operations, expiresAt } = input;
    const stored: StoredKey = {
      ...{ id, name, role, project, operations, expiresAt, createdBy, createdAt: now(), hash: digest(key) },
      ...{ rotatedAt: null, formerHash: null, formerValidUntil: null, revokedAt: null },
    };
    const added: FieldChange = { hash: keys.apiKeys, field: id, before: null, after: JSON.stringify(stored) };
    return (await replaceFields(redis, [added, ...beside])) ? stored : undefined;
  };

  return {
    async verify(given) {
      const id = KEY_PATTERN.exec(given)?.[1];
      const key = id === undefined ? undefined : (await load(id))?.key;
      const opened = key === undefined || !isUsable(key) ? undefined : opens(given, key);
      if (key === undefined || opened === undefined) return undefined;
      noteUse(key.id);
      const { name, role, project, operations } = key;
      return { kind: 'api-key', id: key.id, name, role, project, operations, ...opened };
    },
    async create(input, createdBy) {
      if (input.expiresAt !== null && Date.parse(input.expiresAt) <= Date.now()) {
        const issues = [{ path: 'expiresAt', message: 'has passed: such a key would open nothing' }];
        throw new LmasError('INVALID_REQUEST', undefined, { issues });
      }
      const key = generateApiKey();
      const stored = await add(key, input, createdBy);
      if (stored === undefined) throw new LmasError('INTERNAL', 'An id that was drawn at random is taken.');
      return { ...publicPart(stored, null), key };
    },
    async register(key, input, createdBy, beside) {
      return (await add(key, input, createdBy, beside === undefined ? [] : [beside])) !== undefined;
    },
    async list(project) {
      const [all, uses] = [await redis.hvals(keys.apiKeys), await redis.hgetall(keys.apiKeyUses)];
      return all
        .map((json) => readStored(storedKeySchema, json))
        .filter((key) => projectSees(project, key.project))
        .map((key) => publicPart(key, uses[key.id] ?? null))
        .sort((a, b) => (a.createdAt < b.createdAt ? -1 : 1));
    },
    async get(id, project) {
      const { key } = await find(id, project);
      return publicPart(key, await redis.hget(keys.apiKeyUses, id));
    },
    async rotate(id, project, graceMs) {
      const secret = newSecret(id);
      const stored = await change(id, project, (key) => {
        if (!isUsable(key)) throw new LmasError('ALREADY_ENDED', `API key ${id} is revoked or has expired.`);
        const validUntil = new Date(Date.now() + graceMs).toISOString();
        return { ...key, hash: digest(secret), rotatedAt: now(), formerHash: key.hash, formerValidUntil: validUntil };
      });
      return { ...publicPart(stored, await redis.hget(keys.apiKeyUses, id)), key: secret };
    },
    async revoke(id, project) {
      await change(id, project, (key) => ({ ...key, revokedAt: key.revokedAt ?? now() }));
    },
  };
}

/** How long it opens, if it does. Both hashes are compared, always, so that the time tells nothing. */
function opens(
  given: string,
  { hash, formerHash, formerValidUntil: until, expiresAt }: StoredKey,
): Pick<Principal, 'expiresAt' | 'isFormer'> | undefined {
  const isCurrent = matchesDigest(given, hash);
  const isFormer = matchesDigest(given, formerHash ?? hash);
  if (isCurrent) return { expiresAt };
  if (!isFormer || until === null || Date.parse(until) <= Date.now()) return undefined;
  const endsFirst = expiresAt !== null && Date.parse(expiresAt) < Date.parse(until);
  return { expiresAt: endsFirst ? expiresAt : until, isFormer };
}

const publicPart = ({ hash: _, formerHash: __, ...key }: StoredKey, lastUsedAt: string | null): ApiKeyInfo => ({
  ...key,
  lastUsedAt,
});
