/**
 * What the dispatchers take from the feed of all notices, as one consumer group, and how much was gone before they came to it: the
 * feed is cut off at its beginning as it grows, whoever has read it. How far they have come is kept by number, because the id of what was
 * read last does not tell how many were cut off behind it. In one step with the reading, so that it is right whoever dies.
 */
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { keys } from '../redis/keys.ts';
import { script } from '../redis/script.ts';

export const GROUP = 'webhooks';

export type Entry = readonly [id: string, fields: readonly string[]];

export interface Taken {
  readonly entries: readonly Entry[];
  /** How many were gone since the last time; 0 where there is no webhook to miss them. */
  readonly missed: number;
}

/** Since the installation began. */
export interface MissedNotices {
  readonly count: number;
  /** When it was noticed last; null: never. */
  readonly at: string | null;
}

/**
 * Also gone is what somebody took, did not acknowledge, and what was cut off since: at worst it was handed on nevertheless. A server that
 * does not count its entries (Redis before 7) does not say what is gone.
 * KEYS: feed, how far it was read, webhooks. ARGV: group, consumer, take over after (ms), at most so many
 */
const TAKE = script(`
  local claimed = redis.call('XAUTOCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[3], '0-0', 'COUNT', ARGV[4])
  local answer = redis.call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', ARGV[4], 'STREAMS', KEYS[1], '>')
  local new = answer and answer[1][2] or {}
  local function named(flat)
    local map = {}
    for i = 1, #flat, 2 do map[flat[i]] = flat[i + 1] end
    return map
  end
  local missed = #(claimed[3] or {})
  local feed = named(redis.call('XINFO', 'STREAM', KEYS[1]))
  local added = feed['entries-added']
  if added then
    local cut = added - feed['length']
    local read = tonumber(redis.call('HGET', KEYS[2], 'read') or '')
    if read and read > added then read = nil end -- the feed was begun anew
    if read and read < cut then
      missed = missed + cut - read
      read = cut
    end
    local last = ''
    for _, each in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
      local group = named(each)
      if group['name'] == ARGV[1] then last = group['last-delivered-id'] end
    end
    if last == feed['last-generated-id'] then read = added
    elseif read then read = read + #new
    elseif new[1] and new[1][1] == feed['recorded-first-entry-id'] then read = cut + #new end
    if read then redis.call('HSET', KEYS[2], 'read', read) end
  end
  if redis.call('HLEN', KEYS[3]) == 0 then missed = 0 end
  if missed > 0 then
    local now = redis.call('TIME')
    redis.call('HINCRBY', KEYS[2], 'missed', missed)
    redis.call('HSET', KEYS[2], 'missedAtMs', string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000)))
  end
  local entries = {}
  for _, entry in ipairs(claimed[2]) do
    if entry then entries[#entries + 1] = entry end
  end
  for _, entry in ipairs(new) do entries[#entries + 1] = entry end
  return {entries, missed}
`);

const takenSchema = z.tuple([z.array(z.tuple([z.string(), z.array(z.string())])), z.int()]);

/** What is new, and what another one took and has not acknowledged in time. @throws ReplyError NOGROUP */
export async function takeNotices(
  redis: Redis,
  { consumer, takeOverAfterMs, count }: { consumer: string; takeOverAfterMs: number; count: number },
): Promise<Taken> {
  const names = [keys.feed, keys.webhooksFeed, keys.webhooks];
  const [entries, missed] = takenSchema.parse(await TAKE(redis, names, [GROUP, consumer, takeOverAfterMs, count]));
  return { entries, missed };
}

export async function missedNotices(redis: Redis): Promise<MissedNotices> {
  const [count, atMs] = await redis.hmget(keys.webhooksFeed, 'missed', 'missedAtMs');
  return { count: Number(count ?? 0), at: atMs ? new Date(Number(atMs)).toISOString() : null };
}
