/** Things to be ended, newest first, whatever happens to the others. Who makes something adds its end here at once. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../log.ts';

/** Longer than the longest that one part may rightly take: a Redis that writes everything down before it ends. */
const CLOSE_LIMIT_MS = 40_000;

export class Closers {
  readonly #closers: { name: string; close: () => Promise<unknown>; limitMs: number }[] = [];
  readonly #log: Logger;
  readonly #limitMs: number;

  constructor(log: Logger, { limitMs = CLOSE_LIMIT_MS } = {}) {
    this.#log = log;
    this.#limitMs = limitMs;
  }

  /** @param graceMs that it may wait for something before it begins to end */
  add(name: string, close: () => Promise<unknown>, { graceMs = 0 } = {}): void {
    this.#closers.push({ name, close, limitMs: graceMs + this.#limitMs });
  }

  /** Each has its time, and no more than `mostMs`; what takes longer is left to the end of the process. */
  async closeAll({ mostMs = Number.POSITIVE_INFINITY } = {}): Promise<void> {
    for (const { name, close, limitMs: own } of this.#closers.splice(0).reverse()) {
      const limitMs = Math.min(own, mostMs);
      const closed = close().then(
        () => true,
        (error: unknown) => this.#log.error({ err: error, name }, 'could not be ended in order'),
      );
      const inTime = await Promise.race([closed, sleep(limitMs, false, { ref: false })]);
      if (inTime === false) this.#log.error({ name, limitMs }, 'did not end in time; going on without it');
    }
  }
}
