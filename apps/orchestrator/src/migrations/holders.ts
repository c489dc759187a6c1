/**
 * Who holds what several migrations share, such as a route at a host: any number of orchestrators, one count. The count is the set
 * of their ids, so that whoever says it twice counts once.
 *
 *   free ── hold ──▶ held by A ── hold ──▶ held by A, B ── let go ──▶ held by B ── let go ──▶ being taken away ── gone ──▶ free
 *     └─ hold, pending ─▶ asked for by A ── hold ──▶ held by A
 *                               └─ withdraw ──▶ free
 *
 * Invariants: only the last one to let go takes it away, and nobody takes hold of it meanwhile. It holds it until it has said that it is gone:
 * if it dies before, then whoever comes after the time limit is its fellow holder, and need not fear that its next run takes it away. What
 * was asked for is nobody's to share until it is known to be made: who joins waits for that, and so does the last one to let go; past the
 * time limit it counts as made. Whoever asked, and was not answered, is not out before either, nor by joining others meanwhile: what comes of
 * it may come after these have taken it away, and would be nobody's. An id that is no migration under way holds nothing.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { keys } from '../redis/keys.ts';
import { keptScript } from '../redis/script.ts';

/** Longer than making a resource, or taking it away, lasts; a run that was stopped in it may come back until then. */
const LIMIT_MS = 120_000;
const LOOK_AGAIN_MS = 100;

export interface Holders {
  /**
   * Adds `id`; waits while somebody else takes it away. With `onlyIfHeld` it is added to others or not at all: that it was there
   * itself says nothing of whose the resource is. With `pending` it has only been asked for.
   * @returns whether it holds now
   */
  hold(
    name: string,
    id: string,
    options: { signal: AbortSignal; onlyIfHeld?: boolean; pending?: boolean },
  ): Promise<boolean>;
  /** What `id` asked for was not made: it never held it. */
  withdraw(name: string, id: string): Promise<void>;
  /**
   * `others`: `id` is out. `last`: it is to be taken away now, and `gone` said afterwards; until then `id` holds it and nobody else
   * can take hold of it. Waits while somebody else has asked for it and was not answered; and while `id` itself has, unless it is alone: who
   * takes it away looks for what may still come.
   */
  letGo(name: string, id: string, options: { signal: AbortSignal }): Promise<'last' | 'others'>;
  /** With `kept` it could not be taken away, and `id` holds it still. Whoever does not know says nothing, and lets the time limit pass. */
  gone(name: string, id: string, options?: { kept?: boolean }): Promise<void>;
}

/** KEYS: holders, being-taken-away, live, incomplete, pending. Leaves only those that are under way. */
const PRUNE = `
  local function under_way(id)
    return redis.call('SISMEMBER', KEYS[3], id) == 1 or redis.call('SISMEMBER', KEYS[4], id) == 1
  end
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do
    if not under_way(id) then redis.call('SREM', KEYS[1], id) end
  end
  for _, id in ipairs(redis.call('ZRANGE', KEYS[5], 0, -1)) do
    local late = now - redis.call('ZSCORE', KEYS[5], id) > ${LIMIT_MS}
    if late or not under_way(id) then redis.call('ZREM', KEYS[5], id) end
    if late and under_way(id) then redis.call('SADD', KEYS[1], id) end
  end
`;

/** How many there are beside ARGV[1]: that hold it, and that have asked for it. */
const OTHERS = `redis.call('SCARD', KEYS[1]) - redis.call('SISMEMBER', KEYS[1], ARGV[1])`;
const OTHERS_PENDING = `redis.call('ZCARD', KEYS[5]) - (redis.call('ZSCORE', KEYS[5], ARGV[1]) and 1 or 0)`;

const STRIKE_OUT = `
  redis.call('SREM', KEYS[1], ARGV[1])
  redis.call('ZREM', KEYS[5], ARGV[1])
`;

/** ARGV: id, only if held (1 or 0), pending (1 or 0) */
const HOLD = keptScript(`
  local at = redis.call('GET', KEYS[2])
  if at and at ~= ARGV[1] then return 'WAIT' end
  ${PRUNE}
  if ARGV[2] == '1' and ${OTHERS} == 0 then
    if ${OTHERS_PENDING} > 0 then return 'WAIT' end
    return 'FREE'
  end
  -- Who joins may have asked before, without an answer.
  if ARGV[2] ~= '1' then ${STRIKE_OUT} end
  if ARGV[3] == '1' then redis.call('ZADD', KEYS[5], now, ARGV[1]) else redis.call('SADD', KEYS[1], ARGV[1]) end
  return 'HELD'
`);

/** ARGV: id */
const WITHDRAW = keptScript(`
  ${STRIKE_OUT}
  if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
  return 1
`);

/** ARGV: id, how long nobody may take hold of it */
const LET_GO = keptScript(`
  ${PRUNE}
  local at = redis.call('GET', KEYS[2])
  local has_others = ${OTHERS} > 0 or (at and at ~= ARGV[1])
  local has_joined = redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 1
  if redis.call('ZSCORE', KEYS[5], ARGV[1]) and (has_others or has_joined) then return 'WAIT' end
  if has_others then
    ${STRIKE_OUT}
    return 'OTHERS'
  end
  if ${OTHERS_PENDING} > 0 then return 'WAIT' end
  ${STRIKE_OUT}
  redis.call('SADD', KEYS[1], ARGV[1])
  redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
  return 'LAST'
`);

/** ARGV: id, kept (1 or 0). Whoever took longer than the time limit has let go all the same. */
const GONE = keptScript(`
  if ARGV[2] ~= '1' then redis.call('SREM', KEYS[1], ARGV[1]) end
  if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
  return redis.call('DEL', KEYS[2])
`);

export function createHolders(redis: Redis): Holders {
  const of = (name: string) => [
    ...[keys.holders(name), keys.takingAway(name), keys.live, keys.incomplete],
    keys.pendingHolders(name),
  ];
  /** Asks until it need not wait. */
  const answered = async (ask: () => Promise<unknown>, signal: AbortSignal): Promise<unknown> => {
    for (;;) {
      const word = await ask();
      if (word !== 'WAIT') return word;
      await sleep(LOOK_AGAIN_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  };
  return {
    async hold(name, id, { signal, onlyIfHeld = false, pending = false }) {
      const ask = () => HOLD(redis, of(name), [id, onlyIfHeld ? 1 : 0, pending ? 1 : 0]);
      return (await answered(ask, signal)) === 'HELD';
    },
    async withdraw(name, id) {
      await WITHDRAW(redis, of(name), [id]);
    },
    async letGo(name, id, { signal }) {
      const ask = () => LET_GO(redis, of(name), [id, LIMIT_MS]);
      return (await answered(ask, signal)) === 'LAST' ? 'last' : 'others';
    },
    async gone(name, id, { kept = false } = {}) {
      await GONE(redis, of(name), [id, kept ? 1 : 0]);
    },
  };
}
