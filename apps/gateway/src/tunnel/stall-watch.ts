/**
 * Finds subflows that are dead without having said so. Three things show it: the peer's kernel takes nothing (a path that swallows packets);
 * the peer answers no PING that its kernel has taken (a byte of a frame's length was changed on the way, and all that follows is taken for
 * the rest of that frame; or a box in between takes everything and passes nothing on); others carry many times as much (one of several
 * paths is bad). Without TCP_INFO only the missing answer tells.
 */
import { GatewayError } from '../errors.ts';
import type { TcpInfo } from '../platform/sockets.ts';
import type { DataChannel } from './data-channel.ts';
import type { Subflow } from './subflow.ts';

export interface StallLimits {
  /** No acknowledgement from the peer's kernel for so long while there is something to acknowledge. */
  kernelMs: number;
  /** Nothing received, or no answer to a PING that has arrived, for so long. */
  silenceMs: number;
  /** How often each subflow is asked. */
  pingMs: number;
}
export const defaultStallLimits: StallLimits = { kernelMs: 3_000, silenceMs: 15_000, pingMs: 2_500 };

interface Watch {
  checkedAtMs: number;
  pingedAtMs: number;
  progressAtMs: number;
  /** The unanswered PING that was looked at last, and since when the peer's kernel has it. */
  pingMark: number | null;
  arrivedAtMs: number;
  /** What the peer's kernel had taken at the newest checks, newest first. */
  acknowledgedBytes: number[];
  /** At so many checks in a row something waited. */
  busyChecks: number;
  /** The most that another subflow carried over the compared checks while something waited here. */
  bestOtherBytes: number;
}
const watches = new WeakMap<Subflow, Watch>();
const checkMs = 500;
/** A subflow that always has something to send is compared with the others over so many checks; so many times less is too little. */
const comparedChecks = 8;
const farBehind = 20;

export function watchSubflows(
  channel: Pick<DataChannel, 'subflows' | 'ping'>,
  nowMs: number,
  limits: StallLimits = defaultStallLimits,
): void {
  const due = channel.subflows.filter((subflow) => nowMs - watchOf(subflow, nowMs).checkedAtMs >= checkMs);
  const progress = due.map((subflow) => look(subflow, watchOf(subflow, nowMs), nowMs));
  for (const [place, subflow] of due.entries()) {
    const watch = watchOf(subflow, nowMs);
    const others = progress.filter((_, other) => other !== place);
    const reason = whyStalled(subflow, watch, progress[place], othersBytes(watch, others), nowMs, limits);
    if (reason !== null) subflow.close(new GatewayError('SUBFLOW_STALLED', `(${reason})`));
    else if (nowMs - watch.pingedAtMs >= limits.pingMs) {
      watch.pingedAtMs = nowMs;
      channel.ping(subflow);
    }
  }
}

/**
 * What another one carried meanwhile. Where all others have nothing left, they may well be waiting for this one, whose bytes the far end misses:
 * then what they carried before counts.
 */
function othersBytes(watch: Watch, others: readonly Progress[]): number {
  const now = Math.max(0, ...others.map(({ bytes }) => bytes));
  watch.bestOtherBytes = watch.busyChecks === 0 ? 0 : Math.max(watch.bestOtherBytes, now);
  return others.every(({ waitingBytes }) => waitingBytes === 0) ? watch.bestOtherBytes : now;
}

function watchOf(subflow: Subflow, nowMs: number): Watch {
  const watch = watches.get(subflow) ?? {
    checkedAtMs: Number.NEGATIVE_INFINITY,
    pingedAtMs: nowMs,
    progressAtMs: nowMs,
    pingMark: null,
    arrivedAtMs: nowMs,
    acknowledgedBytes: [],
    busyChecks: 0,
    bestOtherBytes: 0,
  };
  watches.set(subflow, watch);
  return watch;
}

interface Progress {
  info: TcpInfo | null;
  /** What the peer's kernel took over the compared checks. */
  bytes: number;
  /** Whether something waited all the while. */
  comparable: boolean;
  waitingBytes: number;
}

function look(subflow: Subflow, watch: Watch, nowMs: number): Progress {
  watch.checkedAtMs = nowMs;
  const info = subflow.info();
  if (info === null || info.bytesAcknowledged >= (subflow.pingMark ?? Number.POSITIVE_INFINITY)) {
    if (watch.pingMark !== subflow.pingMark) watch.arrivedAtMs = nowMs;
    watch.pingMark = subflow.pingMark;
  }
  if (info === null) return { info, bytes: 0, comparable: false, waitingBytes: 0 };
  const waitingBytes = info.unacknowledgedSegments * info.mssBytes + info.notSentBytes;
  const { acknowledgedBytes } = watch;
  if (waitingBytes === 0 || info.bytesAcknowledged !== acknowledgedBytes[0]) watch.progressAtMs = nowMs;
  watch.busyChecks = waitingBytes === 0 ? 0 : watch.busyChecks + 1;
  const before = acknowledgedBytes[comparedChecks - 1] ?? info.bytesAcknowledged;
  acknowledgedBytes.unshift(info.bytesAcknowledged);
  acknowledgedBytes.length = Math.min(acknowledgedBytes.length, comparedChecks);
  const comparable = watch.busyChecks > comparedChecks;
  return { info, bytes: info.bytesAcknowledged - before, comparable, waitingBytes };
}

function whyStalled(
  subflow: Subflow,
  watch: Watch,
  progress: Progress | undefined,
  othersBytes: number,
  nowMs: number,
  limits: StallLimits,
): string | null {
  const { info, bytes, comparable, waitingBytes } = progress ?? {
    info: null,
    bytes: 0,
    comparable: false,
    waitingBytes: 0,
  };
  // Retransmission timers back off; a long path gets the time of several round trips.
  if (info !== null && nowMs - watch.progressAtMs > limits.kernelMs + 8 * info.rttMs) return 'nothing is acknowledged';
  // It would take as long again, and meanwhile all that was sent after it waits at the far end.
  if (comparable && bytes * farBehind < othersBytes && waitingBytes > bytes) return 'far behind the others';
  // What we write proves nothing.
  if (nowMs - subflow.lastReceivedAtMs > limits.silenceMs) return 'nothing is received';
  const unanswered = subflow.pingMark !== null && subflow.pingMark === watch.pingMark;
  return unanswered && nowMs - watch.arrivedAtMs > limits.silenceMs ? 'nothing is answered' : null;
}
