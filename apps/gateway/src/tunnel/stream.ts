/**
 * One intercepted hypervisor connection, carried end to end. The stream owns its wire (the local TCP connection), the slabs it reads
 * into and the pieces that wait to be written; the data channel owns numbering, credit and transport.
 *
 *   opening ──wire attached──▶ open ──local end──▶ half-closed-local ──┐
 *                               └───remote end──▶ half-closed-remote ──┴──both, all delivered──▶ over
 *   any state ──reset by either side, dial failed, session lost──▶ over
 */
import type { GatewayStatus } from '@lmas/gateway-api';
import { errnoOf } from '../errors.ts';
import type { Slab, SlabPool } from '../platform/slab.ts';
import { socketMemoryBytes } from '../platform/sockets.ts';
import { RateMeter } from './rate-meter.ts';
import type { ReadAhead } from './read-ahead.ts';
import { type Piece, Reorder } from './reorder.ts';
import type { Wire } from './wire.ts';

export type Priority = 'bulk' | 'interactive';
export type StreamState = GatewayStatus['streams'][number]['state'];
export type StreamOutcome = GatewayStatus['closedStreams'][number]['outcome'];

/** The slab for reading grows while reads fill it. */
const chunkGrowth = 4;

/** So many writes wait at the wire at most: each costs memory, however little it carries. */
const mostWrites = 32;
/** Behind those, pieces up to this size are put together into slabs of the other. */
const smallBytes = 16 << 10;
const gatheredBytes = 64 << 10;

const nowhere = Buffer.allocUnsafeSlow(4096);

export interface StreamHost {
  readonly pool: SlabPool;
  readonly readAhead: ReadAhead;
  /** Bytes or the end of the hypervisor's direction wait to be sent. */
  readable(stream: Stream): void;
  /** `bytes` more were written to the hypervisor. */
  delivered(stream: Stream, bytes: number): void;
  /** The hypervisor's connection broke. */
  broken(stream: Stream, reason: string): void;
  /** Something changed that may make the stream over. */
  settle(stream: Stream): void;
}

export class Stream {
  readonly id: number;
  /** Empty until OPEN has arrived: data may overtake it on another subflow. */
  route: string;
  priority: Priority;
  readonly initiatedHere: boolean;
  peer = '';
  /** Sending: read from the hypervisor, put into frames, told to be written at the far end. */
  takenBytes = 0;
  cutBytes = 0;
  deliveredByPeer = 0;
  /** Of what is outstanding, so much is drawn from what every stream has whatever the others do. */
  guaranteedBytes = 0;
  localEnded = false;
  finSent = false;
  finAcknowledged = false;
  /** Receiving: arrived (each byte once), written to the hypervisor, and the length once it is known. */
  receivedBytes = 0;
  deliveredBytes = 0;
  finOffset: number | null = null;
  over = false;
  readonly sendRate = new RateMeter();
  readonly receiveRate = new RateMeter();
  readonly openedAtMs = Date.now();
  /** Wall clock, milliseconds since 1970. */
  firstByteAtMs: number | null = null;
  lastByteAtMs: number | null = null;

  readonly #host: StreamHost;
  readonly #reorder = new Reorder();
  /** In order, and not yet given to the wire; the last one may be a slab in which small ones are gathered. */
  readonly #ready: Piece[] = [];
  #gathering: Piece | null = null;
  #writes = 0;
  #wire: Wire | null = null;
  #wireClosed = false;
  #endWritten = false;
  #segments: Piece[] = [];
  #fill: Slab | null = null;
  #fillEnd = 0;
  #fillLimit = 0;
  #chunkBytes = 0;
  #paused = false;

  constructor(host: StreamHost, id: number, open: { route: string; priority: Priority }, initiatedHere: boolean) {
    this.#host = host;
    this.id = id;
    this.route = open.route;
    this.priority = open.priority;
    this.initiatedHere = initiatedHere;
  }

  get state(): StreamState {
    if (this.#wire === null) return 'opening';
    if (this.localEnded) return 'half-closed-local';
    return this.finOffset === null ? 'open' : 'half-closed-remote';
  }
  /** Read and not yet put into a frame. */
  get pendingBytes(): number {
    return this.takenBytes - this.cutBytes;
  }
  /** In frames and not yet delivered at the far end. */
  get outstandingBytes(): number {
    return this.cutBytes - this.deliveredByPeer;
  }
  /** What it draws from the shared window, beyond what every stream has. */
  get sharedBytes(): number {
    return this.outstandingBytes - this.guaranteedBytes;
  }
  get hasWork(): boolean {
    return !this.over && (this.pendingBytes > 0 || (this.localEnded && !this.finSent));
  }
  /** Pieces that wait for others in front of them. */
  get reorderDepth(): number {
    return this.#reorder.waiting;
  }
  /** What the kernel holds in memory for the hypervisor's connection; null where it does not say. */
  get kernelBytes(): number | null {
    const descriptor = this.#wire?.descriptor ?? null;
    return descriptor === null || this.#wireClosed || this.over ? null : socketMemoryBytes(descriptor);
  }
  /** Once in a while. */
  sample(nowMs: number): void {
    this.sendRate.sample(this.takenBytes, nowMs);
    this.receiveRate.sample(this.deliveredBytes, nowMs);
  }
  get idleMs(): number {
    return Date.now() - (this.lastByteAtMs ?? this.openedAtMs);
  }
  /** Both directions ended, everything written and told, the local connection closed. */
  get isComplete(): boolean {
    return this.#wireClosed && this.finAcknowledged && this.deliveredByPeer === this.cutBytes && this.#hasDelivered;
  }
  /** All that the far hypervisor sent, its end too; what the system has not taken when the connection breaks is lost. */
  get #hasDelivered(): boolean {
    return this.#endWritten && this.deliveredBytes === this.finOffset;
  }

  /** The hypervisor's connection is there. */
  attach(wire: Wire): void {
    this.#wire = wire;
    this.peer = wire.peer;
    wire.start({
      buffer: () => this.#buffer(),
      received: (count) => this.#received(count),
      ended: () => this.#localEnd(),
      closed: (error) => this.#closed(error),
    });
    this.#write();
  }

  /** The front of what waits, at most `limit` bytes, now the caller's with one reference; undefined when nothing waits. */
  cut(limit: number): Piece | undefined {
    const front = this.#segments[0];
    if (front === undefined || limit <= 0) return undefined;
    if (front.length <= limit) {
      this.#segments.shift();
      this.#count(front.length);
      return front;
    }
    const piece = { slab: front.slab.retain(), start: front.start, length: limit };
    front.start += limit;
    front.length -= limit;
    this.#count(limit);
    return piece;
  }

  /** Reads again if reading was stopped and there is room now. */
  readAgain(): void {
    if (!this.#paused || this.over || !this.#host.readAhead.resumes(this.pendingBytes)) return;
    this.#paused = false;
    this.#wire?.resume();
  }

  /** Takes over a piece that arrived; false when it contradicts what arrived before. */
  arrive(offset: number, piece: Piece): boolean {
    if (this.over || (this.finOffset !== null && offset + piece.length > this.finOffset)) return false;
    if (!this.#reorder.add(offset, piece)) return false;
    this.receivedBytes += piece.length;
    this.#write();
    return true;
  }

  /** The far hypervisor ended its direction after `offset` bytes. */
  remoteEnd(offset: number): void {
    this.finOffset = offset;
    this.#write();
  }

  /** Ends everything at once; the hypervisor gets a reset. */
  abort(): void {
    this.over = true;
    this.#wire?.reset();
    this.release();
  }

  /** Gives all slabs back. */
  release(): void {
    this.over = true;
    for (const { slab, length } of this.#segments) {
      this.#host.readAhead.heldBytes -= length;
      slab.release();
    }
    this.#segments = [];
    this.#reorder.clear();
    for (const { slab } of this.#ready.splice(0)) slab.release();
    this.#gathering = null;
    // The kernel reads into it only while the wire is open, and `abort` and `closed` have ended that.
    this.#freeFill();
  }

  #count(bytes: number): void {
    this.cutBytes += bytes;
    this.#host.readAhead.heldBytes -= bytes;
  }

  #buffer(): Buffer {
    if (this.over) return nowhere; // Node asks once more after the callback that ended us.
    if (this.#fill === null) {
      this.#chunkBytes = this.#host.readAhead.chunkOf(this.#chunkBytes);
      this.#fill = this.#host.pool.acquire(this.#chunkBytes);
      this.#host.readAhead.chunkBytes += this.#fill.size;
      this.#fillEnd = 0;
      this.#fillLimit = this.#chunkBytes;
    }
    return this.#fill.bytes.subarray(this.#fillEnd, this.#fillLimit);
  }

  #received(count: number): boolean {
    const slab = this.#fill;
    if (slab === null || this.over) return false;
    const start = this.#fillEnd;
    const last = this.#segments[this.#segments.length - 1];
    if (last !== undefined && last.slab === slab && last.start + last.length === start) last.length += count;
    else this.#segments.push({ slab: slab.retain(), start, length: count });
    this.#fillEnd += count;
    this.takenBytes += count;
    this.#host.readAhead.heldBytes += count;
    this.#touched();
    if (this.#fillEnd >= this.#fillLimit) {
      this.#freeFill();
      this.#chunkBytes *= chunkGrowth;
    }
    this.#host.readable(this);
    this.#paused = this.#host.readAhead.stops(this.pendingBytes);
    return !this.#paused;
  }

  #freeFill(): void {
    if (this.#fill === null) return;
    this.#host.readAhead.chunkBytes -= this.#fill.size;
    this.#fill.release();
    this.#fill = null;
  }

  #localEnd(): void {
    if (this.over || this.localEnded) return;
    this.localEnded = true;
    this.#host.readable(this);
    this.#host.settle(this);
  }

  #closed(error: Error | null): void {
    this.#wireClosed = true;
    if (this.over) return;
    const bothEnded = this.localEnded && this.#hasDelivered;
    if (!bothEnded) this.#host.broken(this, error === null ? 'closed' : (errnoOf(error) ?? error.message));
    else this.#host.settle(this);
  }

  /** Writes what is in order; the end comes after the last byte. */
  #write(): void {
    if (this.over) return;
    for (let piece = this.#reorder.take(); piece !== undefined; piece = this.#reorder.take()) this.#queue(piece);
    const wire = this.#wire;
    if (wire === null) return;
    while (this.#writes < mostWrites && !this.over) {
      const piece = this.#ready.shift();
      if (piece === undefined) break;
      if (piece === this.#gathering) this.#gathering = null;
      this.#give(wire, piece);
    }
    const isAll = this.#ready.length === 0 && this.#reorder.next === this.finOffset;
    if (!isAll || this.#endWritten || this.over) return;
    this.#endWritten = true;
    wire.end();
  }

  #queue(piece: Piece): void {
    if (this.#ready.length === 0 || piece.length > smallBytes) {
      this.#gathering = null;
      this.#ready.push(piece);
      return;
    }
    if (this.#gathering === null || this.#gathering.length + piece.length > this.#gathering.slab.size) {
      // The first one of a row gets no more than it needs: the next piece may be a large one.
      const bytes = this.#gathering === null ? piece.length : gatheredBytes;
      this.#gathering = { slab: this.#host.pool.acquire(bytes), start: 0, length: 0 };
      this.#ready.push(this.#gathering);
    }
    const { slab, start, length } = piece;
    slab.bytes.copy(this.#gathering.slab.bytes, this.#gathering.length, start, start + length);
    this.#gathering.length += length;
    slab.release();
  }

  #give(wire: Wire, { slab, start, length }: Piece): void {
    this.#writes += 1;
    wire.write(slab.bytes.subarray(start, start + length), (taken) => {
      this.#writes -= 1;
      slab.release();
      if (!taken || this.over) return;
      this.deliveredBytes += length;
      this.#touched();
      this.#host.delivered(this, length);
      this.#write();
    });
  }

  #touched(): void {
    const now = Date.now();
    this.firstByteAtMs ??= now;
    this.lastByteAtMs = now;
  }
}
