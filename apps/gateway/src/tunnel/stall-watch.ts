/**
 * Finds subflows that are dead without having said so (a path that swallows packets). With TCP_INFO the kernel tells whether the
 * peer's kernel takes anything; without it only silence tells, and that needs longer.
 */
import { GatewayError } from '../errors.ts';
import type { DataChannel } from './data-channel.ts';
import type { Subflow } from './subflow.ts';

export interface StallLimits {
  /** No acknowledgement from the peer's kernel for so long while there is something to acknowledge. */
  kernelMs: number;
  /** Nothing received for so long, although it is asked again and again. */
  silenceMs: number;
  /** How often each subflow is asked. */
  pingMs: number;
}
export const defaultStallLimits: StallLimits = { kernelMs: 3_000, silenceMs: 15_000, pingMs: 2_500 };

interface Watch {
  checkedAtMs: number;
  pingedAtMs: number;
  acknowledgedBytes: number;
  progressAtMs: number;
}
const watches = new WeakMap<Subflow, Watch>();
const checkMs = 500;

export function watchSubflows(channel: DataChannel, nowMs: number, limits: StallLimits = defaultStallLimits): void {
  for (const subflow of [...channel.subflows]) {
    const watch = watches.get(subflow) ?? {
      checkedAtMs: 0,
      pingedAtMs: nowMs,
      acknowledgedBytes: -1,
      progressAtMs: nowMs,
    };
    watches.set(subflow, watch);
    if (nowMs - watch.checkedAtMs < checkMs) continue;
    watch.checkedAtMs = nowMs;
    if (isStalled(subflow, watch, nowMs, limits)) {
      subflow.close(new GatewayError('SUBFLOW_STALLED'));
      continue;
    }
    if (nowMs - watch.pingedAtMs >= limits.pingMs) {
      watch.pingedAtMs = nowMs;
      channel.ping(subflow);
    }
  }
}

function isStalled(subflow: Subflow, watch: Watch, nowMs: number, limits: StallLimits): boolean {
  const info = subflow.info();
  if (info !== null) {
    const nothingWaits = info.unacknowledgedSegments === 0 && info.notSentBytes === 0;
    if (nothingWaits || info.bytesAcknowledged !== watch.acknowledgedBytes) watch.progressAtMs = nowMs;
    watch.acknowledgedBytes = info.bytesAcknowledged;
    // Retransmission timers back off; a long path gets the time of several round trips.
    if (nowMs - watch.progressAtMs > limits.kernelMs + 8 * info.rttMs) return true;
  }
  // Asked all the while, with every batch if it is busy. What we write proves nothing.
  return nowMs - subflow.lastReceivedAtMs > limits.silenceMs;
}
