/**
 * What this end has to tell the peer about what arrived: sequence numbers (ACK) and how far streams were delivered (CREDIT). Neither is
 * sent again by itself; when a subflow dies, `repeat` says everything once more on another. Owns its timer and its scratch slab.
 */
import type { Slab, SlabPool } from '../platform/slab.ts';
import { emptyHeader, FrameType } from '../protocol/frame.ts';
import { type CreditEntry, encodeAck, encodeCredit, MAX_CREDIT_ENTRIES } from '../protocol/payloads.ts';
import type { ReceiveLedger } from './receive-ledger.ts';
import type { Stream } from './stream.ts';
import type { Subflow } from './subflow.ts';

/** An ACK goes out after so much, or so long after the first frame that it would acknowledge. */
const ackBytes = 512 << 10;
const ackDelayMs = 4;
/** Deliveries of streams that are over, said again when a subflow dies. */
const rememberedCredits = 1024;
/** The longest ACK or CREDIT, with header and tag. */
const messageRoomBytes = 8_000;

export class Acknowledger {
  readonly #arrivals: ReceiveLedger;
  readonly #windowBytes: number;
  readonly #wake: () => void;
  readonly #scratch: Slab;
  readonly #header = emptyHeader();
  readonly #credits = new Map<number, number>();
  readonly #finalCredits = new Map<number, number>();
  #isDue = false;
  #untoldBytes = 0;
  #timer: NodeJS.Timeout | null = null;
  #stopped = false;

  constructor(arrivals: ReceiveLedger, windowBytes: number, pool: SlabPool, wake: () => void) {
    this.#arrivals = arrivals;
    this.#windowBytes = windowBytes;
    this.#wake = wake;
    this.#scratch = pool.acquire(messageRoomBytes);
  }

  /** Something should go with the next batch of any subflow. */
  get isDue(): boolean {
    return this.#isDue;
  }

  /** `bytes` arrived, or were delivered: soon, or at once when it is much. */
  note(bytes: number): void {
    this.#untoldBytes += bytes;
    if (this.#stopped) return;
    if (this.#untoldBytes >= ackBytes) this.#due();
    else this.#timer ??= setTimeout(() => this.#due(), ackDelayMs);
  }
  delivered(stream: Stream): void {
    this.#credits.set(stream.id, stream.deliveredBytes);
  }
  /** The stream is over; its last word is kept for a while. */
  final(stream: Stream): void {
    this.#finalCredits.set(stream.id, stream.deliveredBytes);
    const oldest = this.#finalCredits.keys().next();
    if (this.#finalCredits.size > rememberedCredits && !oldest.done) this.#finalCredits.delete(oldest.value);
  }
  /** A subflow died, and with it perhaps what it was to tell. */
  repeat(streams: Iterable<Stream>): void {
    for (const stream of streams) this.#credits.set(stream.id, stream.deliveredBytes);
    for (const [id, delivered] of this.#finalCredits) this.#credits.set(id, delivered);
    this.#isDue = true;
  }

  /** Puts what is due into the batch, if there is room. */
  fill(subflow: Subflow): void {
    if (!this.#isDue || subflow.room < messageRoomBytes) return;
    this.#clearTimer();
    this.#untoldBytes = 0;
    const out = this.#scratch.bytes;
    this.#append(subflow, FrameType.ACK, encodeAck(this.#arrivals.cumulative, this.#arrivals.ranges(), out, 0));
    while (this.#credits.size > 0 && subflow.room >= messageRoomBytes) {
      this.#append(subflow, FrameType.CREDIT, encodeCredit(this.#windowBytes, this.#takeEntries(), out, 0));
    }
    this.#isDue = this.#credits.size > 0;
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#clearTimer();
    this.#scratch.release();
  }

  #due(): void {
    this.#clearTimer();
    this.#isDue = true;
    this.#wake();
  }

  #takeEntries(): CreditEntry[] {
    const entries: CreditEntry[] = [];
    for (const [streamId, delivered] of this.#credits) {
      if (entries.length === MAX_CREDIT_ENTRIES) break;
      entries.push({ streamId, delivered });
      this.#credits.delete(streamId);
    }
    return entries;
  }

  #append(subflow: Subflow, type: number, length: number): void {
    this.#header.type = type;
    this.#header.payloadLength = length;
    this.#header.plainLength = length;
    subflow.append(this.#header, this.#scratch, 0);
  }

  #clearTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
