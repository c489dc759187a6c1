/**
 * The first thing that is wanted of Redis is an answer. Until there is one, why not is said in words: at once, now and
 * then again, and to whoever asks. Waits on the caller's connection and owns nothing.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Logger } from '../log.ts';

/** A Redis that is there answers sooner. */
const PATIENCE_MS = 1_000;
const SAY_AGAIN_MS = 60_000;

export interface FirstContact {
  /** Why there is none yet, in words. */
  readonly reason: () => string;
  /** Resolves once Redis answers. @throws the signal's reason */
  readonly made: Promise<void>;
}

/** @param name of the server, without its password. @returns undefined when it answers at once */
export async function awaitRedis(
  redis: Redis,
  { name, log, signal }: { name: string; log: Logger; signal: AbortSignal },
): Promise<FirstContact | undefined> {
  let complaint = 'no answer';
  const listen = (error: Error) => {
    complaint = error.message;
  };
  redis.on('error', listen);
  const ready = becomesReady(redis, signal);
  const atOnce = await Promise.race([ready.then(() => true), sleep(PATIENCE_MS, false, { ref: false })]);
  if (atOnce) {
    redis.off('error', listen);
    return undefined;
  }
  const reason = () =>
    `Redis (${name}) cannot be used: ${complaint}. Nothing works without it; it is tried again and again.`;
  const say = () => log.error({}, reason());
  say();
  const again = setInterval(say, SAY_AGAIN_MS).unref();
  const made = ready
    .then(() => log.info({}, `Redis (${name}) answers`))
    .finally(() => {
      clearInterval(again);
      redis.off('error', listen);
    });
  return { reason, made };
}

/** Not `once`, for which an error in between is the end. */
function becomesReady(redis: Redis, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    const onReady = () => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    };
    if (redis.status === 'ready') return onReady();
    if (signal.aborted) return onAbort();
    redis.once('ready', onReady);
    return signal.addEventListener('abort', onAbort, { once: true });
  });
}
