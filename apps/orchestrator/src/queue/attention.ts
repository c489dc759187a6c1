/**
 * Lets those look who look after something (schedules, runs of plans): every so often, and when something has happened
 * that they may wait for, a migration's end above all. It owns its timer and its listener.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { keys } from '../redis/keys.ts';

/** Much happens at the same time: it is looked at once. */
const GATHER_MS = 100;

export interface Attention {
  stop(): Promise<void>;
}

/** @param lookers never reject */
export async function startAttention(
  lookers: readonly (() => Promise<void>)[],
  { subscriber, intervalMs }: { subscriber: Redis; intervalMs: number },
): Promise<Attention> {
  const stopping = new AbortController();
  let news = Promise.withResolvers<void>();
  const onMessage = (channel: string): void => {
    if (channel === keys.feedChannel) news.resolve();
  };
  subscriber.on('message', onMessage);
  await subscriber.subscribe(keys.feedChannel);
  const pause = async (ms: number, until?: Promise<void>): Promise<void> => {
    const over = new AbortController();
    const signal = AbortSignal.any([stopping.signal, over.signal]);
    const time = sleep(ms, undefined, { signal }).catch(() => undefined); // stop() ends the loop
    await Promise.race(until === undefined ? [time] : [time, until]);
    over.abort();
  };
  const loop = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      await Promise.all(lookers.map((look) => look()));
      await pause(intervalMs, news.promise);
      news = Promise.withResolvers();
      await pause(GATHER_MS);
    }
  };
  const running = loop();
  return {
    async stop() {
      stopping.abort();
      subscriber.off('message', onMessage);
      await running;
    },
  };
}
