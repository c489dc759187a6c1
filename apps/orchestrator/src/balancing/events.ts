/**
 * The events of a policy, for whoever follows it: every pass, and what becomes of proposals, as its notices tell. It owns nothing.
 */
import type { Redis } from 'ioredis';
import type { EventHub, EventPart, Told } from '../migrations/events.ts';
import { keys } from '../redis/keys.ts';
import { readStreamPart } from '../redis/stream-part.ts';

export interface PolicyEvents {
  /** Everything after `afterId`, or what comes next, until the policy is removed; `undefined` for a sign of life. */
  follow(policy: string, afterId: string | undefined, options: { signal: AbortSignal }): AsyncGenerator<Told>;
}

const BATCH = 100;

export function createPolicyEvents(hub: Pick<EventHub, 'followSource'>, redis: Redis): PolicyEvents {
  return {
    async *follow(policy, afterId, options) {
      const key = keys.balancingEvents(policy);
      const [newest] = afterId === undefined ? await redis.xrevrange(key, '+', '-', 'COUNT', 1) : [];
      let isThere = true;
      const read = async (after: string): Promise<EventPart> => {
        const { entries, extent } = await readStreamPart(redis, key, after, BATCH);
        if (entries.length === 0) isThere = (await redis.hexists(keys.balancingPolicies, policy)) === 1;
        return { events: entries.map(([id, [, json = '{}']]) => ({ id, json })), extent };
      };
      const source = { channel: keys.balancingChannel(policy), read };
      for await (const event of hub.followSource(source, afterId ?? newest?.[0] ?? '0-0', options)) {
        if (event === undefined && !isThere) return;
        yield event;
      }
    },
  };
}
