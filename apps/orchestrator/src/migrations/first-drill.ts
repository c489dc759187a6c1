/**
 * A version of this program from before there were drills does not know the field that makes one, and would move the VM. So
 * the records are unreadable for it (upgrades/store-version.ts) from the step before the first drill is stored.
 */
import type { Redis } from 'ioredis';
import { keys } from '../redis/keys.ts';
import { keptScript } from '../redis/script.ts';

/** The first version of the records that has drills. */
export const DRILLS_SINCE = 3;

/** Never lowered. KEYS: store. ARGV: the oldest version that can read it now */
const RAISE = keptScript(`
  local from = tonumber(redis.call('HGET', KEYS[1], 'readableFrom') or '1')
  if from < tonumber(ARGV[1]) then redis.call('HSET', KEYS[1], 'readableFrom', ARGV[1]) end
  return 'OK'
`);

/** Await it before a drill is stored. Safe to repeat. */
export async function leaveEarlierVersionsOut(redis: Redis): Promise<void> {
  await RAISE(redis, [keys.store], [DRILLS_SINCE]);
}
