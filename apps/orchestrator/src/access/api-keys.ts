/**
 * API keys. Redis has only their SHA-256 (they are 256 random bits, so a slow hash would add nothing); the first one is
 * made at the first start and left in a private file in the data directory.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Redis } from 'ioredis';
import { keys } from '../redis/keys.ts';
import { createPrivateFile } from './key-files.ts';

const digest = (key: string): Buffer => createHash('sha256').update(key).digest();
/** How long a key that was found valid is believed without asking Redis. */
const BELIEVE_MS = 5_000;

export interface ApiKeys {
  /** Whether this is a valid key. Compared in constant time. */
  verify(key: string): Promise<boolean>;
  /** Makes the first key, in `path`, or registers the one that is there. */
  ensureFirst(path: string): Promise<void>;
}

export function createApiKeys(redis: Redis): ApiKeys {
  let known: Buffer[] = [];
  let knownUntil = 0;
  const load = async (): Promise<Buffer[]> => {
    if (performance.now() >= knownUntil) {
      known = (await redis.hkeys(keys.apiKeys)).map((hex) => Buffer.from(hex, 'hex'));
      knownUntil = performance.now() + BELIEVE_MS;
    }
    return known;
  };
  return {
    async verify(key) {
      const candidate = digest(key);
      let found = false;
      for (const hash of await load()) {
        if (hash.length === candidate.length && timingSafeEqual(hash, candidate)) found = true;
      }
      return found;
    },
    async ensureFirst(path) {
      await createPrivateFile(path, `lmas_${randomBytes(32).toString('base64url')}\n`);
      const key = (await readFile(path, 'utf8')).trim();
      await redis.hsetnx(keys.apiKeys, digest(key).toString('hex'), JSON.stringify({ name: 'first' }));
      knownUntil = 0;
    },
  };
}
