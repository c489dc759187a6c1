/**
 * The receiving half of the data channel: sequenced frames become bytes, ends and resets of streams, each once. It owns the ledger of
 * arrivals and the count of what waits here; the streams' table is the channel's.
 * Invariant: `bufferedBytes` is what arrived and was not yet written to hypervisors, and never exceeds what the peer had credit for.
 */
import { GatewayError } from '../errors.ts';
import type { Slab, SlabPool } from '../platform/slab.ts';
import type { Zstd } from '../platform/zstd.ts';
import {
  FrameFlag,
  type FrameHeader,
  FrameType,
  GUARANTEED_STREAM_BYTES,
  MAX_FRAMES_IN_FLIGHT,
  MAX_STREAMS,
} from '../protocol/frame.ts';
import { decodeOpen, decodeReset, type OpenPayload } from '../protocol/payloads.ts';
import type { Acknowledger } from './acknowledger.ts';
import { PeerStreams } from './peer-streams.ts';
import type { ReceiveLedger } from './receive-ledger.ts';
import type { Piece } from './reorder.ts';
import type { Stream, StreamOutcome } from './stream.ts';

/** A peer may overshoot its credit by what was under way when the window shrank. */
const creditSlackBytes = 1 << 20;

export interface ReceiverHost {
  readonly pool: SlabPool;
  readonly streams: ReadonlyMap<number, Stream>;
  /** A stream of the peer came up; its OPEN may still be under way. */
  addPeerStream(id: number): Stream;
  /** Its OPEN has come. */
  opened(stream: Stream, open: OpenPayload): void;
  /** Opened and reset before we heard of it: only its turn in the dial order counts. */
  skipped(open: OpenPayload): void;
  settle(stream: Stream): void;
  drop(stream: Stream, outcome: StreamOutcome, error: string): void;
}

export class Receiver {
  bufferedBytes = 0;
  /** Pieces of all streams that wait for others in front of them. */
  #waitingPieces = 0;
  readonly #host: ReceiverHost;
  readonly #arrivals: ReceiveLedger;
  readonly #acknowledger: Acknowledger;
  readonly #peerStreams: PeerStreams;
  readonly #windowBytes: number;
  readonly #zstd: Zstd;

  constructor(
    host: ReceiverHost,
    arrivals: ReceiveLedger,
    acknowledger: Acknowledger,
    options: { peerIsConnector: boolean; windowBytes: number; zstd: Zstd },
  ) {
    this.#host = host;
    this.#arrivals = arrivals;
    this.#acknowledger = acknowledger;
    this.#peerStreams = new PeerStreams(options.peerIsConnector);
    this.#windowBytes = options.windowBytes;
    this.#zstd = options.zstd;
  }

  /** One authentic sequenced frame; true when the slab was kept. Throws FRAME_INVALID, FLOW_CONTROL_VIOLATED. */
  frame(header: FrameHeader, slab: Slab, offset: number, owned: boolean): boolean {
    const arrival = this.#arrivals.arrive(header.sequence);
    if (arrival === 'impossible') throw new GatewayError('FRAME_INVALID', '(sequence number)');
    this.#acknowledger.note(header.payloadLength);
    if (arrival === 'seen') return false;
    const stream = this.#streamOf(header.streamId);
    if (stream === null) {
      if (header.type === FrameType.OPEN) this.#openedTooLate(slab, offset, header.payloadLength);
      return false;
    }
    if (header.type === FrameType.DATA) return this.#data(stream, header, slab, offset, owned);
    this.#small(stream, header, slab.bytes.subarray(offset, offset + header.payloadLength));
    return false;
  }

  /** The stream of a number; made when the peer may have opened it; null when it is over. */
  #streamOf(id: number): Stream | null {
    const known = this.#host.streams.get(id);
    if (known !== undefined) return known;
    if (!this.#peerStreams.admit(id)) return null;
    // Half of them may be ours.
    if (this.#host.streams.size >= 2 * MAX_STREAMS) throw new GatewayError('FRAME_INVALID', '(too many streams)');
    return this.#host.addPeerStream(id);
  }

  #small(stream: Stream, header: FrameHeader, payload: Buffer): void {
    if (header.type === FrameType.FIN) {
      if (stream.finOffset !== null) throw new GatewayError('FRAME_INVALID', '(second end)');
      if (header.streamOffset < stream.receivedBytes) throw new GatewayError('FRAME_INVALID', '(end before the data)');
      stream.remoteEnd(header.streamOffset);
      this.#host.settle(stream);
    } else if (header.type === FrameType.OPEN) this.#open(stream, payload);
    else if (header.type === FrameType.RESET) this.#reset(stream, payload);
    // ACCEPT needs nothing done: data may follow OPEN at once.
  }

  #open(stream: Stream, payload: Buffer): void {
    const open = decodeOpen(payload);
    if (open === null || stream.initiatedHere) throw new GatewayError('FRAME_INVALID', '(OPEN)');
    if (stream.route !== '') throw new GatewayError('FRAME_INVALID', '(second OPEN)');
    stream.route = open.route;
    stream.priority = open.priority;
    this.#host.opened(stream, open);
  }

  #reset(stream: Stream, payload: Buffer): void {
    const reset = decodeReset(payload);
    if (reset === null) throw new GatewayError('FRAME_INVALID', '(RESET)');
    const dialFailed = reset.reason === 'dial-failed' || reset.reason === 'refused';
    this.#host.drop(stream, dialFailed ? 'dial-failed' : 'reset-by-peer', `${reset.reason}: ${reset.text}`);
  }

  /** A RESET overtook its OPEN: there is nothing to dial, but its turn on the route has passed. */
  #openedTooLate(slab: Slab, offset: number, length: number): void {
    const open = decodeOpen(slab.bytes.subarray(offset, offset + length));
    if (open !== null) this.#host.skipped(open);
  }

  #data(stream: Stream, header: FrameHeader, slab: Slab, offset: number, owned: boolean): boolean {
    this.#bound(header.plainLength);
    const piece = { slab, start: offset, length: header.payloadLength };
    const compressed = (header.flags & FrameFlag.COMPRESSED) !== 0;
    if (compressed) this.#expand(piece, header.plainLength);
    else if (!owned) this.#copy(piece);
    this.bufferedBytes += piece.length;
    const waiting = stream.reorderDepth;
    if (stream.arrive(header.streamOffset, piece)) {
      this.#waitingPieces += stream.reorderDepth - waiting;
      return piece.slab === slab;
    }
    if (piece.slab !== slab) piece.slab.release();
    this.bufferedBytes -= piece.length;
    throw new GatewayError('FRAME_INVALID', '(overlapping data)');
  }

  /** The stream is over: what of it was not delivered is dropped. */
  drop(stream: Stream): void {
    this.bufferedBytes -= stream.receivedBytes - stream.deliveredBytes;
    this.#waitingPieces -= stream.reorderDepth;
  }

  #copy(piece: Piece): void {
    const slab = this.#host.pool.acquire(piece.length);
    piece.slab.bytes.copy(slab.bytes, 0, piece.start, piece.start + piece.length);
    piece.slab = slab;
    piece.start = 0;
  }

  /** The header says how large it becomes, at most a frame; it is never more, and less is refused too. */
  #expand(piece: Piece, plainLength: number): void {
    const slab = this.#host.pool.acquire(plainLength);
    if (piece.length === 0 || !this.#zstd.decompress(piece, { slab, start: 0, length: plainLength })) {
      slab.release();
      throw new GatewayError('FRAME_INVALID', '(compressed data)');
    }
    piece.slab = slab;
    piece.start = 0;
    piece.length = plainLength;
  }

  /** Whatever the peer does: window, each stream's guarantee and some slack, and not a byte more. */
  #bound(length: number): void {
    const limit = this.#windowBytes + this.#host.streams.size * GUARANTEED_STREAM_BYTES + creditSlackBytes;
    if (this.bufferedBytes + length > limit) throw new GatewayError('FLOW_CONTROL_VIOLATED');
    // What is missing in front of them is in frames that are under way.
    if (this.#waitingPieces >= MAX_FRAMES_IN_FLIGHT) throw new GatewayError('FRAME_INVALID', '(data that leaves gaps)');
  }
}
