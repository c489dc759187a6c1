/**
 * A gateway lives on a lease, in monotonic time: it ends when the lease has run out and no stream is open. An open stream, even a
 * silent one, holds it (mirrored disks and post-copy are silent for long).
 */
export class Lease {
  isBusy: () => boolean = () => false;
  #untilMs: number;
  #timer: NodeJS.Timeout | null = null;
  readonly #onEnd: () => void;

  /** `leaseMs` null never ends (static mode). */
  constructor(leaseMs: number | null, onEnd: () => void) {
    this.#untilMs = leaseMs === null ? Number.POSITIVE_INFINITY : performance.now() + leaseMs;
    this.#onEnd = onEnd;
    this.touch();
  }
  get remainingMs(): number {
    return Math.max(0, Math.min(Number.MAX_SAFE_INTEGER, Math.round(this.#untilMs - performance.now())));
  }
  /** A lease counts from now; it may become shorter. */
  renew(leaseMs: number): void {
    this.#untilMs = performance.now() + leaseMs;
    this.touch();
  }
  /** Looks whether the end has come; called when a stream ends as well. */
  touch(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#untilMs === Number.POSITIVE_INFINITY) return;
    const leftMs = this.#untilMs - performance.now();
    if (leftMs > 0) this.#timer = setTimeout(() => this.touch(), Math.min(leftMs + 1, 0x7fff_ffff));
    else if (!this.isBusy()) this.#onEnd();
  }
  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#untilMs = Number.POSITIVE_INFINITY;
  }
}
