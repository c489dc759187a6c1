/**
 * Waiting with limits. Every helper leaves nothing behind: no timer, no listener.
 */
import { LmasError, type OrchestratorErrorCode } from '../errors.ts';

/** Rejects as soon as `signal` aborts, whatever the promise does; it is not waited for then. */
export async function raceSignal<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  promise.catch(() => undefined); // once nobody waits for it, its failure is nobody's any more
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** A signal that aborts with an LmasError when `limitMs` have passed without `touch`. Dispose of it. */
export class Deadline implements Disposable {
  readonly #controller = new AbortController();
  readonly #limitMs: number;
  readonly #error: () => LmasError;
  #timer: NodeJS.Timeout;

  constructor(limitMs: number, code: OrchestratorErrorCode, message: string) {
    this.#limitMs = Math.min(limitMs, 2 ** 31 - 1); // the longest that a timer takes
    this.#error = () => new LmasError(code, message);
    this.#timer = this.#start();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Begins anew, also after `stop`. */
  touch(): void {
    clearTimeout(this.#timer);
    if (!this.#controller.signal.aborted) this.#timer = this.#start();
  }

  /** Time does not count until `touch`. */
  stop(): void {
    clearTimeout(this.#timer);
  }

  [Symbol.dispose](): void {
    this.stop();
  }

  #start(): NodeJS.Timeout {
    return setTimeout(() => this.#controller.abort(this.#error()), this.#limitMs);
  }
}
