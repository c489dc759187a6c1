/**
 * How much the link itself loses. A sender that looks for the rate of a link overflows queues on the way, and what is lost there it has
 * done itself: so only what is sent while the session is paced and no queue shows counts, and for a while after a queue nothing does, because
 * its losses are sent again a round trip later. Pure. Invariant: too little to judge by is null, never zero.
 */
import type { LinkRate } from './link-rate.ts';
import type { LinkSample } from './link-watch.ts';

/** A thousand packets and more: less says nothing about tenths of a percent. */
const leastBytes = 2 << 20;
/** After a queue, besides two round trips: the kernel may wait so long before it sends again. */
const aftermathMs = 300;
/** As in link-rate.ts: a longer queue than this, and than this share of the round trip, is one. */
const queueMs = 8;
const queueShare = 0.1;

export class SteadyLoss {
  #sentBytes = 0;
  #retransmittedBytes = 0;
  #last: LinkSample | null = null;
  #loadedAtMs: number | null = null;

  /** Share of the bytes that were sent again since `restart`; null while too few were sent undisturbed. */
  get share(): number | null {
    return this.#sentBytes < leastBytes ? null : Math.min(1, this.#retransmittedBytes / this.#sentBytes);
  }

  restart(): void {
    this.#sentBytes = 0;
    this.#retransmittedBytes = 0;
  }

  /** Returns whether the sample shows what the link itself loses. */
  note(sample: LinkSample, link: Pick<LinkRate, 'state' | 'queueMs'>): boolean {
    const last = this.#last;
    this.#last = sample;
    const rttMs = sample.minRttMs ?? 0;
    const isLoaded = link.state !== 'paced' || link.queueMs > Math.max(queueMs, rttMs * queueShare);
    if (isLoaded || this.#loadedAtMs === null) this.#loadedAtMs = sample.nowMs;
    if (last === null || sample.nowMs - this.#loadedAtMs < aftermathMs + 2 * rttMs) return false;
    this.#sentBytes += sample.sentBytes - last.sentBytes;
    this.#retransmittedBytes += sample.retransmittedBytes - last.retransmittedBytes;
    return true;
  }
}
