/**
 * Rotation of the master key: a new key, then everything sealed anew under it, value by value, each by compare-and-set.
 * Wherever this breaks off, every value opens: it names its key, and former keys are kept for as long as any value needs
 * them. What a crash left behind is sealed anew at the next start. A value that does not open, or a record that cannot be read, stays as
 * it is, is named, and is not in the way of the others; and nobody knows which key it needs, so none goes. It owns nothing.
 */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { describeError, LmasError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { keys } from '../redis/keys.ts';
import { replaceField } from '../redis/replace-field.ts';
import type { masterKeyRotationSchema, masterKeySchema } from '../schemas/master-key.ts';
import type { KeyRing } from './master-keys.ts';
import { createSealingKey, type SealingKey } from './sealing-key.ts';
import { keyIdOf, type Vault } from './vault.ts';

type Each = (sealed: string) => Promise<string>;
interface SealedHash {
  readonly hash: string;
  /** What a value is bound to. */
  readonly sealedAs: (field: string) => string;
  /** The same record, with every sealed value of it replaced. Those only: what else looks like one, somebody has written. */
  readonly map: (record: unknown, each: Each) => Promise<object>;
}

const credentialSchema = z.looseObject({ sealed: z.string() });
const webhookSchema = z.looseObject({
  sealedSecret: z.string(),
  formerSecret: z.looseObject({ sealed: z.string() }).nullable(),
});

/** Every hash that has sealed values in its JSON. */
const SEALED_HASHES: readonly SealedHash[] = [
  {
    hash: keys.credentials,
    sealedAs: (field) => `credential:${field}`,
    async map(json, each) {
      const record = credentialSchema.parse(json);
      return { ...record, sealed: await each(record.sealed) };
    },
  },
  {
    hash: keys.webhooks,
    sealedAs: (field) => `webhook:${field}`,
    async map(json, each) {
      const { sealedSecret, formerSecret: former, ...record } = webhookSchema.parse(json);
      const formerSecret = former === null ? null : { ...former, sealed: await each(former.sealed) };
      return { ...record, sealedSecret: await each(sealedSecret), formerSecret };
    },
  },
];

/** How many values each key has sealed, and records that may need any of them. */
interface Counted {
  readonly counts: ReadonlyMap<string, number>;
  readonly unreadable: number;
}

/** For writing a file; also how long the next one waits when that was broken off. */
const LOCK_MS = 10_000;

export type MasterKeyState = z.infer<typeof masterKeySchema>;
export type MasterKeyRotation = z.infer<typeof masterKeyRotationSchema>;
type Resealed = Pick<MasterKeyRotation, 'resealed' | 'notResealed'>;

export interface Rotation {
  state(): Promise<MasterKeyState>;
  /** A new key (of a file), or the one that the source names first now; then `resealAll`. @throws LmasError IN_USE, MASTER_KEY_NOT_WRITTEN */
  rotate(): Promise<MasterKeyRotation>;
  /**
   * For a start: the key that the source names first seals from now on, and what is under another one is sealed anew.
   * @throws LmasError MASTER_KEY_INVALID when the key that everybody seals with is not known here
   */
  resume(): Promise<Resealed>;
}

async function countSealed(redis: Redis): Promise<Counted> {
  const counts = new Map<string, number>();
  let unreadable = 0;
  for (const { hash, map } of SEALED_HASHES) {
    for (const json of await redis.hvals(hash)) {
      const read = map(parseJson(json), async (sealed) => {
        const id = keyIdOf(sealed) ?? '';
        counts.set(id, (counts.get(id) ?? 0) + 1);
        return sealed;
      });
      await read.catch(() => {
        unreadable += 1;
      });
    }
  }
  return { counts, unreadable };
}

/**
 * Before the first key is made: records that are there already were sealed under one that is missing, and a new one opens none of them.
 * @throws LmasError MASTER_KEY_INVALID
 */
export async function refuseToStartAnew(redis: Redis, path: string): Promise<void> {
  const { counts } = await countSealed(redis);
  if (counts.size === 0) return;
  const values = [...counts.values()].reduce((sum, each) => sum + each, 0);
  const ids = [...counts.keys()].map((id) => id || '(unreadable)').join(', ');
  throw new LmasError(
    'MASTER_KEY_INVALID',
    `There is no master key in ${path}, but the records hold ${values} secrets that are sealed under ${ids}: a new key would open none of them.`,
    {
      remedy: `Put that key there, readable by its owner only, or name its source (LMAS_MASTER_KEY_FILE, LMAS_MASTER_KEY_COMMAND). Lost for good? Make a new one with (umask 077; openssl rand -base64 32 > ${path}), start again, run \`lmas master-key rotate\`, and register anew what \`lmas doctor\` and \`lmas master-key show\` say is lost.`,
    },
  );
}

export function createRotation(redis: Redis, ring: KeyRing, vault: Vault, log: Logger): Rotation {
  const sealingKey = createSealingKey(redis, ring);
  const state = async (): Promise<MasterKeyState> => {
    const { counts } = await countSealed(redis);
    const { id: sealing } = await sealingKey.find();
    const current = sealing ?? ring.current().id;
    const known = ring.all().map(({ id }) => id);
    const ids = [...new Set([...known, current, ...counts.keys()])];
    return {
      source: ring.kind,
      current,
      keys: ids.map((id) => ({ id, values: counts.get(id) ?? 0, known: known.includes(id) })),
    };
  };
  const resealAll = async (): Promise<Resealed> => {
    const { id: current } = await sealingKey.get();
    let resealed = 0;
    const notResealed: string[] = [];
    for (const { hash, sealedAs, map } of SEALED_HASHES) {
      for (const [field, json] of Object.entries(await redis.hgetall(hash))) {
        let changed = 0;
        const sealedAnew = map(parseJson(json), async (sealed) => {
          if (keyIdOf(sealed) === current) return sealed;
          try {
            const anew = await vault.seal(sealedAs(field), await vault.open(sealedAs(field), sealed));
            changed += 1;
            return anew;
          } catch (error) {
            notResealed.push(describeError(error).message);
            return sealed;
          }
        });
        const value = await sealedAnew.catch(() => {
          notResealed.push(`The record of ${sealedAs(field)} cannot be read.`);
          return undefined;
        });
        if (value === undefined) continue;
        // Whoever changed it meanwhile has sealed it with the current key, or the next round finds it.
        if (changed > 0 && (await replaceField(redis, hash, field, json, JSON.stringify(value)))) resealed += changed;
      }
    }
    if (resealed > 0) log.info({ resealed, under: current }, 'secrets were sealed anew under the current master key');
    if (notResealed.length > 0) log.error({ notResealed }, 'some secrets cannot be opened');
    return { resealed, notResealed };
  };
  return {
    state,
    async resume() {
      const { id: former, key } = await sealingKey.find();
      // With secrets under a key that is not known here, the source is one from before, or the key is lost: that is for people to say.
      const mayReplace = key !== undefined || former === null || !(await countSealed(redis)).counts.has(former);
      if (mayReplace) await sealingKey.replace(former);
      return await resealAll();
    },
    async rotate() {
      if (ring.kind === 'file') await renewKey(redis, ring, sealingKey);
      else {
        await ring.reload();
        await sealWithFirst(sealingKey);
      }
      const done = await resealAll();
      return { ...(await state()), ...done };
    },
  };
}

/** What is no JSON is no record either: the schema refuses it. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Two processes that share the file must not both write it: one of the new keys would be lost. @throws LmasError IN_USE */
async function renewKey(redis: Redis, ring: KeyRing, sealingKey: SealingKey): Promise<void> {
  const me = randomUUID();
  if ((await redis.set(keys.rotationLock, me, 'PX', LOCK_MS, 'NX')) === null) {
    throw new LmasError('IN_USE', 'The master key is being renewed just now.');
  }
  try {
    const { counts, unreadable } = await countSealed(redis);
    const { id: sealing } = await sealingKey.find();
    await ring.renew((id) => counts.has(id) || id === sealing || unreadable > 0);
    await sealWithFirst(sealingKey);
  } finally {
    if ((await redis.get(keys.rotationLock)) === me) await redis.del(keys.rotationLock);
  }
}

/** Whatever seals now: somebody has said so. */
async function sealWithFirst(sealingKey: SealingKey): Promise<void> {
  for (;;) {
    const { id } = await sealingKey.find();
    if (await sealingKey.replace(id)) return;
  }
}
