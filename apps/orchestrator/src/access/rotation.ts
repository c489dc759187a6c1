/**
 * Rotation of the master key: a new key, then everything sealed anew under it, value by value, each by compare-and-set.
 * Wherever this breaks off, every value opens: it names its key, and former keys are kept for as long as any value needs
 * them. What a crash left behind is sealed anew at the next start. It owns nothing.
 */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { z } from 'zod';
import { LmasError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { keys } from '../redis/keys.ts';
import { replaceField } from '../redis/replace-field.ts';
import type { masterKeySchema } from '../schemas/master-key.ts';
import type { KeyRing } from './master-keys.ts';
import { isSealed, keyIdOf, type Vault } from './vault.ts';

/** Every hash that has sealed values in its JSON, and what a value of it is bound to. */
const SEALED_HASHES = [
  { hash: keys.credentials, sealedAs: (field: string) => `credential:${field}` },
  { hash: keys.webhooks, sealedAs: (field: string) => `webhook:${field}` },
];

/** For writing a file; also how long the next one waits when that was broken off. */
const LOCK_MS = 10_000;

export type MasterKeyState = z.infer<typeof masterKeySchema>;

export interface Rotation {
  state(): Promise<MasterKeyState>;
  /** A new key (of a file), or the one that the source names first now; then `resealAll`. @throws LmasError IN_USE */
  rotate(): Promise<MasterKeyState & { resealed: number }>;
  /** Seals anew what is not under the current key. Answers how many values that were. */
  resealAll(): Promise<number>;
}

export function createRotation(redis: Redis, ring: KeyRing, vault: Vault, log: Logger): Rotation {
  const count = async (): Promise<Map<string, number>> => {
    const counts = new Map<string, number>();
    for (const { hash } of SEALED_HASHES) {
      for (const json of await redis.hvals(hash)) {
        await mapSealed(JSON.parse(json), async (sealed) => {
          const id = keyIdOf(sealed) ?? '';
          counts.set(id, (counts.get(id) ?? 0) + 1);
          return sealed;
        });
      }
    }
    return counts;
  };
  const state = async (): Promise<MasterKeyState> => {
    const counts = await count();
    const known = ring.all().map(({ id }) => id);
    const ids = [...new Set([...known, ...counts.keys()])];
    return {
      source: ring.kind,
      current: ring.current().id,
      keys: ids.map((id) => ({ id, values: counts.get(id) ?? 0, known: known.includes(id) })),
    };
  };
  const resealAll = async (): Promise<number> => {
    const current = ring.current().id;
    let resealed = 0;
    for (const { hash, sealedAs } of SEALED_HASHES) {
      for (const [field, json] of Object.entries(await redis.hgetall(hash))) {
        let changed = 0;
        const value = await mapSealed(JSON.parse(json), async (sealed) => {
          if (keyIdOf(sealed) === current) return sealed;
          changed += 1;
          return vault.seal(sealedAs(field), await vault.open(sealedAs(field), sealed));
        });
        // Whoever changed it meanwhile has sealed it with the current key, or the next round finds it.
        if (changed > 0 && (await replaceField(redis, hash, field, json, JSON.stringify(value)))) resealed += changed;
      }
    }
    if (resealed > 0) log.info({ resealed, under: current }, 'secrets were sealed anew under the current master key');
    return resealed;
  };
  return {
    state,
    resealAll,
    async rotate() {
      if (ring.kind === 'file') await renewKey(redis, ring, await count());
      else await ring.reload();
      const resealed = await resealAll();
      return { ...(await state()), resealed };
    },
  };
}

/** Two processes that share the file must not both write it: one of the new keys would be lost. @throws LmasError IN_USE */
async function renewKey(redis: Redis, ring: KeyRing, needed: ReadonlyMap<string, number>): Promise<void> {
  const me = randomUUID();
  if ((await redis.set(keys.rotationLock, me, 'PX', LOCK_MS, 'NX')) === null) {
    throw new LmasError('IN_USE', 'The master key is being renewed just now.');
  }
  try {
    await ring.renew((id) => needed.has(id));
  } finally {
    if ((await redis.get(keys.rotationLock)) === me) await redis.del(keys.rotationLock);
  }
}

/** The same JSON value, with every sealed text in it replaced. */
async function mapSealed(value: unknown, replace: (sealed: string) => Promise<string>): Promise<unknown> {
  if (typeof value === 'string') return isSealed(value) ? await replace(value) : value;
  if (Array.isArray(value)) return await Promise.all(value.map((item) => mapSealed(item, replace)));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(async ([name, item]) => [name, await mapSealed(item, replace)] as const);
  return Object.fromEntries(await Promise.all(entries));
}
