/** Things to be ended, newest first, whatever happens to the others. Who makes something adds its end here at once. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../log.ts';

/** Longer than the longest that one part may rightly take: a Redis that writes everything down before it ends. */
const CLOSE_LIMIT_MS = 40_000;

export class Closers {
  readonly #closers: { name: string; close: () => Promise<unknown> }[] = [];
  readonly #log: Logger;

  constructor(log: Logger) {
    this.#log = log;
  }

  add(name: string, close: () => Promise<unknown>): void {
    this.#closers.push({ name, close });
  }

  /** Each has its time; what takes longer is left to the end of the process. */
  async closeAll({ limitMs = CLOSE_LIMIT_MS } = {}): Promise<void> {
    for (const { name, close } of this.#closers.splice(0).reverse()) {
      const closed = close().then(
        () => true,
        (error: unknown) => this.#log.error({ err: error, name }, 'could not be ended in order'),
      );
      const inTime = await Promise.race([closed, sleep(limitMs, false, { ref: false })]);
      if (inTime === false) this.#log.error({ name, limitMs }, 'did not end in time; going on without it');
    }
  }
}
