/** A token bucket for the payload that this end may send: accurate over a second, bursts of at most `burstMs`. */

export class Pacer {
  #bytesPerSec: number | null;
  #tokens = 0;
  #atMs = performance.now();
  readonly #burstMs: number;

  constructor(bytesPerSec: number | null, burstMs = 50) {
    this.#bytesPerSec = bytesPerSec;
    this.#burstMs = burstMs;
  }
  /** What was earned or overdrawn stays. */
  set rate(bytesPerSec: number | null) {
    if (this.#bytesPerSec === null) {
      this.#tokens = 0;
      this.#atMs = performance.now();
    } else this.delayMs();
    this.#bytesPerSec = bytesPerSec;
  }
  get rate(): number | null {
    return this.#bytesPerSec;
  }
  /** Milliseconds until something may be sent; 0 is now. A frame may overdraw, and the next one waits the longer for it. */
  delayMs(nowMs: number = performance.now()): number {
    if (this.#bytesPerSec === null) return 0;
    const earned = ((nowMs - this.#atMs) / 1000) * this.#bytesPerSec;
    this.#tokens = Math.min((this.#bytesPerSec * this.#burstMs) / 1000, this.#tokens + earned);
    this.#atMs = nowMs;
    return this.#tokens >= 0 ? 0 : (-this.#tokens / this.#bytesPerSec) * 1000;
  }
  spend(bytes: number): void {
    if (this.#bytesPerSec !== null) this.#tokens -= bytes;
  }
}
