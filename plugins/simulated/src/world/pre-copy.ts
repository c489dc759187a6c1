/**
 * The arithmetic of pre-copy. Pure: whoever owns the clock tells how much time has passed and how fast data could go.
 *
 * Pass after pass sends what the guest has written during the one before, until what is left can be sent within the
 * downtime that is allowed (Clark et al., Live Migration of Virtual Machines, NSDI 2005). With auto-converge the guest is
 * slowed down from the third pass on, by half each time, as long as it does not converge by itself.
 */
export interface PreCopyGuest {
  readonly memoryBytes: number;
  readonly dirtyRateBytesPerSec: number;
  readonly maxDowntimeMs: number;
  readonly autoConverge: boolean;
}

export interface PreCopyState {
  /** 0 to 100, never decreasing. */
  readonly percent: number;
  readonly bytesTransferred: number;
  readonly bytesRemaining: number;
  readonly dirtyRateBytesPerSec: number;
  /** From 1. */
  readonly iteration: number;
}

const FIRST_THROTTLED_PASS = 3;

export class PreCopy {
  #guest: PreCopyGuest;
  #remaining: number;
  #dirtied = 0;
  #transferred = 0;
  #dirtyRate: number;
  #iteration = 1;
  #percent = 0;
  #done = false;

  constructor(guest: PreCopyGuest) {
    this.#guest = guest;
    this.#remaining = guest.memoryBytes;
    this.#dirtyRate = guest.dirtyRateBytesPerSec;
  }

  get isDone(): boolean {
    return this.#done;
  }

  get state(): PreCopyState {
    return {
      percent: this.#percent,
      bytesTransferred: Math.round(this.#transferred),
      bytesRemaining: Math.round(this.#remaining),
      dirtyRateBytesPerSec: Math.round(this.#dirtyRate),
      iteration: this.#iteration,
    };
  }

  /** What holds from the end of this pass on. */
  steer(steering: Pick<PreCopyGuest, 'maxDowntimeMs' | 'autoConverge'>): void {
    this.#guest = { ...this.#guest, ...steering };
  }

  /** Sends for `ms` at `bytesPerSec`; the guest runs, and writes, meanwhile. */
  advance(ms: number, bytesPerSec: number): void {
    let left = ms;
    while (left > 0 && !this.#done) {
      const passMs = (this.#remaining / bytesPerSec) * 1_000;
      const stepMs = Math.min(left, passMs);
      const sent = Math.min(this.#remaining, (bytesPerSec * stepMs) / 1_000);
      this.#remaining -= sent;
      this.#transferred += sent;
      this.#dirtied = Math.min(this.#guest.memoryBytes, this.#dirtied + (this.#dirtyRate * stepMs) / 1_000);
      left -= stepMs;
      if (stepMs >= passMs) this.#endPass(bytesPerSec);
    }
    const arrived = 100 * (1 - this.#remaining / this.#guest.memoryBytes);
    this.#percent = this.#done ? 100 : Math.min(99, Math.max(this.#percent, arrived));
  }

  #endPass(bytesPerSec: number): void {
    const lastPassMs = (this.#dirtied / bytesPerSec) * 1_000;
    this.#remaining = this.#dirtied;
    this.#dirtied = 0;
    if (lastPassMs <= this.#guest.maxDowntimeMs) {
      this.#transferred += this.#remaining;
      this.#remaining = 0;
      this.#done = true;
      return;
    }
    this.#iteration += 1;
    if (this.#guest.autoConverge && this.#iteration >= FIRST_THROTTLED_PASS) this.#dirtyRate /= 2;
  }
}
