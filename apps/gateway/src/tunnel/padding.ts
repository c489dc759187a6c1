/**
 * Throw-away data for measuring the link. It is no stream and is never sent again, but it keeps to the same window as one: what is under
 * way and not yet reported as arrived, together with the streams', never exceeds it, so that a probe overflows no queue and hurts
 * nobody else on the link. The far end's reports come over the control channel (see probe.ts).
 */
import { randomFillSync } from 'node:crypto';
import type { Slab, SlabPool } from '../platform/slab.ts';
import { emptyHeader, type FrameHeader, FrameType } from '../protocol/frame.ts';
import type { Pacer } from './pacer.ts';
import type { Subflow } from './subflow.ts';

const frameBytes = 64 << 10;
const leastFrameBytes = 4 << 10;

export class Padding {
  /** Reported by the far end, over all probes. */
  arrivedBytes = 0;
  /** Whether the window held something back since this was last cleared. */
  limited = false;
  readonly #pool: SlabPool;
  readonly #pacers: readonly Pacer[];
  readonly #header: FrameHeader = emptyHeader();
  /** Random: memory as it is found may hold what is nobody's business, and is sealed by no suite where that is `none`. */
  #noise: Slab | null = null;
  #sentBytes = 0;
  #arrivedBefore = 0;
  #untilMs = 0;

  constructor(pool: SlabPool, pacers: readonly Pacer[]) {
    this.#pool = pool;
    this.#pacers = pacers;
    this.#header.type = FrameType.PAD;
  }

  get isRunning(): boolean {
    return performance.now() < this.#untilMs;
  }
  get outstandingBytes(): number {
    return Math.max(0, this.#sentBytes - this.arrivedBytes);
  }

  start(durationMs: number): void {
    this.forget();
    this.#arrivedBefore = this.arrivedBytes;
    this.#untilMs = performance.now() + durationMs;
  }
  /** No more goes out; what is under way still counts. */
  end(): void {
    this.#untilMs = 0;
  }
  stop(): void {
    this.end();
    this.forget();
  }
  /** Gives its memory back; it is not used again. */
  free(): void {
    this.end();
    this.#noise?.release();
    this.#noise = null;
  }
  /** So much of the present probe has arrived. */
  reported(bytes: number): void {
    this.arrivedBytes = Math.max(this.arrivedBytes, this.#arrivedBefore + bytes);
  }
  /** What is under way may never arrive: its subflow is gone. */
  forget(): void {
    this.#sentBytes = this.arrivedBytes;
  }

  /** Fills the batch of a subflow as far as `creditBytes`, the rest of the window, allows. */
  fill(subflow: Subflow, creditBytes: number): void {
    if (!this.isRunning || this.#pacers.some((pacer) => pacer.delayMs() > 0)) return;
    this.#noise ??= this.#makeNoise();
    let length = Math.min(frameBytes, subflow.dataRoom);
    for (let credit = creditBytes - this.outstandingBytes; length >= leastFrameBytes; credit -= length) {
      if (credit < length) {
        this.limited = true;
        break;
      }
      this.#header.payloadLength = length;
      this.#header.plainLength = length;
      subflow.append(this.#header, this.#noise, 0);
      for (const pacer of this.#pacers) pacer.spend(length);
      this.#sentBytes += length;
      length = Math.min(frameBytes, subflow.dataRoom);
    }
  }

  #makeNoise(): Slab {
    const slab = this.#pool.acquire(frameBytes);
    randomFillSync(slab.bytes);
    return slab;
  }
}
