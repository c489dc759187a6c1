/**
 * How much a subflow takes ahead of what its socket has sent. What waits in a socket waits for it, and all that was sent on others after it waits
 * at the far end. So a subflow takes what it sends in a short time at its present rate; and one that is new, whose rate is still a few packets
 * a round trip, takes only what its congestion window has room for at once. Pure.
 */
import type { TcpInfo } from '../platform/sockets.ts';

const aheadMs = 25;
/** Between these limits, the upper one being what costs no speed. */
const leastBytes = 32 << 10;
export const mostAheadBytes = 512 << 10;
/** Less is not worth a batch of its own. */
export const leastBatchBytes = 4 << 10;
/** A path that is slow for so long is slow, not new: there what waits keeps the connection busy. */
const startingRoundTrips = 10;
/** Smaller changes are not worth telling the kernel. */
const tolerance = 0.25;

type Info = Pick<
  TcpInfo,
  'rttMs' | 'minRttMs' | 'congestionWindowSegments' | 'mssBytes' | 'unacknowledgedSegments' | 'notSentBytes'
>;

export class Ahead {
  #bytes = mostAheadBytes;
  /** What the congestion window had room for, less what was taken since; null once it has started. */
  #startBytes: number | null = null;
  #startedAtMs: number | null = null;

  /** What may be taken besides `waitingBytes`, which no socket has yet. */
  room(waitingBytes: number): number {
    return Math.min(this.#bytes - waitingBytes, this.#startBytes ?? Number.POSITIVE_INFINITY);
  }

  took(bytes: number): void {
    if (this.#startBytes !== null) this.#startBytes -= bytes;
  }

  /** Once in a while. The low water of what is not sent that the kernel should be told now; null: that of before. */
  sample(info: Info, nowMs: number): number | null {
    if (info.rttMs <= 0) return null;
    const { congestionWindowSegments, mssBytes, rttMs, minRttMs } = info;
    this.#startedAtMs ??= nowMs;
    const inTime = ((congestionWindowSegments * mssBytes) / rttMs) * aheadMs;
    const isStarting = inTime < leastBytes && nowMs - this.#startedAtMs < startingRoundTrips * minRttMs;
    if (!isStarting) this.#startedAtMs = Number.NEGATIVE_INFINITY; // for good
    this.#startBytes = isStarting ? roomOfWindow(info) : null;
    const wanted = Math.round(Math.min(mostAheadBytes, Math.max(leastBytes, inTime)));
    const isClose = Math.abs(wanted / this.#bytes - 1) < tolerance && wanted !== mostAheadBytes;
    if (isClose || wanted === this.#bytes) return null;
    this.#bytes = wanted;
    return wanted;
  }
}

/** With nothing on its way a window of a packet or two would never grow: then there is room for one batch. */
function roomOfWindow({ congestionWindowSegments, unacknowledgedSegments, mssBytes, notSentBytes }: Info): number {
  const isEmpty = unacknowledgedSegments === 0 && notSentBytes === 0;
  const room = (congestionWindowSegments - unacknowledgedSegments) * mssBytes - notSentBytes;
  return Math.max(isEmpty ? leastBatchBytes : 0, room);
}
