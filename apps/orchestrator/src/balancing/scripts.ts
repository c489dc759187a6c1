/**
 * What is written of balancing in Redis, each in one step: the lease of a policy, what a pass decided, a move's new state. What is told
 * of a change goes with it, once, however often the script is sent. Nobody but store.ts calls these.
 */
import { keys, MAX_NOTICES } from '../redis/keys.ts';
import { keptScript, script } from '../redis/script.ts';

/** Of a policy's own events. */
const MAX_EVENTS = 1_000;

/** Tells what stands in ARGV from `from` to `to`: whoever follows the policy, whose stream is KEYS[1], and whoever follows everything. */
const tell = (from: string, to: string, channel: string): string => `
  for i = ${from}, ${to} do
    redis.call('XADD', KEYS[1], 'MAXLEN', '=', ${MAX_EVENTS}, '*', 'event', ARGV[i])
    redis.call('XADD', '${keys.feed}', 'MAXLEN', '~', ${MAX_NOTICES}, '*', 'event', ARGV[i])
    redis.call('PUBLISH', ${channel}, '')
    redis.call('PUBLISH', '${keys.feedChannel}', '')
  end
`;

/** KEYS: lease. ARGV: run, ttl (ms) */
export const RENEW = script(`
  if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return 1
`);
/** KEYS: lease. ARGV: run */
export const RELEASE = script(`
  if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
  return 1
`);
/**
 * KEYS: events, lease, policies, memory, passes, moves. ARGV: run, policy, channel, memory, pass, passes to keep, key and token of the
 * fence of who ordered it ('' for nobody), number of notices, notice…, closed moves…, '', then id and move…
 */
export const COMMIT = keptScript(`
  if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
  local policy = redis.call('HGET', KEYS[3], ARGV[2])
  if not policy then return 0 end
  if cjson.decode(policy).pausedAt ~= cjson.null then return 'PAUSED' end
  if ARGV[7] ~= '' and redis.call('HGET', ARGV[7], 'token') ~= ARGV[8] then return 'WITHDRAWN' end
  redis.call('HSET', KEYS[4], ARGV[2], ARGV[4])
  local last = 9 + tonumber(ARGV[9])
  if redis.call('LINDEX', KEYS[5], 0) ~= ARGV[5] then
    redis.call('LPUSH', KEYS[5], ARGV[5])
    ${tell('10', 'last', 'ARGV[3]')}
  end
  redis.call('LTRIM', KEYS[5], 0, ARGV[6] - 1)
  local i = last + 1
  while ARGV[i] ~= '' do
    redis.call('HDEL', KEYS[6], ARGV[i])
    i = i + 1
  end
  for j = i + 1, #ARGV, 2 do redis.call('HSET', KEYS[6], ARGV[j], ARGV[j + 1]) end
  return 1
`);
/** KEYS: events, moves. ARGV: move, what it was, what it shall be, channel, notice… Answers 0 when it is something else by now. */
export const CHANGE_MOVE = keptScript(`
  local value = redis.call('HGET', KEYS[2], ARGV[1])
  if value == ARGV[3] then return 1 end
  if value ~= ARGV[2] then return 0 end
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
  ${tell('5', '#ARGV', 'ARGV[4]')}
  return 1
`);
/**
 * How many passes there were is all that stays: the next policy of that name counts on, so that the number of a pass, and the id
 * of a move, never comes to mean another one.
 *
 * KEYS: events, policies, memory, passes, moves, lease. ARGV: policy, channel
 */
export const REMOVE = keptScript(`
  redis.call('HDEL', KEYS[2], ARGV[1])
  local memory = redis.call('HGET', KEYS[3], ARGV[1])
  if memory then
    local fresh = string.format('{"passes":%d,"lastPassAt":null,"hosts":{}}', cjson.decode(memory).passes)
    redis.call('HSET', KEYS[3], ARGV[1], fresh)
  end
  redis.call('DEL', KEYS[1], KEYS[4], KEYS[5], KEYS[6])
  redis.call('PUBLISH', ARGV[2], '')
  return 1
`);
