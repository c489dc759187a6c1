/**
 * A Lua script as a typed function: sent by its digest, and whole when the server does not have it yet (a new one, or
 * one that took over).
 */
import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';
import { replicated } from './replicas.ts';

export type Script = (redis: Redis, keys: readonly string[], args: readonly (string | number)[]) => Promise<unknown>;

export function script(lua: string): Script {
  const sha = createHash('sha1').update(lua).digest('hex'); // Redis names scripts by SHA-1
  return async (redis, keys, args) => {
    try {
      return await redis.evalsha(sha, keys.length, ...keys, ...args);
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error;
      return await redis.eval(lua, keys.length, ...keys, ...args);
    }
  };
}

/** One whose writes matter: it answers when a replica has them too, where there is one. */
export function keptScript(lua: string): Script {
  const send = script(lua);
  return async (redis, keys, args) => {
    const answer = await send(redis, keys, args);
    await replicated(redis);
    return answer;
  };
}
