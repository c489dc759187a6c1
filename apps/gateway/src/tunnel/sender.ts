/**
 * The sending half of the data channel: what streams have becomes numbered frames on whichever subflow has room, kept until the peer
 * acknowledges them and bounded by the window. It owns the ledger, the scheduler and the measurements that size the window.
 */
import { GatewayError } from '../errors.ts';
import type { Slab, SlabPool } from '../platform/slab.ts';
import { FrameType } from '../protocol/frame.ts';
import { decodeAck, decodeCredit } from '../protocol/payloads.ts';
import { Pacer } from './pacer.ts';
import { Padding } from './padding.ts';
import { RateMeter } from './rate-meter.ts';
import { Scheduler } from './scheduler.ts';
import { SendLedger, type SentFrame } from './send-ledger.ts';
import type { Stream } from './stream.ts';
import type { Subflow } from './subflow.ts';
import { Window } from './window.ts';

export interface SenderHost {
  readonly pool: SlabPool;
  readonly streams: ReadonlyMap<number, Stream>;
  /** Something may go out: let idle subflows take it. */
  wake(): void;
  settle(stream: Stream): void;
}

export class Sender {
  readonly window: Window;
  readonly pacer: Pacer;
  readonly padding: Padding;
  /** Arrival at the peer. */
  readonly rate = new RateMeter();
  /** Told by the peer to be delivered to hypervisors there. */
  bytesDelivered = 0;
  readonly #host: SenderHost;
  readonly #ledger = new SendLedger((frame) => this.#acknowledged(frame));
  readonly #scheduler: Scheduler;
  #peerWindowBytes: number;

  constructor(host: SenderHost, limits: { maxWindowBytes: number; bandwidthBytesPerSec: number | null }) {
    this.#host = host;
    this.window = new Window(limits.maxWindowBytes);
    this.pacer = new Pacer(limits.bandwidthBytesPerSec);
    this.padding = new Padding(host.pool, this.pacer);
    this.#peerWindowBytes = limits.maxWindowBytes;
    this.#scheduler = new Scheduler(this.#ledger, this.pacer, () => host.wake());
    this.#scheduler.windowBytes = this.window.bytes;
  }

  /** What the peer takes beyond each stream's guarantee; said in its HELLO and with every CREDIT. */
  set peerWindowBytes(bytes: number) {
    this.#peerWindowBytes = bytes;
    this.#applyWindow();
  }

  /** Something waits that goes before bulk. */
  get hasUrgent(): boolean {
    return this.#scheduler.hasUrgent;
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
  fill(subflow: Subflow, bulkAllowed: boolean): void {
    const { padding } = this;
    this.#scheduler.reservedBytes = padding.outstandingBytes;
    this.#scheduler.fill(subflow, bulkAllowed);
    if (bulkAllowed) padding.fill(subflow, this.#scheduler.windowBytes - this.#scheduler.sharedBytes);
  }

  /** The subflow is gone: what it carried and the peer does not have goes over the others. */
  lost(subflow: Subflow): void {
    this.#ledger.abandon(subflow);
    this.padding.forget();
  }
  /** The stream is over: it draws no longer from the window. */
  drop(stream: Stream): void {
    this.#scheduler.sharedBytes -= stream.sharedBytes;
  }
  stop(): void {
    this.#scheduler.stop();
    this.#ledger.clear();
  }

  /** The payload of an ACK; throws FRAME_INVALID. */
  ack(payload: Buffer): void {
    const ack = decodeAck(payload);
    if (ack === null || !this.#ledger.acknowledge(ack.cumulative, ack.ranges))
      throw new GatewayError('FRAME_INVALID', '(ACK)');
    this.#measure();
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
    this.#measure();
    this.#resumeStreams();
    this.#host.wake();
  }

  /** So many bytes of the present padding have arrived at the peer. */
  padArrived(bytes: number): void {
    this.padding.reported(bytes);
    this.#measure();
    this.#resumeStreams();
    this.#host.wake();
  }

  /** No more padding; streams have the whole window again. */
  stopPadding(): void {
    this.padding.stop();
    this.window.settle();
    this.#applyWindow();
    this.#resumeStreams();
    this.#host.wake();
  }

  tick(nowMs: number): void {
    this.#measure();
    this.rate.sample(this.#ledger.acknowledgedBytes, nowMs);
  }

  #delivered(stream: Stream, delivered: number): void {
    if (delivered > stream.cutBytes) throw new GatewayError('FRAME_INVALID', '(credit beyond what was sent)');
    const before = stream.sharedBytes;
    this.bytesDelivered += delivered - stream.deliveredByPeer;
    stream.deliveredByPeer = delivered;
    this.#scheduler.sharedBytes += stream.sharedBytes - before;
    this.#host.settle(stream);
  }

  #acknowledged(frame: SentFrame): void {
    if (frame.type !== FrameType.FIN) return;
    const stream = this.#host.streams.get(frame.streamId);
    if (stream === undefined) return;
    stream.finAcknowledged = true;
    this.#host.settle(stream);
  }

  /** Shows the window what arrived since the last look. */
  #measure(): void {
    const scheduler = this.#scheduler;
    const arrivedBytes = this.#ledger.acknowledgedBytes + this.padding.arrivedBytes;
    const limited = scheduler.limited || this.padding.limited;
    const changed = this.window.sampleArrived(arrivedBytes, limited, performance.now());
    scheduler.limited = false;
    this.padding.limited = false;
    this.#applyWindow();
    if (changed) this.#resumeStreams();
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
