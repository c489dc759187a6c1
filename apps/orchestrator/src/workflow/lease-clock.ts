/**
 * The clock of a run's lease at Redis: it has the lease renewed in good time, and says when it may have lapsed there, whatever Redis has
 * answered since. It owns its timers.
 */
/** How often a run renews its lease. */
export const renewalMs = (leaseMs: number): number => leaseMs / 4;

export class LeaseClock {
  readonly #leaseMs: number;
  readonly #onLapse: () => void;
  readonly #renewal: NodeJS.Timeout;
  #expiry: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(leaseMs: number, { renew, onLapse }: { renew: () => void; onLapse: () => void }) {
    this.#leaseMs = leaseMs;
    this.#onLapse = onLapse;
    this.#renewal = setInterval(renew, renewalMs(leaseMs));
  }

  /** The lease began at Redis no sooner than it was asked for. @param sentAt on the monotonic clock */
  holdFrom(sentAt: number): void {
    if (this.#stopped) return;
    clearTimeout(this.#expiry);
    const leftMs = sentAt + this.#leaseMs - performance.now();
    this.#expiry = setTimeout(this.#onLapse, Math.max(0, leftMs));
  }

  /** Idempotent. */
  stop(): void {
    this.#stopped = true;
    clearInterval(this.#renewal);
    clearTimeout(this.#expiry);
  }
}
