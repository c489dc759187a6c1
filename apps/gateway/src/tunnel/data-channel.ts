/**
 * The data channel: subflows below, streams above, and between them numbering, acknowledgement, credit and order. It does not know
 * how subflows are made or how the session is authenticated.
 * Invariants: a byte taken from a hypervisor is delivered once and in order, or its stream is reset; what is taken and not yet
 * delivered is bounded by the window plus a fixed guarantee for each stream; a frame stays in the send ledger until acknowledged.
 */
import { GatewayError } from '../errors.ts';
import type { Slab, SlabPool } from '../platform/slab.ts';
import {
  emptyHeader,
  type FrameHeader,
  FrameType,
  GUARANTEED_STREAM_BYTES,
  isSequenced,
  MAX_FRAMES_IN_FLIGHT,
} from '../protocol/frame.ts';
import {
  type CreditEntry,
  decodeAck,
  decodeCredit,
  decodeOpen,
  decodeReset,
  encodeAck,
  encodeCredit,
  encodeOpen,
  encodeReset,
  MAX_CREDIT_ENTRIES,
  type OpenPayload,
  type ResetReason,
} from '../protocol/payloads.ts';
import { Pacer } from './pacer.ts';
import { ReceiveLedger } from './receive-ledger.ts';
import { Scheduler } from './scheduler.ts';
import { SendLedger, type SentFrame } from './send-ledger.ts';
import { Stream, type StreamHost, type StreamOutcome } from './stream.ts';
import type { Subflow, SubflowOwner } from './subflow.ts';
import { Window } from './window.ts';
import type { Wire } from './wire.ts';

/** An ACK goes out after so much, or so long after the first frame that it would acknowledge. */
const ackBytes = 512 << 10;
const ackDelayMs = 4;
/** From so many subflows on, one is kept free of bulk. */
const reserveFromSubflows = 3;
/** A peer may overshoot its credit by what was under way when the window shrank. */
const creditSlackBytes = 1 << 20;
const rememberedCredits = 1024;

export interface StreamClosed {
  stream: Stream;
  outcome: StreamOutcome;
  error: string | null;
}

export interface DataChannelEvents {
  /** The peer opened a stream; the answer comes by `accept` or `refuse`. */
  opened(stream: Stream, open: OpenPayload): void;
  /** The peer opened a stream and reset it before we heard of it: only its turn in the dial order counts. */
  skipped(open: OpenPayload): void;
  streamClosed(closed: StreamClosed): void;
  subflowLost(subflow: Subflow, error: GatewayError): void;
  /** The peer broke the protocol in a way that no new subflow can repair. */
  violated(error: GatewayError): void;
}

export interface DataChannelOptions {
  /** The connector's streams have odd numbers, the acceptor's even ones. */
  connector: boolean;
  maxWindowBytes: number;
  bandwidthBytesPerSec: number | null;
  pool: SlabPool;
  events: DataChannelEvents;
}

export class DataChannel implements SubflowOwner, StreamHost {
  readonly pool: SlabPool;
  readonly window: Window;
  readonly pacer: Pacer;
  readonly streams = new Map<number, Stream>();
  readonly subflows: Subflow[] = [];
  #bytesSentBefore = 0;
  bytesReceived = 0;
  bytesAcknowledged = 0;
  bufferedBytes = 0;
  padBytesReceived = 0;

  readonly #options: DataChannelOptions;
  readonly #ledger: SendLedger;
  readonly #arrivals = new ReceiveLedger();
  readonly #scheduler: Scheduler;
  readonly #header = emptyHeader();
  readonly #scratch: Slab;
  readonly #credits = new Map<number, number>();
  readonly #finalCredits = new Map<number, number>();
  /** Peer's streams: the largest number seen, and those below it that have not been seen yet. */
  #largestPeerId = 0;
  readonly #skippedPeerIds = new Set<number>();
  #nextStreamId: number;
  #peerWindowBytes: number;
  #ackDue = false;
  #unackedBytes = 0;
  #ackTimer: NodeJS.Timeout | null = null;
  #turn = 0;
  #padUntilMs = 0;
  #closed = false;

  constructor(options: DataChannelOptions) {
    this.#options = options;
    this.pool = options.pool;
    this.window = new Window(options.maxWindowBytes);
    this.pacer = new Pacer(options.bandwidthBytesPerSec);
    this.#peerWindowBytes = options.maxWindowBytes;
    this.#nextStreamId = options.connector ? 1 : 2;
    this.#scratch = options.pool.acquire(1 << 13);
    this.#ledger = new SendLedger((frame) => this.#acknowledged(frame));
    this.#scheduler = new Scheduler(this.#ledger, this.pacer, () => this.#kick());
    this.#scheduler.windowBytes = this.window.bytes;
  }

  get inFlightBytes(): number {
    let sum = 0;
    for (const stream of this.streams.values()) sum += stream.takenBytes - stream.deliveredByPeer;
    return sum;
  }
  /** Taken from hypervisors here since the start. */
  get bytesSent(): number {
    let sum = this.#bytesSentBefore;
    for (const stream of this.streams.values()) sum += stream.takenBytes;
    return sum;
  }
  get reorderDepth(): number {
    return this.#arrivals.reorderDepth;
  }
  get framesInFlight(): number {
    return this.#ledger.outstanding;
  }
  get duplicates(): number {
    return this.#arrivals.duplicates;
  }

  // Subflows.

  addSubflow(subflow: Subflow): void {
    this.subflows.push(subflow);
    this.subflows.sort((a, b) => a.id - b.id);
    subflow.start();
    this.ping(subflow);
  }

  /** Measures the round trip of a subflow; the answer feeds the window. */
  ping(subflow: Subflow): void {
    subflow.pingDue = true;
    subflow.pump();
  }

  lost(subflow: Subflow, error: GatewayError): void {
    const place = this.subflows.indexOf(subflow);
    if (place >= 0) this.subflows.splice(place, 1);
    this.#ledger.abandon(subflow);
    // What it was to tell the peer is told again by another.
    for (const stream of this.streams.values()) this.#credits.set(stream.id, stream.deliveredBytes);
    for (const [id, delivered] of this.#finalCredits) this.#credits.set(id, delivered);
    this.#ackDue = true;
    this.#options.events.subflowLost(subflow, error);
    if (!this.#closed) this.#kick();
  }

  fill(subflow: Subflow): void {
    if (subflow.pongDue) {
      subflow.pongDue = false;
      subflow.pong.copy(this.#scratch.bytes);
      this.#append(subflow, FrameType.PONG, 8);
    }
    if (subflow.pingDue) {
      subflow.pingDue = false;
      this.#scratch.bytes.writeDoubleBE(performance.now(), 0);
      this.#append(subflow, FrameType.PING, 8);
    }
    if (this.#ackDue) this.#appendAck(subflow);
    this.#scheduler.fill(subflow, this.#bulkAllowed(subflow));
    if (performance.now() < this.#padUntilMs && this.#bulkAllowed(subflow)) this.#appendPadding(subflow);
  }

  frame(subflow: Subflow, header: FrameHeader, slab: Slab, offset: number, owned: boolean): void {
    let kept = false;
    try {
      if (isSequenced(header.type)) kept = this.#sequenced(header, slab, offset, owned);
      else this.#unsequenced(subflow, header, slab, offset);
    } finally {
      if (owned && !kept) slab.release();
    }
  }

  // Streams.

  openStream(route: string, priority: OpenPayload['priority'], ordinal: number, wire: Wire): Stream {
    const stream = new Stream(this, this.#nextStreamId, { route, priority }, true);
    this.#nextStreamId += 2;
    this.streams.set(stream.id, stream);
    this.#pushSmall(FrameType.OPEN, stream.id, encodeOpen({ route, priority, ordinal }));
    stream.attach(wire);
    this.#kick();
    return stream;
  }

  /** The dial for a stream that the peer opened succeeded. */
  accept(stream: Stream, wire: Wire): void {
    if (stream.over) {
      wire.start({
        buffer: () => Buffer.alloc(1),
        received: () => false,
        ended: () => undefined,
        closed: () => undefined,
      });
      wire.reset();
      return;
    }
    this.#pushSmall(FrameType.ACCEPT, stream.id, null);
    stream.attach(wire);
    this.#kick();
  }

  /** Resets a stream in both directions and tells the peer why. */
  resetStream(stream: Stream, reason: ResetReason, outcome: StreamOutcome, text: string): void {
    if (stream.over) return;
    this.#pushSmall(FrameType.RESET, stream.id, encodeReset(reason, text));
    this.#drop(stream, outcome, text);
    this.#kick();
  }

  /** Ends the channel: streams are reset, subflows closed. */
  close(error: GatewayError, outcome: StreamOutcome): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#ackTimer !== null) clearTimeout(this.#ackTimer);
    for (const stream of [...this.streams.values()]) this.#drop(stream, outcome, error.code);
    for (const subflow of [...this.subflows]) subflow.close(error);
    this.#scheduler.stop();
    this.#ledger.clear();
    this.#scratch.release();
  }

  // StreamHost.

  readable(stream: Stream): void {
    this.#scheduler.pushStream(stream);
    this.#kick();
  }
  delivered(stream: Stream, bytes: number): void {
    this.bytesReceived += bytes;
    this.bufferedBytes -= bytes;
    this.#credits.set(stream.id, stream.deliveredBytes);
    this.#unackedBytes += bytes;
    this.#scheduleAck();
    this.settle(stream);
  }
  broken(stream: Stream, reason: string): void {
    this.resetStream(stream, 'hypervisor', 'reset-by-hypervisor', reason);
  }
  settle(stream: Stream): void {
    if (stream.isComplete && !stream.over) this.#drop(stream, 'finished', null);
  }

  // Probing.

  /** Sends throw-away data on every bulk subflow for a while. */
  pad(durationMs: number): void {
    this.#padUntilMs = performance.now() + durationMs;
    for (const subflow of [...this.subflows]) subflow.pump();
  }

  /** Once in a while: rates, windows, streams that wait for room. */
  tick(): void {
    this.#measure();
    const [first] = this.subflows;
    // The reserved subflow has no queue of its own: its round trips show the one in the network.
    if (first !== undefined && this.inFlightBytes > 0) this.ping(first);
    if (performance.now() < this.#padUntilMs) for (const subflow of [...this.subflows]) subflow.pump();
    this.#kick();
  }

  // Inside: sending.

  #bulkAllowed(subflow: Subflow): boolean {
    return this.subflows.length < reserveFromSubflows || subflow !== this.subflows[0];
  }

  /** Lets idle subflows take what waits, starting with another one each time. */
  #kick(): void {
    const count = this.subflows.length;
    if (count === 0) return;
    if (this.#ackDue || this.#scheduler.hasUrgent) this.subflows[0]?.pump();
    for (let step = 0; step < count && (this.#scheduler.hasWork || this.#ackDue); step += 1) {
      this.#turn = (this.#turn + 1) % count;
      const subflow = this.subflows[this.#turn];
      if (subflow?.isIdle) subflow.pump();
    }
  }

  #append(subflow: Subflow, type: number, length: number): void {
    const header = this.#header;
    header.type = type;
    header.sequence = 0;
    header.streamId = 0;
    header.streamOffset = 0;
    header.payloadLength = length;
    header.plainLength = length;
    subflow.append(header, length === 0 ? null : this.#scratch, 0);
  }

  #appendAck(subflow: Subflow): void {
    if (subflow.room < 8000) return;
    this.#ackDue = false;
    this.#unackedBytes = 0;
    if (this.#ackTimer !== null) clearTimeout(this.#ackTimer);
    this.#ackTimer = null;
    this.#append(
      subflow,
      FrameType.ACK,
      encodeAck(this.#arrivals.cumulative, this.#arrivals.ranges(), this.#scratch.bytes, 0),
    );
    while (this.#credits.size > 0 && subflow.room >= 8000) {
      const entries: CreditEntry[] = [];
      for (const [streamId, delivered] of this.#credits) {
        if (entries.length === MAX_CREDIT_ENTRIES) break;
        entries.push({ streamId, delivered });
        this.#credits.delete(streamId);
      }
      this.#append(
        subflow,
        FrameType.CREDIT,
        encodeCredit(this.#options.maxWindowBytes, entries, this.#scratch.bytes, 0),
      );
    }
    if (this.#credits.size > 0) this.#ackDue = true;
  }

  #appendPadding(subflow: Subflow): void {
    if (this.pacer.delayMs() > 0 || subflow.room < 1 << 16) return;
    const slab = this.pool.acquire(1 << 16);
    while (subflow.room >= 1 << 16) {
      const header = this.#header;
      Object.assign(header, { type: FrameType.PAD, sequence: 0, streamId: 0, streamOffset: 0 });
      header.payloadLength = 1 << 16;
      header.plainLength = 1 << 16;
      subflow.append(header, slab, 0);
      this.pacer.spend(1 << 16);
    }
    slab.release();
  }

  #pushSmall(type: number, streamId: number, payload: Buffer | null): void {
    let slab: Slab | null = null;
    if (payload !== null) {
      slab = this.pool.acquire(payload.length);
      payload.copy(slab.bytes);
    }
    this.#scheduler.pushSmall({ type, streamId, streamOffset: 0, slab, length: payload?.length ?? 0 });
  }

  #acknowledged(frame: SentFrame): void {
    if (frame.type !== FrameType.FIN) return;
    const stream = this.streams.get(frame.streamId);
    if (stream === undefined) return;
    stream.finAcknowledged = true;
    this.settle(stream);
  }

  #resumeStreams(): void {
    for (const stream of this.streams.values()) {
      if (stream.hasWork) this.#scheduler.pushStream(stream);
      stream.readAgain();
    }
  }

  // Inside: receiving.

  #scheduleAck(): void {
    if (this.#closed) return;
    if (this.#unackedBytes >= ackBytes) {
      this.#ackDue = true;
      this.#kick();
      return;
    }
    this.#ackTimer ??= setTimeout(() => {
      this.#ackTimer = null;
      this.#ackDue = true;
      this.#kick();
    }, ackDelayMs);
  }

  #sequenced(header: FrameHeader, slab: Slab, offset: number, owned: boolean): boolean {
    const arrival = this.#arrivals.arrive(header.sequence);
    if (arrival === 'impossible') throw new GatewayError('FRAME_INVALID', '(sequence number)');
    this.#unackedBytes += header.payloadLength;
    this.#scheduleAck();
    if (arrival === 'seen') return false;
    const stream = this.#streamOf(header.streamId);
    if (stream === null) {
      if (header.type === FrameType.OPEN) this.#openedTooLate(slab, offset, header.payloadLength);
      return false;
    }
    return this.#apply(stream, header, slab, offset, owned);
  }

  #apply(stream: Stream, header: FrameHeader, slab: Slab, offset: number, owned: boolean): boolean {
    const { type, payloadLength } = header;
    if (type === FrameType.DATA) return this.#data(stream, header, slab, offset, owned);
    if (type === FrameType.FIN) {
      if (stream.finOffset !== null) throw new GatewayError('FRAME_INVALID', '(second end)');
      stream.remoteEnd(header.streamOffset);
      this.settle(stream);
      return false;
    }
    if (type === FrameType.ACCEPT) return false;
    const payload = slab.bytes.subarray(offset, offset + payloadLength);
    if (type === FrameType.OPEN) {
      const open = decodeOpen(payload);
      if (open === null || stream.initiatedHere) throw new GatewayError('FRAME_INVALID', '(OPEN)');
      this.#opened(stream, open);
      return false;
    }
    const reset = decodeReset(payload);
    if (reset === null) throw new GatewayError('FRAME_INVALID', '(RESET)');
    const dialFailed = reset.reason === 'dial-failed' || reset.reason === 'refused';
    this.#drop(stream, dialFailed ? 'dial-failed' : 'reset-by-peer', `${reset.reason}: ${reset.text}`);
    return false;
  }

  /** A RESET overtook its OPEN: there is nothing to dial, but its turn on the route has passed. */
  #openedTooLate(slab: Slab, offset: number, length: number): void {
    const open = decodeOpen(slab.bytes.subarray(offset, offset + length));
    if (open !== null) this.#options.events.skipped(open);
  }

  #opened(stream: Stream, open: OpenPayload): void {
    if (stream.route !== '') throw new GatewayError('FRAME_INVALID', '(second OPEN)');
    stream.route = open.route;
    stream.priority = open.priority;
    this.#options.events.opened(stream, open);
  }

  #data(stream: Stream, header: FrameHeader, slab: Slab, offset: number, owned: boolean): boolean {
    const length = header.plainLength;
    if ((header.flags & 1) !== 0) throw new GatewayError('FRAME_INVALID', '(compression was not agreed)');
    this.bufferedBytes += length;
    const limit = this.#options.maxWindowBytes + this.streams.size * GUARANTEED_STREAM_BYTES + creditSlackBytes;
    if (this.bufferedBytes > limit) {
      const error = new GatewayError('FLOW_CONTROL_VIOLATED');
      this.#options.events.violated(error);
      throw error;
    }
    const place = owned ? slab : this.pool.acquire(length);
    const start = owned ? offset : 0;
    if (!owned) slab.bytes.copy(place.bytes, 0, offset, offset + length);
    if (stream.arrive(header.streamOffset, { slab: place, start, length })) return true;
    if (!owned) place.release();
    this.bufferedBytes -= length;
    throw new GatewayError('FRAME_INVALID', '(overlapping data)');
  }

  /** The stream of a number; made when the peer may have opened it and the frame that says so is still on its way; null when over. */
  #streamOf(id: number): Stream | null {
    const known = this.streams.get(id);
    if (known !== undefined) return known;
    const peers = id % 2 === (this.#options.connector ? 0 : 1);
    if (!peers || id === 0) return null;
    if (id <= this.#largestPeerId && !this.#skippedPeerIds.delete(id)) return null;
    if (id > this.#largestPeerId) {
      if (id - this.#largestPeerId > 2 * MAX_FRAMES_IN_FLIGHT)
        throw new GatewayError('FRAME_INVALID', '(stream number)');
      const first = this.#largestPeerId === 0 ? (this.#options.connector ? 2 : 1) : this.#largestPeerId + 2;
      for (let skipped = first; skipped < id; skipped += 2) this.#skippedPeerIds.add(skipped);
      this.#largestPeerId = id;
    }
    const stream = new Stream(this, id, { route: '', priority: 'bulk' }, false);
    this.streams.set(id, stream);
    return stream;
  }

  #unsequenced(subflow: Subflow, header: FrameHeader, slab: Slab, offset: number): void {
    const { type, payloadLength } = header;
    const payload = slab.bytes.subarray(offset, offset + payloadLength);
    if (type === FrameType.ACK) this.#ack(payload);
    else if (type === FrameType.CREDIT) this.#credit(payload);
    else if (type === FrameType.PAD) this.padBytesReceived += payloadLength;
    else if (type === FrameType.PING && payloadLength === 8) {
      payload.copy(subflow.pong);
      subflow.pongDue = true;
      subflow.pump();
    } else if (type === FrameType.PONG && payloadLength === 8) {
      const rttMs = performance.now() - payload.readDoubleBE(0);
      if (rttMs >= 0 && rttMs < 60_000) this.window.sampleRtt(rttMs, performance.now());
    }
  }

  #ack(payload: Buffer): void {
    const ack = decodeAck(payload);
    if (ack === null || !this.#ledger.acknowledge(ack.cumulative, ack.ranges))
      throw new GatewayError('FRAME_INVALID', '(ACK)');
    this.#measure();
    this.#kick();
  }

  #measure(): void {
    const scheduler = this.#scheduler;
    if (this.window.sampleArrived(this.#ledger.acknowledgedBytes, scheduler.limited, performance.now()))
      this.#resumeStreams();
    scheduler.limited = false;
    scheduler.windowBytes = Math.min(this.window.bytes, this.#peerWindowBytes);
  }

  #credit(payload: Buffer): void {
    const credit = decodeCredit(payload);
    if (credit === null) throw new GatewayError('FRAME_INVALID', '(CREDIT)');
    this.#peerWindowBytes = credit.windowBytes;
    for (const { streamId, delivered } of credit.entries) {
      const stream = this.streams.get(streamId);
      if (stream === undefined || delivered <= stream.deliveredByPeer) continue;
      if (delivered > stream.cutBytes) throw new GatewayError('FRAME_INVALID', '(credit beyond what was sent)');
      const before = stream.sharedBytes;
      this.bytesAcknowledged += delivered - stream.deliveredByPeer;
      stream.deliveredByPeer = delivered;
      this.#scheduler.sharedBytes += stream.sharedBytes - before;
      this.settle(stream);
    }
    this.#measure();
    this.#resumeStreams();
    this.#kick();
  }

  #drop(stream: Stream, outcome: StreamOutcome, error: string | null): void {
    if (stream.over) return;
    this.#scheduler.sharedBytes -= stream.sharedBytes;
    this.bufferedBytes -= stream.receivedBytes - stream.deliveredBytes;
    this.#finalCredits.set(stream.id, stream.deliveredBytes);
    const oldest = this.#finalCredits.keys().next();
    if (this.#finalCredits.size > rememberedCredits && !oldest.done) this.#finalCredits.delete(oldest.value);
    this.#bytesSentBefore += stream.takenBytes;
    this.streams.delete(stream.id);
    if (outcome === 'finished') stream.release();
    else stream.abort();
    if (stream.route !== '') this.#options.events.streamClosed({ stream, outcome, error });
  }
}
