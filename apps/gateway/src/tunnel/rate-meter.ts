/** The rate of a running total, averaged over about a second. Sampled by whoever owns the total; makes no timer of its own. */
const averagedMs = 1_000;
/** Shorter intervals say more about the timer than about the rate. */
const shortestMs = 20;

export class RateMeter {
  #total = 0;
  #atMs: number | null = null;
  /** Starts at 0 and follows with a time constant of a second. */
  bytesPerSec = 0;

  sample(totalBytes: number, nowMs: number): void {
    const elapsedMs = this.#atMs === null ? 0 : nowMs - this.#atMs;
    if (this.#atMs !== null && elapsedMs < shortestMs) return;
    if (elapsedMs > 0) {
      const rate = ((totalBytes - this.#total) * 1_000) / elapsedMs;
      this.bytesPerSec += (rate - this.bytesPerSec) * (1 - Math.exp(-elapsedMs / averagedMs));
    }
    this.#total = totalBytes;
    this.#atMs = nowMs;
  }
}
