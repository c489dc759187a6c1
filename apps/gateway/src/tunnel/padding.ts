/**
 * Throw-away data for measuring the link. It is no stream and is never sent again, but it keeps to the same window as one: what is under
 * way and not yet reported as arrived, together with the streams', never exceeds it, so that a probe overflows no queue and hurts
 * nobody else on the link. The far end's reports come over the control channel (see probe.ts).
 */
import type { SlabPool } from '../platform/slab.ts';
import { emptyHeader, type FrameHeader, FrameType } from '../protocol/frame.ts';
import type { Pacer } from './pacer.ts';
import type { Subflow } from './subflow.ts';

const frameBytes = 1 << 16;

export class Padding {
  /** Reported by the far end, over all probes. */
  arrivedBytes = 0;
  /** Whether the window held something back since this was last cleared. */
  limited = false;
  readonly #pool: SlabPool;
  readonly #pacers: readonly Pacer[];
  readonly #header: FrameHeader = emptyHeader();
  #sentBytes = 0;
  #arrivedBefore = 0;
  #untilMs = 0;

  constructor(pool: SlabPool, pacers: readonly Pacer[]) {
    this.#pool = pool;
    this.#pacers = pacers;
    this.#header.type = FrameType.PAD;
    this.#header.payloadLength = frameBytes;
    this.#header.plainLength = frameBytes;
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
  stop(): void {
    this.#untilMs = 0;
    this.forget();
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
    if (!this.isRunning || subflow.room < frameBytes || this.#pacers.some((pacer) => pacer.delayMs() > 0)) return;
    const slab = this.#pool.acquire(frameBytes);
    for (let credit = creditBytes - this.outstandingBytes; subflow.room >= frameBytes; credit -= frameBytes) {
      if (credit < frameBytes) {
        this.limited = true;
        break;
      }
      subflow.append(this.#header, slab, 0);
      for (const pacer of this.#pacers) pacer.spend(frameBytes);
      this.#sentBytes += frameBytes;
    }
    slab.release();
  }
}
