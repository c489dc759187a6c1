/**
 * Versions of the records in Redis (upgrades/store-version.ts says what each brought), and what is not for earlier ones.
 *
 * A record on which a version that is too old would act wrongly is kept from it twice: the record itself is stored so that a process
 * of such a version that runs still cannot read it (stored-json.ts), and none can be started any more from the step before.
 */
import type { Redis } from 'ioredis';
import { keys } from './keys.ts';
import { keptScript } from './script.ts';

/** What this program reads and writes. */
export const STORE_VERSION = 4;
/** The first version that has drills: an earlier one does not know the field that makes one, and would move the VM. */
export const DRILLS_SINCE = 3;
/** The first version that moves VMs which are powered off: an earlier one would look for them running, and claim more than it knows. */
export const RELOCATIONS_SINCE = 4;

/** The oldest version that understands such a request, where that is not every one. */
export function readableFromOf({ drill, powerState }: { drill: unknown; powerState: string }): number | undefined {
  if (powerState === 'off') return RELOCATIONS_SINCE;
  return drill === null ? undefined : DRILLS_SINCE;
}

/** Never lowered. KEYS: store. ARGV: the oldest version that can read it now */
const RAISE = keptScript(`
  local from = tonumber(redis.call('HGET', KEYS[1], 'readableFrom') or '1')
  if from < tonumber(ARGV[1]) then redis.call('HSET', KEYS[1], 'readableFrom', ARGV[1]) end
  return 'OK'
`);

/** From here on no version before `readableFrom` can be started. Await it before such a record is stored; safe to repeat. */
export async function leaveEarlierVersionsOut(redis: Redis, readableFrom: number): Promise<void> {
  await RAISE(redis, [keys.store], [readableFrom]);
}
