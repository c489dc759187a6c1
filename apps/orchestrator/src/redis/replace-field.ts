/**
 * Compare and set of one field of a hash: whoever read an older value changes nothing.
 */
import type { Redis } from 'ioredis';
import { script } from './script.ts';

/** KEYS: hash. ARGV: field, expected value, new value */
const REPLACE = script(`
  local value = redis.call('HGET', KEYS[1], ARGV[1])
  if value == ARGV[3] then return 1 end
  if value ~= ARGV[2] then return 0 end
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
  return 1
`);

/** False when the field holds something else, or nothing. Safe to send twice. */
export async function replaceField(redis: Redis, hash: string, field: string, expected: string, value: string) {
  return (await REPLACE(redis, [hash], [field, expected, value])) === 1;
}
