/**
 * Which master key everybody seals with: its id is on record. Whoever sealed with the key that was first when it read its source could go on
 * with one that two rotations have taken out of it meanwhile, and once that process has ended nobody would open what it sealed. So it is
 * looked up here for each secret, the source is read again for a key that is not known yet, and no other one seals. A rotation lets go of no
 * key that seals or did so just before, which leaves time to store what was being sealed. It owns nothing.
 */
import type { Redis } from 'ioredis';
import { LmasError } from '../errors.ts';
import { keys } from '../redis/keys.ts';
import { replaceFields } from '../redis/replace-field.ts';
import type { KeyRing, MasterKey } from './master-keys.ts';

const FIELD = 'sealing';

export interface SealingKey {
  /** Its id, null while none is on record: then the first of the ring seals. No key: the source does not give it. */
  find(): Promise<{ readonly id: string | null; readonly key: MasterKey | undefined }>;
  /** @throws LmasError MASTER_KEY_INVALID when the source does not give it */
  get(): Promise<MasterKey>;
  /** Puts the first of the ring in the place of `former`; false when another one seals by now. */
  replace(former: string | null): Promise<boolean>;
}

export function createSealingKey(redis: Redis, ring: KeyRing): SealingKey {
  const find = async () => {
    const id = await redis.hget(keys.masterKey, FIELD);
    if (id !== null && ring.find(id) === undefined) await ring.reload();
    return { id, key: id === null ? ring.current() : ring.find(id) };
  };
  return {
    find,
    async get() {
      const { id, key } = await find();
      if (key !== undefined) return key;
      throw new LmasError(
        'MASTER_KEY_INVALID',
        `Secrets are sealed with the master key ${id} now, and it is not among those from the ${ring.kind} of this process.`,
        {
          remedy:
            'Give this process the keys that the others have, and start it again if they come from its environment. Where that key is lost for good: `lmas master-key rotate`.',
        },
      );
    },
    replace: (former) =>
      replaceFields(redis, [{ hash: keys.masterKey, field: FIELD, before: former, after: ring.current().id }]),
  };
}
