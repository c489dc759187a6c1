/**
 * What the kernels say about the subflows of a session, taken together: how much has arrived at the peer's kernel, how much had to be sent
 * again, and how long round trips take. From TCP_INFO, so that neither a busy event loop nor a gap in front of a frame blurs it; where
 * there is none, from acknowledgements and pings.
 * Invariant: totals only grow, whatever subflow comes or goes.
 */
import type { TcpInfo } from '../platform/sockets.ts';

/** A subflow, as far as it is looked at here. */
export interface Watched {
  info(): TcpInfo | null;
}

export interface LinkSample {
  nowMs: number;
  deliveredBytes: number;
  sentBytes: number;
  retransmittedBytes: number;
  /** The shortest of the smoothed round trips of subflows on which something arrived since the last look; null when none is to be believed. */
  rttMs: number | null;
  /** The shortest round trip of the last minutes; null when none is known. */
  minRttMs: number | null;
}

interface Totals {
  delivered: number;
  sent: number;
  retransmitted: number;
}

interface Seen extends Totals {
  /** Its smoothed round trip is one of packets. */
  isSettled: boolean;
}

/**
 * A handshake of which a packet was lost counts as one round trip, of a second and more, and is smoothed away by those that follow: until this is
 * close to the shortest one, or is the mean of so many that the first one is forgotten, it would look like a queue.
 */
const settledExcessMs = 8;
const settledExcessShare = 0.1;
const settledSegments = 64;

/** Of pings: a busy processor makes single ones look longer than they were; the path may change. */
const recentPings = 3;
const pingKeepMs = 30_000;

export class LinkWatch {
  /** The shortest round trip of late, whoever told it; null when none is known. */
  minRttMs: number | null = null;
  /** Whether a kernel answers, so that pings tell nothing new. */
  asksKernel = false;
  #pings: number[] = [];
  #shortestPing = { rttMs: Number.POSITIVE_INFINITY, atMs: 0 };
  readonly #seen = new WeakMap<Watched, Seen>();
  readonly #total: Totals = { delivered: 0, sent: 0, retransmitted: 0 };

  /** A round trip between the two processes. */
  ping(rttMs: number, nowMs: number): void {
    this.#pings.push(rttMs);
    if (this.#pings.length > recentPings) this.#pings.shift();
    const { rttMs: shortest, atMs } = this.#shortestPing;
    if (rttMs <= shortest || nowMs - atMs > pingKeepMs) this.#shortestPing = { rttMs, atMs: nowMs };
    this.minRttMs ??= rttMs;
  }

  /** `acknowledgedBytes` is what the peer's process has confirmed, for where no kernel can be asked. */
  look(subflows: readonly Watched[], acknowledgedBytes: number, nowMs: number): LinkSample {
    const asked = this.#ask(subflows, nowMs);
    this.asksKernel = asked !== null;
    const sample = asked ?? {
      nowMs,
      deliveredBytes: acknowledgedBytes,
      sentBytes: 0,
      retransmittedBytes: 0,
      rttMs: this.#pings.length === 0 ? null : Math.min(...this.#pings),
      minRttMs: this.#pings.length === 0 ? null : this.#shortestPing.rttMs,
    };
    this.minRttMs = sample.minRttMs ?? this.minRttMs;
    return sample;
  }

  /** Null when no subflow has a kernel to ask. */
  #ask(subflows: readonly Watched[], nowMs: number): LinkSample | null {
    const told = subflows.flatMap((subflow) => {
      const info = subflow.info();
      return info === null ? [] : [{ subflow, info }];
    });
    if (told.length === 0) return null;
    const known = told.filter(({ info }) => info.deliveredSegments > 0).map(({ info }) => info.minRttMs);
    const minRttMs = known.length === 0 ? null : Math.min(...known);
    const shortestMs = Math.min(minRttMs ?? Number.POSITIVE_INFINITY, this.minRttMs ?? Number.POSITIVE_INFINITY);
    let rttMs: number | null = null;
    for (const { subflow, info } of told) {
      const isTelling = this.#count(subflow, info, shortestMs);
      if (isTelling && (rttMs === null || info.rttMs < rttMs)) rttMs = info.rttMs;
    }
    const { delivered, sent, retransmitted } = this.#total;
    return { nowMs, deliveredBytes: delivered, sentBytes: sent, retransmittedBytes: retransmitted, rttMs, minRttMs };
  }

  /** Whether something has arrived since the last look, and how long that took is to be believed. */
  #count(subflow: Watched, info: TcpInfo, shortestMs: number): boolean {
    const before = this.#seen.get(subflow) ?? { delivered: 0, sent: 0, retransmitted: 0, isSettled: false };
    const now = {
      delivered: info.deliveredSegments * info.mssBytes,
      sent: info.bytesSent,
      retransmitted: info.bytesRetransmitted,
      isSettled: before.isSettled || hasSettled(info, shortestMs),
    };
    this.#seen.set(subflow, now);
    // The segment size may shrink with the path's MTU.
    const arrived = Math.max(0, now.delivered - before.delivered);
    this.#total.delivered += arrived;
    this.#total.sent += now.sent - before.sent;
    this.#total.retransmitted += now.retransmitted - before.retransmitted;
    return arrived > 0 && now.isSettled;
  }
}

/** @param shortestMs of all subflows: its own may be that of the handshake */
function hasSettled({ rttMs, deliveredSegments }: TcpInfo, shortestMs: number): boolean {
  const excessMs = Math.max(settledExcessMs, shortestMs * settledExcessShare);
  return deliveredSegments >= settledSegments || rttMs <= shortestMs + excessMs;
}
