/**
 * What was sent and not yet acknowledged. Every sequenced frame keeps its plaintext here until the peer has it, so that when a
 * subflow dies its frames are sealed afresh and go over the others. Entries are reused; nothing is allocated per frame.
 * Invariant: sequence numbers from `oldest` to `next - 1` have an entry each; an entry holds one reference to its slab.
 */
import type { Slab } from '../platform/slab.ts';
import { MAX_FRAMES_IN_FLIGHT } from '../protocol/frame.ts';
import type { AckRange } from '../protocol/payloads.ts';
import type { Subflow } from './subflow.ts';

export class SentFrame {
  sequence = 0;
  type = 0;
  streamId = 0;
  streamOffset = 0;
  slab: Slab | null = null;
  start = 0;
  /** Of the payload; shorter than `plainLength` when it is compressed. */
  length = 0;
  plainLength = 0;
  /** Who carries it; null while it waits to go again. */
  subflow: Subflow | null = null;
  acknowledged = true;
}

export class SendLedger {
  readonly #ring: SentFrame[] = Array.from({ length: MAX_FRAMES_IN_FLIGHT }, () => new SentFrame());
  #resend: SentFrame[] = [];
  /** Payload bytes that have arrived at the peer, and what they are uncompressed. */
  acknowledgedBytes = 0;
  acknowledgedPlainBytes = 0;
  #oldest = 1;
  #next = 1;
  readonly #onAcknowledged: (frame: SentFrame) => void;

  constructor(onAcknowledged: (frame: SentFrame) => void) {
    this.#onAcknowledged = onAcknowledged;
  }

  get hasRoom(): boolean {
    return this.#next - this.#oldest < MAX_FRAMES_IN_FLIGHT - 1;
  }
  get hasResends(): boolean {
    return this.#resend.length > 0;
  }
  get outstanding(): number {
    return this.#next - this.#oldest;
  }

  /** The entry of the next sequence number; takes over one reference to `slab`. The caller has checked `hasRoom`. */
  add(
    type: number,
    streamId: number,
    streamOffset: number,
    slab: Slab | null,
    start: number,
    length: number,
    plainLength = length,
  ): SentFrame {
    const frame = this.#at(this.#next);
    frame.sequence = this.#next;
    frame.type = type;
    frame.streamId = streamId;
    frame.streamOffset = streamOffset;
    frame.slab = slab;
    frame.start = start;
    frame.length = length;
    frame.plainLength = plainLength;
    frame.acknowledged = false;
    frame.subflow = null;
    this.#next += 1;
    return frame;
  }

  /** `subflow` carries the frame from now on. */
  carry(frame: SentFrame, subflow: Subflow): void {
    frame.subflow = subflow;
    subflow.unacknowledgedFrames += 1;
  }

  /** A frame that lost its subflow and fits into `room`, oldest first. */
  takeResend(room: number): SentFrame | null {
    for (;;) {
      const frame = this.#resend[0];
      if (frame === undefined) return null;
      if (frame.acknowledged || frame.subflow !== null) {
        this.#resend.shift();
        continue;
      }
      if (frame.length > room) return null;
      this.#resend.shift();
      return frame;
    }
  }

  /** All that `subflow` carried and the peer does not have must go again. Returns how many. */
  abandon(subflow: Subflow): number {
    let count = 0;
    for (let sequence = this.#oldest; sequence < this.#next; sequence += 1) {
      const frame = this.#at(sequence);
      if (frame.acknowledged || frame.subflow !== subflow) continue;
      frame.subflow = null;
      this.#resend.push(frame);
      count += 1;
    }
    this.#resend.sort((a, b) => a.sequence - b.sequence);
    return count;
  }

  /** False when the peer acknowledges what was never sent. */
  acknowledge(cumulative: number, ranges: readonly AckRange[]): boolean {
    const last = ranges[ranges.length - 1];
    const highest = last === undefined ? cumulative : last.first + last.count - 1;
    if (highest >= this.#next) return false;
    for (let sequence = this.#oldest; sequence <= cumulative; sequence += 1) this.#done(sequence);
    for (const { first, count } of ranges) {
      for (let sequence = Math.max(first, this.#oldest); sequence < first + count; sequence += 1) this.#done(sequence);
    }
    while (this.#oldest < this.#next && this.#at(this.#oldest).acknowledged) this.#oldest += 1;
    return true;
  }

  /** Lets go of everything. */
  clear(): void {
    for (let sequence = this.#oldest; sequence < this.#next; sequence += 1) {
      const frame = this.#at(sequence);
      frame.slab?.release();
      frame.slab = null;
      frame.acknowledged = true;
    }
    this.#oldest = this.#next;
    this.#resend = [];
  }

  #at(sequence: number): SentFrame {
    const frame = this.#ring[sequence % MAX_FRAMES_IN_FLIGHT];
    if (frame === undefined) throw new RangeError('A sequence number has no place in the ring.');
    return frame;
  }

  #done(sequence: number): void {
    const frame = this.#at(sequence);
    if (frame.acknowledged) return;
    frame.acknowledged = true;
    this.acknowledgedBytes += frame.length;
    this.acknowledgedPlainBytes += frame.plainLength;
    if (frame.subflow !== null) frame.subflow.unacknowledgedFrames -= 1;
    this.#onAcknowledged(frame);
    frame.slab?.release();
    frame.slab = null;
    frame.subflow = null;
  }
}
