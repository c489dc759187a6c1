/**
 * Compare and set of fields of hashes, all in one step: whoever read an older value changes nothing. Safe to send twice.
 * The same step can announce the change, so that no change is made of which nobody hears. People make these changes: they are told that
 * one is made when a replica has it too, where there is one.
 */
import type { Redis } from 'ioredis';
import { keptScript } from './script.ts';

/** `null`: there is none. */
export interface FieldChange {
  readonly hash: string;
  readonly field: string;
  readonly before: string | null;
  readonly after: string | null;
}

/** KEYS: the hash of each field. ARGV: field, value before, value after, of each; '' stands for none; then the channel, or ''. */
const REPLACE = keptScript(`
  local isDone, isAsBefore = true, true
  for i = 1, #KEYS do
    local value = redis.call('HGET', KEYS[i], ARGV[3 * i - 2]) or ''
    if value ~= ARGV[3 * i - 1] then isAsBefore = false end
    if value ~= ARGV[3 * i] then isDone = false end
  end
  if not isDone and not isAsBefore then return 0 end
  for i = 1, #KEYS do
    if ARGV[3 * i] == '' then redis.call('HDEL', KEYS[i], ARGV[3 * i - 2])
    else redis.call('HSET', KEYS[i], ARGV[3 * i - 2], ARGV[3 * i]) end
  end
  if ARGV[#ARGV] ~= '' then redis.call('PUBLISH', ARGV[#ARGV], '') end
  return 1
`);

/**
 * False, and nothing is changed, when one of them holds something else than before.
 * @param channel where it is announced that they are changed
 */
export async function replaceFields(redis: Redis, changes: readonly FieldChange[], channel = ''): Promise<boolean> {
  const args = changes.flatMap(({ field, before, after }) => [field, before ?? '', after ?? '']);
  return (
    (await REPLACE(
      redis,
      changes.map(({ hash }) => hash),
      [...args, channel],
    )) === 1
  );
}

/** A field that is not there yet: false when it is. */
export async function addField(redis: Redis, hash: string, field: string, value: string): Promise<boolean> {
  return await replaceFields(redis, [{ hash, field, before: null, after: value }]);
}

/** One field that is there: false when it holds something else, or nothing. */
export async function replaceField(redis: Redis, hash: string, field: string, expected: string, value: string) {
  return await replaceFields(redis, [{ hash, field, before: expected, after: value }]);
}
