/**
 * Cuts one subflow's bytes into frames, authenticates each, and hands it on. Small frames are read many at a time into a stage of
 * 64 KiB; the body of a large one is read straight into a slab of its own, together with the header of its successor, so that
 * nothing large is copied. Nothing is handed on before its tag is verified.
 * Invariant: either `large` is null and the stage grows, or bytes go to `large` until its frame is complete.
 */
import { GatewayError } from '../errors.ts';
import type { Slab, SlabPool } from '../platform/slab.ts';
import {
  decodeHeader,
  emptyHeader,
  type FrameHeader,
  FrameType,
  HEADER_BYTES,
  headerFault,
  TAG_BYTES,
} from '../protocol/frame.ts';
import type { FrameOpener } from '../security/sealing.ts';

/** A frame with more bytes than this gets a slab of its own. */
const largeFrameBytes = 16 << 10;

/**
 * `slab` holds the payload at `offset`. When `owned` the receiver must release the slab; else it must copy what it keeps.
 * `header` is reused by the next frame.
 */
export type FrameHandler = (header: FrameHeader, slab: Slab, offset: number, owned: boolean) => void;

export class FrameReader {
  readonly #pool: SlabPool;
  readonly #opener: FrameOpener;
  readonly #handler: FrameHandler;
  readonly #header = emptyHeader();
  #stage: Slab | null;
  #start = 0;
  #end = 0;
  #large: Slab | null = null;
  #largeFilled = 0;
  #largeNeeded = 0;

  constructor(pool: SlabPool, opener: FrameOpener, handler: FrameHandler) {
    this.#pool = pool;
    this.#opener = opener;
    this.#handler = handler;
    this.#stage = pool.acquire(1 << 16);
  }

  /** Whether the bytes so far end between two frames. */
  get atBoundary(): boolean {
    return this.#large === null && this.#start === this.#end;
  }
  /** Bytes that the frame under way still lacks; 0 when its length is not known yet. */
  get missingBytes(): number {
    return this.#large === null ? 0 : this.#largeNeeded - this.#largeFilled;
  }

  /** Where the next bytes belong. */
  buffer(): Buffer {
    if (this.#large !== null) return this.#large.bytes.subarray(this.#largeFilled, this.#largeNeeded + HEADER_BYTES);
    const stage = this.#liveStage();
    if (this.#start > 0) {
      stage.bytes.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
    }
    return stage.bytes.subarray(this.#end);
  }

  /** `count` bytes were put into the last `buffer()`. Throws GatewayError when they are not what the peer may send. */
  received(count: number): void {
    if (this.#large === null) this.#end += count;
    else {
      this.#largeFilled += count;
      if (this.#largeFilled < this.#largeNeeded) return;
      this.#finishLarge(this.#large);
    }
    this.#parse();
  }

  /** Gives everything back; the reader is not used afterwards. */
  free(): void {
    this.#stage?.release();
    this.#large?.release();
    this.#stage = null;
    this.#large = null;
  }

  #liveStage(): Slab {
    if (this.#stage === null) throw new GatewayError('SUBFLOW_LOST');
    return this.#stage;
  }

  #finishLarge(slab: Slab): void {
    const stage = this.#liveStage();
    this.#start = 0;
    this.#end = slab.bytes.copy(stage.bytes, 0, this.#largeNeeded, this.#largeFilled);
    this.#large = null;
    decodeHeader(slab.bytes, 0, this.#header);
    try {
      this.#open(slab, 0);
    } catch (error) {
      slab.release();
      throw error;
    }
    this.#handler(this.#header, slab, HEADER_BYTES, true);
  }

  #parse(): void {
    while (this.#stage !== null && this.#end - this.#start >= HEADER_BYTES) {
      const stage = this.#stage;
      decodeHeader(stage.bytes, this.#start, this.#header);
      this.#check();
      const needed = HEADER_BYTES + this.#header.payloadLength + TAG_BYTES;
      const available = this.#end - this.#start;
      if (available < needed) {
        if (needed > largeFrameBytes) this.#beginLarge(stage, needed, available);
        return;
      }
      const at = this.#start;
      this.#open(stage, at);
      this.#start += needed;
      this.#handler(this.#header, stage, at + HEADER_BYTES, false);
    }
  }

  #beginLarge(stage: Slab, needed: number, available: number): void {
    const slab = this.#pool.acquire(needed + HEADER_BYTES);
    stage.bytes.copy(slab.bytes, 0, this.#start, this.#end);
    this.#large = slab;
    this.#largeFilled = available;
    this.#largeNeeded = needed;
    this.#start = 0;
    this.#end = 0;
  }

  /** Before anything is allocated for the frame. */
  #check(): void {
    const fault = headerFault(this.#header);
    // An unauthenticated header that makes no sense is a corrupted frame: a sound peer never seals one.
    if (fault !== null) throw new GatewayError('FRAME_CORRUPTED', `(${fault})`);
    if (this.#header.counter !== this.#opener.counter || this.#header.keyPhase !== this.#opener.phase) {
      throw new GatewayError('FRAME_REPLAYED');
    }
  }

  #open(slab: Slab, offset: number): void {
    if (!this.#opener.open(this.#header, slab, offset)) throw new GatewayError('FRAME_CORRUPTED');
    if (this.#header.type === FrameType.REKEY) this.#opener.rekey();
  }
}
