/**
 * How much may be on its way: twice the measured bandwidth-delay product, between a floor and what the operator and the peer allow.
 * While the window itself is the limit the measured rate is window ÷ RTT, so that it doubles each round; once the link is the
 * limit it stays. The round-trip time is the smallest of late, since a queue of our own must not make the window grow.
 */

const floorBytes = 4 << 20;
/** Added to the RTT: acknowledging takes time at the peer. */
const slackMs = 20;
const sampleMs = 50;
const rateSamples = 64;
const rttKeepMs = 30_000;

export class Window {
  readonly #maxBytes: number;
  readonly #rates: number[] = [];
  #bytes: number;
  #minRttMs: number | null = null;
  #minRttAtMs = 0;
  #sampledAtMs = 0;
  #sampledBytes = 0;
  #goodput = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.#bytes = Math.min(maxBytes, 2 * floorBytes);
  }
  get bytes(): number {
    return this.#bytes;
  }
  get rttMs(): number | null {
    return this.#minRttMs;
  }
  /** Of the last second or so. */
  get goodputBytesPerSec(): number {
    return this.#goodput;
  }

  sampleRtt(rttMs: number, nowMs: number): void {
    if (this.#minRttMs !== null && rttMs > this.#minRttMs && nowMs - this.#minRttAtMs < rttKeepMs) return;
    this.#minRttMs = rttMs;
    this.#minRttAtMs = nowMs;
  }

  /** `deliveredBytes` is the running total that the peer has reported. Returns whether the window grew. */
  sampleDelivered(deliveredBytes: number, nowMs: number): boolean {
    const elapsedMs = nowMs - this.#sampledAtMs;
    // At least half a round trip, so that a burst of acknowledgements does not look like a fast link.
    if (elapsedMs < Math.max(sampleMs, (this.#minRttMs ?? 0) / 2)) return false;
    const rate = this.#sampledAtMs === 0 ? 0 : ((deliveredBytes - this.#sampledBytes) * 1000) / elapsedMs;
    this.#sampledAtMs = nowMs;
    this.#sampledBytes = deliveredBytes;
    const weight = Math.min(1, elapsedMs / 1000);
    this.#goodput += (rate - this.#goodput) * weight;
    // Silence says nothing about the link.
    if (rate === 0) return false;
    this.#rates.push(rate);
    if (this.#rates.length > rateSamples) this.#rates.shift();
    const before = this.#bytes;
    const bandwidthDelay = (Math.max(...this.#rates) * ((this.#minRttMs ?? 0) + slackMs)) / 1000;
    this.#bytes = Math.round(Math.min(this.#maxBytes, Math.max(floorBytes, 2 * bandwidthDelay + floorBytes / 2)));
    return this.#bytes > before;
  }
}
