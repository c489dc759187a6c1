/**
 * Who holds what several migrations share, such as a route at a host: any number of orchestrators, one count. The count is the set
 * of their ids, so that whoever says it twice counts once.
 *
 *   free ── hold ──▶ held by A ── hold ──▶ held by A, B ── let go ──▶ held by B ── let go ──▶ being taken away ── gone ──▶ free
 *
 * Invariants: only the last one to let go takes it away, and nobody takes hold of it meanwhile. It holds it until it has said that it is gone:
 * if it dies before, then whoever comes after the time limit is its fellow holder, and need not fear that its next run takes it away. An id
 * that is no migration under way holds nothing.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { keys } from '../redis/keys.ts';
import { keptScript } from '../redis/script.ts';

/** Longer than taking a resource away lasts; a run that was stopped in it may come back until then. */
const TAKING_AWAY_MS = 120_000;
const LOOK_AGAIN_MS = 100;

export interface Holders {
  /**
   * Adds `id`; waits while somebody else takes it away. With `onlyIfHeld` it is added to others or not at all: that it was there
   * itself says nothing of whose the resource is.
   * @returns whether it holds now
   */
  hold(name: string, id: string, options: { signal: AbortSignal; onlyIfHeld?: boolean }): Promise<boolean>;
  /**
   * `others`: `id` is out. `last`: it is to be taken away now, and `gone` said afterwards; until then `id` holds it and nobody else
   * can take hold of it.
   */
  letGo(name: string, id: string): Promise<'last' | 'others'>;
  /** With `kept` it could not be taken away, and `id` holds it still. Whoever does not know says nothing, and lets the time limit pass. */
  gone(name: string, id: string, options?: { kept?: boolean }): Promise<void>;
}

/** KEYS: holders, being-taken-away, live, incomplete. Leaves only those that are under way. */
const PRUNE = `
  for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do
    if redis.call('SISMEMBER', KEYS[3], id) == 0 and redis.call('SISMEMBER', KEYS[4], id) == 0 then
      redis.call('SREM', KEYS[1], id)
    end
  end
`;

/** How many there are beside ARGV[1]. */
const OTHERS = `redis.call('SCARD', KEYS[1]) - redis.call('SISMEMBER', KEYS[1], ARGV[1])`;

/** ARGV: id, only if held (1 or 0) */
const HOLD = keptScript(`
  local at = redis.call('GET', KEYS[2])
  if at and at ~= ARGV[1] then return 'WAIT' end
  ${PRUNE}
  if ARGV[2] == '1' and ${OTHERS} == 0 then return 'FREE' end
  redis.call('SADD', KEYS[1], ARGV[1])
  return 'HELD'
`);

/** ARGV: id, how long nobody may take hold of it */
const LET_GO = keptScript(`
  ${PRUNE}
  local at = redis.call('GET', KEYS[2])
  if ${OTHERS} > 0 or (at and at ~= ARGV[1]) then
    redis.call('SREM', KEYS[1], ARGV[1])
    return 'OTHERS'
  end
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
  const of = (name: string) => [keys.holders(name), keys.takingAway(name), keys.live, keys.incomplete];
  return {
    async hold(name, id, { signal, onlyIfHeld = false }) {
      for (;;) {
        const word = await HOLD(redis, of(name), [id, onlyIfHeld ? 1 : 0]);
        if (word !== 'WAIT') return word === 'HELD';
        await sleep(LOOK_AGAIN_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
      }
    },
    async letGo(name, id) {
      return (await LET_GO(redis, of(name), [id, TAKING_AWAY_MS])) === 'LAST' ? 'last' : 'others';
    },
    async gone(name, id, { kept = false } = {}) {
      await GONE(redis, of(name), [id, kept ? 1 : 0]);
    },
  };
}
