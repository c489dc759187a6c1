/**
 * How much may be on its way: what the link carries in the time that a byte takes to be delivered, with a little more, between a floor and
 * what the operator and the peer allow. It bounds memory, and what a hypervisor may believe to be sent; the rate is the pace's business.
 *
 * A byte takes one round trip if no packet is lost. With losses it waits for the slowest packet before it: of M packets on their way and a
 * share p lost, the last has arrived after about 1 + log(10 M) / log(1 / p) round trips.
 */
import type { LinkSample } from './link-watch.ts';

const floorBytes = 2 << 20;
const initialBytes = 8 << 20;
/** While BBR searches it has up to 2.9 times on its way of what arrives: with less here it would not find the link, but this window. */
const startupGain = 3;
const steadyGain = 1.25;
/** A frame counts when it is complete, in order, written and reported, which takes longer than the round trip of a packet. */
const slackMs = 40;
const packetBytes = 1_448;
const mostRounds = 5;
/** So many bytes sent are looked at when the share of lost ones is judged, at least. */
const lossMemoryBytes = 32 << 20;

export interface LinkState {
  bytesPerSec: number;
  startup: boolean;
  /** What round trips take now, when the queue is not ours to shorten; else the shortest. */
  rttMs: number;
}

export class Window {
  bytes: number;
  /** Share of the bytes sent of late that had to be sent again. */
  lossShare = 0;
  readonly #maxBytes: number;
  #sentBytes = 0;
  #retransmittedBytes = 0;
  #wasSteady = false;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.bytes = Math.min(maxBytes, initialBytes);
  }

  /**
   * `isSteady`: no search for the link's rate, and no queue of our own, made the losses. Until there was such a time all count; from then on only
   * such times do: what a search drove out of a full queue says nothing about the path, and would keep the window large for long.
   */
  sampleLoss({ sentBytes, retransmittedBytes }: LinkSample, isSteady: boolean): void {
    const sent = sentBytes - this.#sentBytes;
    const retransmitted = retransmittedBytes - this.#retransmittedBytes;
    this.#sentBytes = sentBytes;
    this.#retransmittedBytes = retransmittedBytes;
    if (sent <= 0 || (this.#wasSteady && !isSteady)) return;
    if (isSteady && !this.#wasSteady) this.lossShare = 0;
    this.#wasSteady ||= isSteady;
    const share = Math.min(1, retransmitted / sent);
    this.lossShare += (share - this.lossShare) * (1 - Math.exp(-sent / lossMemoryBytes));
  }

  /** Returns whether the window changed. */
  resize(link: LinkState): boolean {
    const before = this.bytes;
    const rounds = deliveryRounds((link.bytesPerSec * link.rttMs) / 1_000 / packetBytes, this.lossShare);
    const deliveryMs = link.rttMs * rounds + slackMs;
    const bandwidthDelay = (link.bytesPerSec * deliveryMs) / 1_000;
    const wanted = link.startup ? Math.max(before, startupGain * bandwidthDelay) : steadyGain * bandwidthDelay;
    this.bytes = Math.round(Math.min(this.#maxBytes, Math.max(floorBytes, wanted)));
    return this.bytes !== before;
  }
}

/** Round trips until the last of `packets` has arrived when a share of them is lost each time; at least 1. */
export function deliveryRounds(packets: number, lossShare: number): number {
  if (10 * packets * lossShare < 1) return 1;
  return Math.min(mostRounds, 1 + Math.log(10 * packets) / Math.log(1 / Math.min(0.5, lossShare)));
}
