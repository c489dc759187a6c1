/**
 * Lets one process at a time work on something, as a matter of economy: what is done without it is still right. A hold
 * that is not renewed any more, because its process died, ends by itself.
 */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { script } from '../redis/script.ts';

export interface Hold {
  /** Does it, unless somebody else is at it. The signal aborts when the hold is lost, or the caller's does. */
  during(id: string, options: { signal: AbortSignal }, work: (signal: AbortSignal) => Promise<void>): Promise<void>;
}

/** KEYS: hold. ARGV: holder, how long (ms). Answers 1 when it is the holder's. */
const TAKE = script(`
  local holder = redis.call('GET', KEYS[1])
  if holder and holder ~= ARGV[1] then return 0 end
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return 1
`);
/** KEYS: hold. ARGV: holder */
const LET_GO = script(`if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end return 1`);

/** Renewed so many times before it would end. */
const RENEWALS = 4;

export function createHold(redis: Redis, { keyOf, holdMs }: { keyOf: (id: string) => string; holdMs: number }): Hold {
  const holder = randomUUID();
  return {
    async during(id, { signal }, work) {
      const key = keyOf(id);
      if ((await TAKE(redis, [key], [holder, holdMs])) !== 1) return;
      const lost = new AbortController();
      const renew = () =>
        TAKE(redis, [key], [holder, holdMs]).then(
          (answer) => (answer === 1 ? undefined : lost.abort()),
          () => undefined, // the next renewal, or the end of the hold, tells
        );
      const timer = setInterval(() => void renew(), holdMs / RENEWALS);
      try {
        await work(AbortSignal.any([signal, lost.signal]));
      } finally {
        clearInterval(timer);
        await LET_GO(redis, [key], [holder]);
      }
    },
  };
}
