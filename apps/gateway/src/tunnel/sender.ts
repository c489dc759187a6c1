/**
 * The sending half of the data channel: what streams have becomes numbered frames on whichever subflow has room, kept until the peer
 * acknowledges them and bounded by the window. It owns the ledger, the scheduler and the measurements that size the window.
 */
import { GatewayError } from '../errors.ts';
import type { Slab, SlabPool } from '../platform/slab.ts';
import type { Zstd } from '../platform/zstd.ts';
import { FrameType } from '../protocol/frame.ts';
import { decodeAck, decodeCredit } from '../protocol/payloads.ts';
import { leastBatchBytes } from './ahead.ts';
import { Compressor } from './compressor.ts';
import { LinkRate } from './link-rate.ts';
import { type LinkSample, LinkWatch } from './link-watch.ts';
import { Pacer } from './pacer.ts';
import { Padding } from './padding.ts';
import { RateMeter } from './rate-meter.ts';
import { type Allowed, Scheduler } from './scheduler.ts';
import { SendLedger, type SentFrame } from './send-ledger.ts';
import { SteadyLoss } from './steady-loss.ts';
import type { Stream } from './stream.ts';
import type { Subflow } from './subflow.ts';
import { type CountSample, SubflowCount, type SubflowRange } from './subflow-count.ts';
import { Window } from './window.ts';

/** A processor that was busy for so long may catch up; the network's queue grows by as much. */
const paceBurstMs = 8;

export interface SenderHost {
  readonly pool: SlabPool;
  readonly streams: ReadonlyMap<number, Stream>;
  readonly subflows: readonly Subflow[];
  /** Something may go out: let idle subflows take it. */
  wake(): void;
  settle(stream: Stream): void;
  allowed(subflow: Subflow): Allowed;
}

export interface SenderLimits {
  maxWindowBytes: number;
  bandwidthBytesPerSec: number | null;
  /** Who compresses; null when nothing is compressed. */
  zstd: Zstd | null;
  subflows: SubflowRange;
}

export class Sender {
  readonly window: Window;
  readonly link = new LinkWatch();
  readonly linkRate = new LinkRate();
  readonly steadyLoss = new SteadyLoss();
  /** How many subflows would serve best what goes out here. */
  readonly subflowCount: SubflowCount;
  /** What the operator allows. */
  readonly limit: Pacer;
  readonly padding: Padding;
  /** Arrival at the peer. */
  readonly rate = new RateMeter();
  /** Told by the peer to be delivered to hypervisors there. */
  bytesDelivered = 0;
  readonly #host: SenderHost;
  readonly #ledger = new SendLedger((frame) => this.#acknowledged(frame));
  readonly #scheduler: Scheduler;
  /** What the link bears. */
  readonly #pace = new Pacer(null, paceBurstMs);
  readonly #pacers: readonly Pacer[];
  #peerWindowBytes: number;

  constructor(host: SenderHost, limits: SenderLimits) {
    this.#host = host;
    this.window = new Window(limits.maxWindowBytes);
    this.subflowCount = new SubflowCount(limits.subflows);
    this.limit = new Pacer(limits.bandwidthBytesPerSec);
    this.#pacers = [this.limit, this.#pace];
    this.padding = new Padding(host.pool, this.#pacers);
    this.#peerWindowBytes = limits.maxWindowBytes;
    this.#scheduler = new Scheduler(this.#ledger, this.#pacers, () => host.wake());
    this.#scheduler.windowBytes = this.window.bytes;
    if (limits.zstd !== null) this.#scheduler.compressor = new Compressor(limits.zstd, host.pool);
  }

  /** What the peer takes beyond each stream's guarantee; said in its HELLO and with every CREDIT. */
  set peerWindowBytes(bytes: number) {
    this.#peerWindowBytes = bytes;
    this.#applyWindow();
  }

  /** Bytes of hypervisors for each byte on the link, of late; 1 when nothing is compressed. */
  get compressionRatio(): number {
    return this.#scheduler.compressor?.ratio ?? 1;
  }
  /** Something waits that is not for carriers of bulk alone. */
  get hasWorkForLanes(): boolean {
    return this.#scheduler.hasUrgent || this.padding.isRunning;
  }
  /** Something small waits to go over further lanes. */
  get hasCopies(): boolean {
    return this.#scheduler.hasCopies;
  }
  get hasWork(): boolean {
    return this.#scheduler.hasWork || this.padding.isRunning;
  }

  /** The stream has something to send. */
  push(stream: Stream): void {
    this.#scheduler.pushStream(stream);
  }
  /** A frame of a stream without data. */
  pushSmall(type: number, streamId: number, payload: Buffer | null): void {
    let slab: Slab | null = null;
    if (payload !== null) {
      slab = this.#host.pool.acquire(payload.length);
      payload.copy(slab.bytes);
    }
    this.#scheduler.pushSmall({ type, streamId, streamOffset: 0, slab, length: payload?.length ?? 0 });
  }

  /** Puts what may go on this subflow into its batch: streams first, padding in what they leave. */
  fill(subflow: Subflow): void {
    const { padding } = this;
    this.#scheduler.reservedBytes = padding.outstandingBytes;
    const allowed = this.#host.allowed(subflow);
    this.#scheduler.fill(subflow, allowed);
    // On lanes as well: there it opens the congestion window for the first small frames.
    padding.fill(subflow, this.#scheduler.windowBytes - this.#scheduler.sharedBytes);
  }

  /** The subflow is gone: what it carried and the peer does not have goes over the others. */
  lost(subflow: Subflow): void {
    this.#ledger.abandon(subflow);
    this.padding.forget();
  }
  /** The stream is over. */
  drop(stream: Stream): void {
    this.#scheduler.drop(stream);
  }
  stop(): void {
    this.#scheduler.stop();
    this.padding.free();
    this.#ledger.clear();
  }

  /** The payload of an ACK; throws FRAME_INVALID. */
  ack(payload: Buffer): void {
    const ack = decodeAck(payload);
    if (ack === null || !this.#ledger.acknowledge(ack.cumulative, ack.ranges))
      throw new GatewayError('FRAME_INVALID', '(ACK)');
    this.#host.wake();
  }

  /** The payload of a CREDIT; throws FRAME_INVALID. */
  credit(payload: Buffer): void {
    const credit = decodeCredit(payload);
    if (credit === null) throw new GatewayError('FRAME_INVALID', '(CREDIT)');
    this.#peerWindowBytes = credit.windowBytes;
    for (const { streamId, delivered } of credit.entries) {
      const stream = this.#host.streams.get(streamId);
      if (stream !== undefined && delivered > stream.deliveredByPeer) this.#delivered(stream, delivered);
    }
    this.#applyWindow();
    this.#resumeStreams();
    this.#host.wake();
  }

  /** So many bytes of the present padding have arrived at the peer. */
  padArrived(bytes: number): void {
    this.padding.reported(bytes);
    this.#resumeStreams();
    this.#host.wake();
  }

  /** No more padding; streams have the whole window again. */
  stopPadding(): void {
    this.padding.stop();
    this.#measure(performance.now());
    this.#resumeStreams();
    this.#host.wake();
  }

  tick(nowMs: number): void {
    this.#measure(nowMs);
    this.rate.sample(this.#ledger.acknowledgedPlainBytes, nowMs);
  }

  #delivered(stream: Stream, delivered: number): void {
    if (delivered > stream.cutBytes) throw new GatewayError('FRAME_INVALID', '(credit beyond what was sent)');
    this.bytesDelivered += delivered - stream.deliveredByPeer;
    this.#scheduler.delivered(stream, delivered);
    this.#host.settle(stream);
  }

  #acknowledged(frame: SentFrame): void {
    if (frame.type !== FrameType.FIN) return;
    const stream = this.#host.streams.get(frame.streamId);
    if (stream === undefined) return;
    stream.finAcknowledged = true;
    this.#host.settle(stream);
  }

  /** Asks the kernels how the link is, and sets pace and window by it. */
  #measure(nowMs: number): void {
    const { linkRate, window } = this;
    const sample = this.link.look(
      this.#host.subflows,
      this.#ledger.acknowledgedBytes + this.padding.arrivedBytes,
      nowMs,
    );
    const heldBy = this.#heldBy();
    linkRate.sample(sample, heldBy !== 'nothing');
    this.#count(sample, heldBy);
    const isSteady = this.steadyLoss.note(sample, linkRate);
    window.sampleLoss(sample, isSteady || linkRate.state === 'contended');
    this.#pace.rate = linkRate.paceBytesPerSec;
    const rttMs = (this.link.minRttMs ?? 0) + (linkRate.state === 'contended' ? linkRate.queueMs : 0);
    const startup = linkRate.state === 'startup';
    this.#scheduler.linkBytesPerSec = linkRate.bytesPerSec;
    // The window counts what hypervisors gave; the link carries it compressed.
    if (!window.resize({ bytesPerSec: linkRate.bytesPerSec * this.compressionRatio, startup, rttMs })) return;
    this.#applyWindow();
    this.#resumeStreams();
  }

  /** What kept more from going out since the last look; of subflows only when all are full and nothing else held it. */
  #heldBy(): 'subflows' | 'other' | 'nothing' {
    const scheduler = this.#scheduler;
    const limited = scheduler.limited || this.padding.limited;
    scheduler.limited = false;
    this.padding.limited = false;
    if (limited) return 'other';
    const takesMore = (subflow: Subflow): boolean =>
      subflow.isIdle && subflow.dataRoom >= leastBatchBytes && this.#host.allowed(subflow).bulk;
    const full = this.hasWork && !this.#host.subflows.some(takesMore);
    return full ? 'subflows' : 'nothing';
  }

  /** While the rate of the link is searched for it grows by itself; while it is fought for, more subflows would only take from others. */
  #count({ nowMs, deliveredBytes, rttMs }: LinkSample, held: CountSample['heldBy']): void {
    const heldBy = this.linkRate.state === 'paced' ? held : 'unclear';
    const tripMs = rttMs ?? this.link.minRttMs ?? 0;
    if (this.subflowCount.sample({ nowMs, rttMs: tripMs, deliveredBytes, heldBy })) this.linkRate.search();
  }

  #applyWindow(): void {
    this.#scheduler.windowBytes = Math.min(this.window.bytes, this.#peerWindowBytes);
  }

  #resumeStreams(): void {
    for (const stream of this.#host.streams.values()) {
      if (stream.hasWork) this.#scheduler.pushStream(stream);
      stream.readAgain();
    }
  }
}
