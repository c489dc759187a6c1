/**
 * Whether Redis answers, and if not, why not, in words: in the log at once, now and then again, and to whoever asks. It
 * listens on the caller's connection and owns nothing but its timers.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Logger } from '../log.ts';
import { SAY_AGAIN_MS } from '../once-a-minute.ts';
import { inOurWords } from './away.ts';

/** A Redis that is there, or that only starts anew, answers sooner. */
const PATIENCE_MS = 1_000;

export class Availability {
  readonly #redis: Redis;
  readonly #name: string;
  readonly #log: Logger;
  readonly #why: () => string | undefined;
  #complaint = 'no answer';
  /** Said in the log: first after a while, then again and again. */
  #saying: NodeJS.Timeout | undefined;
  #said = false;

  /**
   * @param name of the server, without its password
   * @param why what is known of it from elsewhere than the connection, in whole sentences
   */
  constructor(redis: Redis, { name, log, why }: { name: string; log: Logger; why: () => string | undefined }) {
    this.#redis = redis;
    this.#name = name;
    this.#log = log;
    this.#why = why;
    redis.on('error', (error: Error) => {
      this.#complaint = inOurWords(error);
    });
    redis.on('ready', () => this.#isBack());
    redis.on('close', () => this.#isAway());
    redis.on('end', () => clearTimeout(this.#saying)); // ended by its owner: nothing is missing
    if (redis.status !== 'ready') this.#isAway();
  }

  /** Why Redis cannot be used now; `undefined` while it can. */
  outage(): string | undefined {
    if (this.#redis.status === 'ready') return undefined;
    const why = this.#why() ?? `${this.#complaint}.`;
    return `Redis (${this.#name}) cannot be used: ${why} Nothing works without it; it is tried again and again.`;
  }

  /** Resolves with true once Redis answers, with false when it does not within a moment. @throws the signal's reason */
  async answersSoon({ signal }: { signal: AbortSignal }): Promise<boolean> {
    const given = new AbortController();
    const late = sleep(PATIENCE_MS, false, { ref: false, signal: given.signal }).catch(() => false);
    try {
      return await Promise.race([this.answers({ signal }).then(() => true), late]);
    } finally {
      given.abort();
    }
  }

  /** Resolves once Redis answers. Not `once`, for which an error in between is the end. @throws the signal's reason */
  answers({ signal }: { signal: AbortSignal }): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = () => reject(signal.reason);
      const onReady = () => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      if (this.#redis.status === 'ready') return onReady();
      if (signal.aborted) return onAbort();
      this.#redis.once('ready', onReady);
      return signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  #isBack(): void {
    clearTimeout(this.#saying);
    this.#saying = undefined;
    if (this.#said) this.#log.info({}, `Redis (${this.#name}) answers`);
    this.#said = false;
    this.#complaint = 'no answer';
  }

  #isAway(): void {
    this.#saying ??= setTimeout(() => this.#say(), PATIENCE_MS).unref();
  }

  #say(): void {
    const outage = this.outage();
    if (outage !== undefined) this.#log.error({}, outage);
    this.#said = true;
    this.#saying = setTimeout(() => this.#say(), SAY_AGAIN_MS).unref();
  }
}
