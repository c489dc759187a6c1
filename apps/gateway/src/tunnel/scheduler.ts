/**
 * Which frame a subflow takes next. In this order: acknowledgements and credit, pings, frames that lost their subflow, small
 * sequenced frames (OPEN, ACCEPT, RESET), streams with little under way, bulk streams in turn. Lanes are subflows kept free of bulk while there
 * are enough others; they take alone what is small, so that this never waits behind a full socket. Where there are several, what went on one goes
 * on the others as well: the receiver takes whichever comes first, and a packet that was lost on one holds nothing up. A copy is owed to nobody.
 */
import type { Slab } from '../platform/slab.ts';
import { emptyHeader, FrameFlag, FrameType, GUARANTEED_STREAM_BYTES } from '../protocol/frame.ts';
import { leastBatchBytes } from './ahead.ts';
import { allotment } from './allotment.ts';
import type { Compressor } from './compressor.ts';
import { Pacer } from './pacer.ts';
import type { Piece } from './reorder.ts';
import type { SendLedger, SentFrame } from './send-ledger.ts';
import type { Stream } from './stream.ts';
import type { Subflow } from './subflow.ts';

/**
 * The protocol guarantees so much to every stream. Here all together have no more of it than this and the least of each, so that what
 * hundreds of slow readers leave outstanding stays bounded at both ends.
 */
const guarantee = { leastBytes: 16 << 10, mostBytes: GUARANTEED_STREAM_BYTES };
const guaranteedTotalBytes = 16 << 20;

/** A stream that has no more than this under way goes before bulk, on the subflow that is kept free of it, and is not paced. */
const quickBytes = { interactive: 256 << 10, bulk: 32 << 10 } as const;

function isQuick(stream: Stream): boolean {
  return stream.pendingBytes + stream.outstandingBytes <= quickBytes[stream.priority];
}

/** A small sequenced frame that waits for its number. */
export interface SmallFrame {
  type: number;
  streamId: number;
  streamOffset: number;
  slab: Slab | null;
  length: number;
}

/** What may go on a subflow. */
export interface Allowed {
  /** Small sequenced frames and streams that have little under way. */
  quick: boolean;
  bulk: boolean;
  /** On a lane: how many there are, each of which carries what is small. 0 elsewhere. */
  lanes: number;
}

/** Larger frames are no small ones. So many may wait to be copied: past that the oldest, which has the least to gain, is forgotten. */
const copiedBytes = 16 << 10;
const mostCopies = 64;
/** Of the link, so much may go for copies, and never less than this. */
const copyShare = 0.05;
const leastCopyBytesPerSec = 1_000_000;
const copyBurstMs = 100;

/** A frame that waits to go over more lanes. The entry is reused: only with this number it is still the same. */
interface Copy {
  frame: SentFrame;
  sequence: number;
  /** Those that carried it. */
  on: Subflow[];
  lanes: number;
}

export class Scheduler {
  readonly #ledger: SendLedger;
  readonly #pacers: readonly Pacer[];
  readonly #header = emptyHeader();
  readonly #small: SmallFrame[] = [];
  readonly #quick: Stream[] = [];
  readonly #bulk: Stream[] = [];
  readonly #queued = new Set<Stream>();
  /** Bytes in frames beyond each stream's guarantee, not yet delivered. */
  sharedBytes = 0;
  /** Within those guarantees. */
  guaranteedBytes = 0;
  windowBytes = 0;
  #linkBytesPerSec = 0;
  /** Null when frames go as they are. */
  compressor: Compressor | null = null;
  /** Of the window, taken by what is no stream. */
  reservedBytes = 0;
  /** Whether window or pace held something back since this was last cleared. */
  limited = false;
  readonly #copies: Copy[] = [];
  readonly #copyPace = new Pacer(leastCopyBytesPerSec, copyBurstMs);
  #paceTimer: NodeJS.Timeout | null = null;
  readonly #wake: () => void;

  constructor(ledger: SendLedger, pacers: readonly Pacer[], wake: () => void) {
    this.#ledger = ledger;
    this.#pacers = pacers;
    this.#wake = wake;
  }

  /** What the link carries; 0 while it is not known. */
  set linkBytesPerSec(bytesPerSec: number) {
    this.#linkBytesPerSec = bytesPerSec;
    this.#copyPace.rate = Math.max(leastCopyBytesPerSec, copyShare * bytesPerSec);
  }
  get hasCopies(): boolean {
    return this.#copies.length > 0;
  }
  /** Something waits that goes before bulk. */
  get hasUrgent(): boolean {
    return this.#small.length > 0 || this.#quick.length > 0 || this.#ledger.hasResends;
  }
  get hasWork(): boolean {
    return this.hasUrgent || this.#bulk.length > 0;
  }

  pushSmall(frame: SmallFrame): void {
    this.#small.push(frame);
  }
  /** The stream has something to send; queued once however often this is said. */
  pushStream(stream: Stream): void {
    if (this.#queued.has(stream)) return;
    this.#queued.add(stream);
    (isQuick(stream) ? this.#quick : this.#bulk).push(stream);
  }

  /** The peer has delivered the stream up to here. What came out of the window goes back to it first. */
  delivered(stream: Stream, deliveredBytes: number): void {
    const { sharedBytes, guaranteedBytes } = stream;
    stream.deliveredByPeer = deliveredBytes;
    stream.guaranteedBytes = Math.min(guaranteedBytes, stream.outstandingBytes);
    this.sharedBytes += stream.sharedBytes - sharedBytes;
    this.guaranteedBytes += stream.guaranteedBytes - guaranteedBytes;
  }
  /** The stream is over: nothing is kept for it any longer. */
  drop(stream: Stream): void {
    this.sharedBytes -= stream.sharedBytes;
    this.guaranteedBytes -= stream.guaranteedBytes;
  }

  /** Appends frames until the batch is full or nothing may go on this subflow now. */
  fill(subflow: Subflow, allowed: Allowed): void {
    while (subflow.room > 0 && this.#step(subflow, allowed));
  }

  stop(): void {
    if (this.#paceTimer !== null) clearTimeout(this.#paceTimer);
    for (const frame of this.#small) frame.slab?.release();
    this.#small.length = 0;
    this.#quick.length = 0;
    this.#bulk.length = 0;
    this.#copies.length = 0;
    this.#queued.clear();
  }

  #step(subflow: Subflow, allowed: Allowed): boolean {
    if (this.#ledger.hasResends) {
      const frame = this.#ledger.takeResend(subflow.room);
      if (frame !== null) {
        this.#send(frame, subflow, 0);
        return true;
      }
    }
    if (allowed.lanes > 0 && this.#copy(subflow, allowed.lanes)) return true;
    if (!this.#ledger.hasRoom) return false;
    const small = this.#small[0];
    if (small !== undefined) {
      if (small.length > subflow.room) return false;
      this.#small.shift();
      const { type, streamId, streamOffset, slab, length } = small;
      this.#send(this.#ledger.add(type, streamId, streamOffset, slab, 0, length), subflow, allowed.lanes);
      return true;
    }
    if (allowed.quick && this.#stream(this.#quick, subflow, allowed.lanes)) return true;
    // A batch that carries little is not worth cutting a large frame in two for.
    if (!allowed.bulk || subflow.dataRoom < leastBatchBytes) return false;
    return this.#paced() && this.#stream(this.#bulk, subflow, 0);
  }

  #paced(): boolean {
    if (this.#bulk.length === 0) return false;
    let delayMs = 0;
    for (const pacer of this.#pacers) delayMs = Math.max(delayMs, pacer.delayMs());
    if (delayMs === 0) return true;
    this.limited = true;
    this.#paceTimer ??= setTimeout(() => {
      this.#paceTimer = null;
      this.#wake();
    }, Math.ceil(delayMs));
    return false;
  }

  /** One frame of the next stream in turn that has credit. */
  #stream(queue: Stream[], subflow: Subflow, lanes: number): boolean {
    for (let turns = queue.length; turns > 0; turns -= 1) {
      const stream = queue.shift();
      if (stream === undefined) return false;
      this.#queued.delete(stream);
      if (!stream.hasWork) continue;
      const sent = this.#cut(stream, subflow, lanes);
      if (stream.hasWork && (sent || this.#credit(stream) > 0)) this.pushStream(stream);
      if (sent) return true;
    }
    return false;
  }

  /** What the stream may still put into frames. Without credit it leaves the queue; credit that comes pushes it again. */
  #credit(stream: Stream): number {
    const guaranteed = this.#guaranteed(stream);
    const shared = Math.max(0, this.windowBytes - this.sharedBytes - this.reservedBytes);
    const credit = guaranteed + shared;
    if (credit < stream.pendingBytes) this.limited = true;
    return credit;
  }

  /** What is left of it. Never nothing for a stream that has nothing outstanding: each goes on, however many have stalled. */
  #guaranteed(stream: Stream): number {
    const most = allotment(guaranteedTotalBytes - this.guaranteedBytes, guarantee);
    return Math.max(0, most - stream.guaranteedBytes);
  }

  #cut(stream: Stream, subflow: Subflow, lanes: number): boolean {
    if (stream.pendingBytes > 0) {
      const guaranteed = this.#guaranteed(stream);
      const offset = stream.cutBytes;
      const piece = stream.cut(Math.min(subflow.dataRoom, this.#credit(stream)));
      if (piece === undefined) return false;
      const drawn = Math.min(guaranteed, piece.length);
      stream.guaranteedBytes += drawn;
      this.guaranteedBytes += drawn;
      this.sharedBytes += piece.length - drawn;
      const { slab, start, length } = this.#squeeze(piece);
      for (const pacer of this.#pacers) pacer.spend(length);
      const frame = this.#ledger.add(FrameType.DATA, stream.id, offset, slab, start, length, piece.length);
      this.#send(frame, subflow, lanes);
      stream.readAgain();
      return true;
    }
    stream.finSent = true;
    this.#send(this.#ledger.add(FrameType.FIN, stream.id, stream.cutBytes, null, 0, 0), subflow, lanes);
    return true;
  }

  #squeeze(piece: Piece): Piece {
    const squeezed = this.compressor?.squeeze(piece, this.#linkBytesPerSec) ?? null;
    if (squeezed === null) return piece;
    piece.slab.release();
    return squeezed;
  }

  #send(frame: SentFrame, subflow: Subflow, lanes: number): void {
    this.#ledger.carry(frame, subflow);
    this.#append(frame, subflow);
    if (lanes < 2 || frame.length > copiedBytes) return;
    if (this.#copies.length >= mostCopies) this.#copies.shift();
    this.#copies.push({ frame, sequence: frame.sequence, on: [subflow], lanes });
  }

  /** The next copy that may go on this subflow; what has arrived meanwhile, costs too much, or is on every lane of now is forgotten. */
  #copy(subflow: Subflow, lanesNow: number): boolean {
    for (let place = 0; place < this.#copies.length; ) {
      const copy = this.#copies[place];
      if (copy === undefined) return false;
      const { frame, sequence, on, lanes } = copy;
      const most = Math.min(lanes, lanesNow);
      const isVain = frame.acknowledged || frame.sequence !== sequence || on.length >= most;
      if (isVain || this.#copyPace.delayMs() > 0) {
        this.#copies.splice(place, 1);
        continue;
      }
      if (on.includes(subflow)) {
        place += 1;
        continue;
      }
      if (frame.length > subflow.room) return false;
      if (on.push(subflow) >= most) this.#copies.splice(place, 1);
      this.#copyPace.spend(frame.length);
      for (const pacer of this.#pacers) pacer.spend(frame.length);
      this.#append(frame, subflow);
      return true;
    }
    return false;
  }

  #append(frame: SentFrame, subflow: Subflow): void {
    const header = this.#header;
    header.type = frame.type;
    header.sequence = frame.sequence;
    header.streamId = frame.streamId;
    header.streamOffset = frame.streamOffset;
    header.payloadLength = frame.length;
    header.plainLength = frame.plainLength;
    header.flags = frame.length < frame.plainLength ? FrameFlag.COMPRESSED : 0;
    subflow.append(header, frame.slab, frame.start);
  }
}
