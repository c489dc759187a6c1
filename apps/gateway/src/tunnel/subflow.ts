/**
 * One authenticated TCP connection of the data channel. It pulls: whenever its socket has taken the last batch, it asks the session
 * for the next frames, so that a slow subflow never holds back the others. It owns its wire, its keys, its send buffer and its
 * reader; the session owns what the frames mean.
 *
 *   open ──────────(wire closed, bad frame, stall)──────────▶ closed       `lost` is called on the session exactly once
 *     └─▶ retiring: RETIRE goes out, nothing after it; one comes ──▲
 */
import { asGatewayError, GatewayError } from '../errors.ts';
import type { Slab, SlabPool } from '../platform/slab.ts';
import {
  congestionControl,
  type SocketTuning,
  setCongestionControl,
  setNotSentLowWater,
  setReceiveLowWater,
  socketMemoryBytes,
  type TcpInfo,
  tcpInfo,
} from '../platform/sockets.ts';
import { emptyHeader, type FrameHeader, FrameType, HEADER_BYTES, TAG_BYTES } from '../protocol/frame.ts';
import type { FrameOpener, FrameSealer } from '../security/sealing.ts';
import { Ahead, mostAheadBytes } from './ahead.ts';
import { FrameReader } from './frame-reader.ts';
import { RateMeter } from './rate-meter.ts';
import type { Wire } from './wire.ts';

/** Largest payload that we put into one frame: large enough to make per-frame costs vanish, small enough to interleave. */
export const SEND_PAYLOAD_BYTES = 256 << 10;

export const subflowTuning = {
  congestionControl: ['bbr'],
  // One subflow may have to carry a long path alone. What all of them hold is bounded by the session's window.
  sendBufferBytes: 32 << 20,
  receiveBufferBytes: 32 << 20,
  notSentLowWaterBytes: mostAheadBytes,
  userTimeoutMs: 20_000,
} as const satisfies SocketTuning;

const nowhere = Buffer.allocUnsafeSlow(4096);

export interface RekeyLimits {
  bytes: number;
  ageMs: number;
}
export const defaultRekeyLimits: RekeyLimits = { bytes: 2 ** 36, ageMs: 3_600_000 };

export interface SubflowOwner {
  /** Appends frames to the subflow until its room is used or there is nothing to send on it now. */
  fill(subflow: Subflow): void;
  /** One authentic frame; see FrameHandler for who owns the slab. */
  frame(subflow: Subflow, header: FrameHeader, slab: Slab, offset: number, owned: boolean): void;
  /** The subflow is gone. */
  lost(subflow: Subflow, error: GatewayError): void;
}

export class Subflow {
  readonly id: number;
  readonly generation: number;
  readonly wire: Wire;
  /** Resolves when it is closed. */
  readonly gone: Promise<void>;
  bytesSent = 0;
  bytesReceived = 0;
  /** Frames as they go over the wire, headers and tags included. */
  wireBytes = 0;
  readonly sendRate = new RateMeter();
  readonly receiveRate = new RateMeter();
  rekeys = 0;
  lastReceivedAtMs = performance.now();
  /** Sequenced frames sent on it and not acknowledged. */
  unacknowledgedFrames = 0;
  /** A PING, or the answer to one, that goes with the next batch. */
  pingDue = false;
  /** How many bytes had been written with the oldest PING that is not answered yet; null when there is none. */
  pingMark: number | null = null;
  readonly pong = Buffer.alloc(8);
  pongDue = false;
  /** When its congestion control was started. */
  controlledAtMs = performance.now();
  /** RETIRE: to be said with the next batch; said, so that nothing may follow it here; said by the peer. */
  retireDue = false;
  retireSaid = false;
  retiredByPeer = false;

  readonly #gone: () => void;
  readonly #owner: SubflowOwner;
  readonly #pool: SlabPool;
  readonly #sealer: FrameSealer;
  readonly #reader: FrameReader;
  readonly #opener: FrameOpener;
  readonly #limits: RekeyLimits;
  readonly #rekeyHeader = emptyHeader();
  #batch: Slab | null = null;
  #used = 0;
  #writing = false;
  #closed = false;
  #lowWater = 1;
  readonly #ahead = new Ahead();

  constructor(
    identity: { id: number; generation: number },
    wire: Wire,
    keys: { sealer: FrameSealer; opener: FrameOpener },
    owner: SubflowOwner,
    pool: SlabPool,
    limits: RekeyLimits = defaultRekeyLimits,
  ) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.gone = promise;
    this.#gone = resolve;
    this.id = identity.id;
    this.generation = identity.generation;
    this.wire = wire;
    this.#owner = owner;
    this.#pool = pool;
    this.#sealer = keys.sealer;
    this.#opener = keys.opener;
    this.#limits = limits;
    this.#reader = new FrameReader(pool, keys.opener, (header, slab, offset, owned) => {
      this.bytesReceived += header.payloadLength;
      this.#owner.frame(this, header, slab, offset, owned);
    });
  }

  start(): void {
    // What was read before the wire took over is handled inside `start`; answers to it must wait until the wire can write.
    this.#writing = true;
    this.wire.start({
      // Node asks once more after the callback that closed us.
      buffer: () => (this.#closed ? nowhere : this.#reader.buffer()),
      received: (count) => this.#received(count),
      ended: () => this.#ended(),
      closed: (error) => this.close(asGatewayError(error ?? new GatewayError('SUBFLOW_LOST'), 'SUBFLOW_LOST')),
    });
    this.#writing = false;
    this.pump();
  }

  get isOpen(): boolean {
    return !this.#closed;
  }
  /** Whether it would take frames now. */
  get isIdle(): boolean {
    return !this.#closed && !this.#writing;
  }
  get isRetiring(): boolean {
    return this.retireDue || this.retireSaid || this.retiredByPeer;
  }
  /** Both have said their last: whatever was sent on it has arrived. */
  get isRetired(): boolean {
    return this.retireSaid && this.retiredByPeer;
  }
  /** Largest payload that can still be appended to the present batch. */
  get room(): number {
    const left = SEND_PAYLOAD_BYTES + 4000 - this.#used - 2 * (HEADER_BYTES + TAG_BYTES);
    return this.#closed ? 0 : Math.max(0, Math.min(left, SEND_PAYLOAD_BYTES));
  }

  /** The same for bytes of streams, as far as it is worth while to take them ahead. */
  get dataRoom(): number {
    return Math.min(this.room, this.#ahead.room(this.#used));
  }

  /** Seals one frame into the batch. The caller has checked `room`. */
  append(header: FrameHeader, from: Slab | null, fromOffset: number): void {
    this.#batch ??= this.#pool.acquire(SEND_PAYLOAD_BYTES + 4000);
    const batch = this.#batch;
    const sealer = this.#sealer;
    if (sealer.sealedBytes >= this.#limits.bytes || performance.now() - sealer.keyedAtMs >= this.#limits.ageMs) {
      this.#rekeyHeader.type = FrameType.REKEY;
      this.#sealed(sealer.seal(this.#rekeyHeader, null, 0, batch, this.#used));
      sealer.rekey();
      this.rekeys += 1;
    }
    this.#sealed(sealer.seal(header, from, fromOffset, batch, this.#used));
    this.bytesSent += header.payloadLength;
    this.#ahead.took(header.payloadLength);
  }

  /** Sends what the session has for it; does nothing while the last batch is under way. */
  pump(): void {
    if (this.#writing || this.#closed) return;
    this.#writing = true; // Against pumping again from inside `fill`.
    this.#owner.fill(this);
    const batch = this.#batch;
    if (this.#closed || batch === null || this.#used === 0) {
      this.#writing = false;
      this.#releaseBatch();
      return;
    }
    const bytes = batch.bytes.subarray(0, this.#used);
    this.wire.write(bytes, (taken) => {
      if (!taken) return; // `closed` follows.
      this.#writing = false;
      this.#used = 0;
      if (!this.#closed) this.pump();
    });
  }

  /** Once in a while. */
  sample(nowMs: number): void {
    this.sendRate.sample(this.bytesSent, nowMs);
    this.receiveRate.sample(this.bytesReceived, nowMs);
  }

  info(): TcpInfo | null {
    return this.wire.descriptor === null || this.#closed ? null : tcpInfo(this.wire.descriptor);
  }
  /** Once in a while: how fast it is. */
  adapt(): void {
    const info = this.info();
    const lowWaterBytes = info === null ? null : this.#ahead.sample(info, performance.now());
    if (lowWaterBytes !== null && this.wire.descriptor !== null)
      setNotSentLowWater(this.wire.descriptor, lowWaterBytes);
  }
  /** What the kernel holds in memory for it; null where it does not say. */
  get kernelBytes(): number | null {
    return this.wire.descriptor === null || this.#closed ? null : socketMemoryBytes(this.wire.descriptor);
  }
  /** Starts BBR anew, where that is the congestion control, from the congestion window and round trip that there are. */
  renewControl(): void {
    this.controlledAtMs = performance.now();
    if (this.wire.descriptor === null || this.congestionControl() !== 'bbr') return;
    // Only a change makes the kernel start one.
    setCongestionControl(this.wire.descriptor, ['reno']);
    setCongestionControl(this.wire.descriptor, ['bbr']);
  }
  congestionControl(): string | null {
    return this.wire.descriptor === null || this.#closed ? null : congestionControl(this.wire.descriptor);
  }

  /** Ends it at once; the session is told. */
  close(error: GatewayError): void {
    if (this.#closed) return;
    this.#closed = true;
    this.wire.reset();
    this.#reader.free();
    this.#sealer.free();
    this.#opener.free();
    this.#batch?.discard();
    this.#batch = null;
    this.#owner.lost(this, error);
    this.#gone();
  }

  #sealed(bytes: number): void {
    this.#used += bytes;
    this.wireBytes += bytes;
  }

  #releaseBatch(): void {
    this.#used = 0;
    this.#batch?.release();
    this.#batch = null;
  }

  #received(count: number): boolean {
    if (this.#closed) return false;
    this.lastReceivedAtMs = performance.now();
    try {
      this.#reader.received(count);
    } catch (error) {
      this.close(asGatewayError(error, 'INTERNAL'));
      return false;
    }
    this.#adjustLowWater();
    return !this.#closed;
  }

  /** Inside a large frame the kernel need not wake us for every packet: the rest of the frame is certain to come. */
  #adjustLowWater(): void {
    if (this.wire.descriptor === null || this.#closed) return;
    const wanted = Math.max(1, Math.min(this.#reader.missingBytes, 128 << 10));
    if (wanted === this.#lowWater) return;
    this.#lowWater = wanted;
    setReceiveLowWater(this.wire.descriptor, wanted);
  }

  #ended(): void {
    this.close(new GatewayError(this.#reader.atBoundary ? 'SUBFLOW_LOST' : 'FRAME_TRUNCATED'));
  }
}
