/** Waits longer after each failure, from 50 ms to 1 s, and not at all once the signal is aborted. */
const firstMs = 50;
const longestMs = 1_000;

export class Backoff {
  readonly #signal: AbortSignal;
  #nextMs = firstMs;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }
  reset(): void {
    this.#nextMs = firstMs;
  }
  wait(): Promise<void> {
    const delayMs = this.#nextMs;
    this.#nextMs = Math.min(longestMs, delayMs * 2);
    if (this.#signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, delayMs);
      this.#signal.addEventListener('abort', done, { once: true });
    });
  }
}
