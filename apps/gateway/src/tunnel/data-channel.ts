/**
 * The data channel: subflows below, streams above, and the table of both. What goes out is the sender's, what arrives the receiver's,
 * what is told about it the acknowledger's. It does not know how subflows are made or how the session is authenticated.
 * Invariants: a byte taken from a hypervisor is delivered once and in order, or its stream is reset; what is taken and not yet
 * delivered is bounded by the window, the guarantees of streams and what is read ahead; a frame stays in the send ledger until acknowledged.
 */
import { GatewayError } from '../errors.ts';
import type { Slab, SlabPool } from '../platform/slab.ts';
import { makeZstd } from '../platform/zstd.ts';
import { emptyHeader, type FrameHeader, FrameType, isSequenced, MAX_STREAMS, MAX_SUBFLOWS } from '../protocol/frame.ts';
import { encodeOpen, encodeReset, type OpenPayload, type ResetReason } from '../protocol/payloads.ts';
import { Acknowledger } from './acknowledger.ts';
import { RateMeter } from './rate-meter.ts';
import { ReadAhead } from './read-ahead.ts';
import { ReceiveLedger } from './receive-ledger.ts';
import { Receiver, type ReceiverHost } from './receiver.ts';
import { Retirement } from './retirement.ts';
import type { Allowed } from './scheduler.ts';
import { Sender, type SenderHost } from './sender.ts';
import { Stream, type StreamHost, type StreamOutcome } from './stream.ts';
import type { Subflow, SubflowOwner } from './subflow.ts';
import type { SubflowRange } from './subflow-count.ts';
import { SubflowTable } from './subflow-table.ts';
import { discardWire, type Wire } from './wire.ts';

/** A PING or PONG. */
const pingBytes = 8;
const longestRttMs = 60_000;

export interface StreamClosed {
  stream: Stream;
  outcome: StreamOutcome;
  error: string | null;
}

export interface DataChannelEvents {
  /** The peer opened a stream; the answer comes by `accept` or `resetStream`. */
  opened(stream: Stream, open: OpenPayload): void;
  /** The peer opened a stream and reset it before we heard of it: only its turn in the dial order counts. */
  skipped(open: OpenPayload): void;
  streamClosed(closed: StreamClosed): void;
  subflowLost(subflow: Subflow, error: GatewayError): void;
  /** It is gone because both ends had said their last on it. */
  subflowRetired(subflow: Subflow): void;
  /** The peer broke the protocol. No new subflow can repair that: the same frame would come again. */
  violated(error: GatewayError): void;
}

export interface DataChannelOptions {
  /** The connector's streams have odd numbers, the acceptor's even ones. */
  connector: boolean;
  maxWindowBytes: number;
  bandwidthBytesPerSec: number | null;
  /** Whether this end may compress what it sends. What comes compressed is understood either way. */
  compression?: boolean;
  /** How many subflows there may be; it decides how many it wants, and others join and retire them. Not given: as many as there are. */
  subflows?: SubflowRange;
  pool: SlabPool;
  events: DataChannelEvents;
}

export class DataChannel implements SubflowOwner, StreamHost, ReceiverHost, SenderHost {
  readonly pool: SlabPool;
  readonly sender: Sender;
  readonly readAhead = new ReadAhead();
  readonly streams = new Map<number, Stream>();
  readonly receiveRate = new RateMeter();
  /** Delivered to hypervisors here. */
  bytesReceived = 0;
  /** Thrown away here. */
  padBytesReceived = 0;

  readonly #options: DataChannelOptions;
  readonly #table = new SubflowTable();
  readonly #retirement: Retirement;
  readonly #arrivals = new ReceiveLedger();
  readonly #acknowledger: Acknowledger;
  readonly #receiver: Receiver;
  readonly #header = emptyHeader();
  readonly #scratch: Slab;
  readonly #zstd = makeZstd();
  #bytesSentBefore = 0;
  #firstDeliveryAtMs: number | null = null;
  #lastDeliveryAtMs = 0;
  #nextStreamId: number;
  #closed = false;

  constructor(options: DataChannelOptions) {
    const { connector, maxWindowBytes, pool } = options;
    this.#options = options;
    this.pool = pool;
    const subflows = options.subflows ?? { min: 1, max: MAX_SUBFLOWS };
    const zstd = options.compression === true ? this.#zstd : null;
    this.sender = new Sender(this, { ...options, zstd, subflows });
    this.#nextStreamId = connector ? 1 : 2;
    this.#scratch = pool.acquire(pingBytes);
    this.#acknowledger = new Acknowledger(this.#arrivals, maxWindowBytes, pool, () => this.wake());
    const receiving = { peerIsConnector: !connector, windowBytes: maxWindowBytes, zstd: this.#zstd };
    this.#retirement = new Retirement(connector, {
      appendLast: (subflow) => this.#append(subflow, FrameType.RETIRE, 0),
      retiring: () => this.#table.arrange(),
    });
    this.#receiver = new Receiver(this, this.#arrivals, this.#acknowledger, receiving);
  }

  /** Taken from hypervisors here and not yet delivered there. */
  get inFlightBytes(): number {
    let sum = 0;
    for (const stream of this.streams.values()) sum += stream.takenBytes - stream.deliveredByPeer;
    return sum;
  }
  /** Received and not yet written to hypervisors here. */
  get bufferedBytes(): number {
    return this.#receiver.bufferedBytes;
  }
  /** Taken from hypervisors here since the start. */
  get bytesSent(): number {
    let sum = this.#bytesSentBefore;
    for (const stream of this.streams.values()) sum += stream.takenBytes;
    return sum;
  }
  /** What the kernel holds in memory for the sockets of subflows and streams; null where it does not say. */
  get kernelBytes(): number | null {
    const held = [...this.subflows, ...this.streams.values()].map(({ kernelBytes }) => kernelBytes);
    const known = held.filter((bytes) => bytes !== null);
    return known.length === 0 ? null : known.reduce((sum, bytes) => sum + bytes, 0);
  }
  /** From the first to the last delivery here. */
  get receivingMs(): number {
    return this.#firstDeliveryAtMs === null ? 0 : this.#lastDeliveryAtMs - this.#firstDeliveryAtMs;
  }

  // Subflows.

  /** By number; those being retired too. */
  get subflows(): readonly Subflow[] {
    return this.#table.all;
  }

  addSubflow(subflow: Subflow): void {
    if (this.#closed) {
      // Its join was under way when the channel ended.
      discardWire(subflow.wire);
      subflow.close(new GatewayError('SESSION_CLOSED'));
      return;
    }
    this.#table.add(subflow);
    subflow.adapt();
    subflow.start();
    this.ping(subflow);
  }

  /** Measures the round trip of a subflow; the answer feeds the window. */
  ping(subflow: Subflow): void {
    subflow.pingDue = true;
    subflow.pump();
  }

  /** Puts nothing on it any more; it ends when all has arrived. At the connector only. */
  retire(subflow: Subflow): void {
    this.#retirement.begin(subflow);
  }

  lost(subflow: Subflow, error: GatewayError): void {
    this.#table.remove(subflow);
    this.sender.lost(subflow);
    this.#acknowledger.repeat(this.streams.values());
    if (subflow.isRetired) this.#options.events.subflowRetired(subflow);
    else this.#options.events.subflowLost(subflow, error);
    if (!this.#closed) this.wake();
  }

  fill(subflow: Subflow): void {
    if (subflow.isRetiring) {
      this.#retirement.fill(subflow);
      return;
    }
    if (subflow.pongDue) {
      subflow.pongDue = false;
      subflow.pong.copy(this.#scratch.bytes);
      this.#append(subflow, FrameType.PONG, pingBytes);
    }
    if (subflow.pingDue) {
      subflow.pingDue = false;
      this.#scratch.bytes.writeDoubleBE(performance.now(), 0);
      this.#append(subflow, FrameType.PING, pingBytes);
      subflow.pingMark ??= subflow.wireBytes;
    }
    this.#acknowledger.fill(subflow);
    this.sender.fill(subflow);
    if (this.sender.hasCopies) for (const lane of this.#table.lanes) if (lane !== subflow) lane.pump();
  }

  frame(subflow: Subflow, header: FrameHeader, slab: Slab, offset: number, owned: boolean): void {
    let kept = false;
    try {
      if (subflow.retiredByPeer) throw new GatewayError('FRAME_INVALID', '(after RETIRE)');
      if (isSequenced(header.type)) kept = this.#receiver.frame(header, slab, offset, owned);
      else this.#unsequenced(subflow, header.type, slab.bytes.subarray(offset, offset + header.payloadLength));
    } catch (error) {
      if (error instanceof GatewayError) this.#options.events.violated(error);
      throw error;
    } finally {
      if (owned && !kept) slab.release();
    }
  }

  // Streams.

  /** Whether the peer takes one more. */
  get mayOpenStream(): boolean {
    return this.streams.size < MAX_STREAMS;
  }

  openStream(open: OpenPayload, wire: Wire): Stream {
    const stream = new Stream(this, this.#nextStreamId, open, true);
    this.#nextStreamId += 2;
    this.streams.set(stream.id, stream);
    this.sender.pushSmall(FrameType.OPEN, stream.id, encodeOpen(open));
    stream.attach(wire);
    this.wake();
    return stream;
  }

  /** The dial for a stream that the peer opened succeeded. */
  accept(stream: Stream, wire: Wire): void {
    if (stream.over) {
      discardWire(wire);
      return;
    }
    this.sender.pushSmall(FrameType.ACCEPT, stream.id, null);
    stream.attach(wire);
    this.wake();
  }

  /** Resets a stream in both directions and tells the peer why. */
  resetStream(stream: Stream, reason: ResetReason, outcome: StreamOutcome, text: string): void {
    if (stream.over) return;
    this.sender.pushSmall(FrameType.RESET, stream.id, encodeReset(reason, text));
    this.drop(stream, outcome, text);
    this.wake();
  }

  /** Ends the channel: streams are reset, subflows closed. */
  close(error: GatewayError, outcome: StreamOutcome): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const stream of [...this.streams.values()]) this.drop(stream, outcome, error.code);
    for (const subflow of [...this.subflows]) subflow.close(error);
    this.#acknowledger.stop();
    this.sender.stop();
    this.#scratch.release();
    this.#zstd.free();
  }

  // StreamHost.

  readable(stream: Stream): void {
    this.sender.push(stream);
    this.wake();
  }
  delivered(stream: Stream, bytes: number): void {
    this.bytesReceived += bytes;
    this.#lastDeliveryAtMs = performance.now();
    this.#firstDeliveryAtMs ??= this.#lastDeliveryAtMs;
    this.#receiver.bufferedBytes -= bytes;
    this.#acknowledger.delivered(stream);
    this.#acknowledger.note(bytes);
    this.settle(stream);
  }
  broken(stream: Stream, reason: string): void {
    this.resetStream(stream, 'hypervisor', 'reset-by-hypervisor', reason);
  }
  settle(stream: Stream): void {
    if (stream.isComplete && !stream.over) this.drop(stream, 'finished', null);
  }

  // ReceiverHost.

  addPeerStream(id: number): Stream {
    const stream = new Stream(this, id, { route: '', priority: 'bulk' }, false);
    this.streams.set(id, stream);
    return stream;
  }
  opened(stream: Stream, open: OpenPayload): void {
    this.#options.events.opened(stream, open);
  }
  skipped(open: OpenPayload): void {
    this.#options.events.skipped(open);
  }
  drop(stream: Stream, outcome: StreamOutcome, error: string | null): void {
    if (stream.over) return;
    this.sender.drop(stream);
    this.#receiver.drop(stream);
    this.#acknowledger.final(stream);
    this.#bytesSentBefore += stream.takenBytes;
    this.streams.delete(stream.id);
    if (outcome === 'finished') stream.release();
    else stream.abort();
    if (stream.route !== '') this.#options.events.streamClosed({ stream, outcome, error });
  }

  // Probing.

  /** Sends throw-away data on every bulk subflow for a while, within the window. */
  pad(durationMs: number): void {
    this.sender.padding.start(durationMs);
    this.wake();
  }

  /** Once in a while: rates, windows, streams that wait for room. */
  tick(): void {
    const nowMs = performance.now();
    this.sender.tick(nowMs);
    this.#table.renewControls(nowMs, this.sender.linkRate.state === 'paced');
    this.receiveRate.sample(this.bytesReceived, nowMs);
    for (const subflow of this.subflows) {
      subflow.adapt();
      subflow.sample(nowMs);
    }
    for (const stream of this.streams.values()) stream.sample(nowMs);
    const first = this.#table.lanes[0] ?? this.subflows[0];
    const busy = this.inFlightBytes > 0 || this.sender.padding.isRunning;
    // Without a kernel to ask, the round trips of a lane, which has no queue of its own, show the one in the network.
    if (first !== undefined && busy && !this.sender.link.asksKernel) this.ping(first);
    this.wake();
  }

  // SenderHost.

  allowed(subflow: Subflow): Allowed {
    return this.#table.allowed(subflow);
  }

  // Inside: sending.

  /** Lets subflows that are idle take what waits. */
  wake(): void {
    const { sender } = this;
    const acknowledger = this.#acknowledger;
    const isTold = (): boolean => !acknowledger.isDue;
    for (const lane of this.#table.lanes) if (!isTold() || sender.hasWorkForLanes) lane.pump();
    this.#table.pumpCarriers(sender.link.minRttMs, () => isTold() && !sender.hasWork);
  }

  #append(subflow: Subflow, type: number, length: number): void {
    this.#header.type = type;
    this.#header.payloadLength = length;
    this.#header.plainLength = length;
    subflow.append(this.#header, this.#scratch, 0);
  }

  // Inside: what the peer tells.

  #unsequenced(subflow: Subflow, type: number, payload: Buffer): void {
    if (type === FrameType.ACK) this.sender.ack(payload);
    else if (type === FrameType.CREDIT) this.sender.credit(payload);
    else if (type === FrameType.PAD) this.padBytesReceived += payload.length;
    else if (type === FrameType.RETIRE) this.#retirement.heard(subflow);
    else if (type === FrameType.PING && payload.length === pingBytes) {
      payload.copy(subflow.pong);
      subflow.pongDue = true;
      subflow.pump();
    } else if (type === FrameType.PONG && payload.length === pingBytes) {
      const nowMs = performance.now();
      subflow.pingMark = null;
      const rttMs = nowMs - payload.readDoubleBE(0);
      if (rttMs >= 0 && rttMs < longestRttMs) this.sender.link.ping(rttMs, nowMs);
    }
  }
}
