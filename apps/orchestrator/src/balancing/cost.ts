/**
 * What a move costs: the time for which it loads the link, both hosts and the guest, as a part of the time for which its gain
 * is taken to last. By the same model as the predictions of checks (migrations/prediction.ts). Pure.
 */
import { guestTreatment } from '../migrations/expectations.ts';
import { predict } from '../migrations/prediction.ts';
import type { BalancingSettings, ObservedVm, Way } from './types.ts';

export interface Cost {
  /** null: it would never get across. */
  readonly estimatedMs: number | null;
  /** In the measure of gains. */
  readonly cost: number;
  /** Nobody measured or set what the link carries. */
  readonly isRateAssumed: boolean;
}

/** Of a guest whose dirty rate nobody knows, in the time that its memory alone takes. */
const UNKNOWN_GUEST_FACTOR = 2;

export function costOf(
  vm: Pick<ObservedVm, 'memoryBytes' | 'dirtyRateBytesPerSec'> & { readonly diskBytes?: number },
  way: Extract<Way, { usable: true }>,
  settings: Pick<BalancingSettings, 'assumedRateBytesPerSec' | 'horizonMs' | 'costWeight' | 'migration'>,
): Cost {
  const isRateAssumed = way.rateBytesPerSec === null;
  const { durationMs, convergence } = predict({
    memoryBytes: vm.memoryBytes,
    diskBytes: vm.diskBytes ?? 0,
    dirtyRateBytesPerSec: vm.dirtyRateBytesPerSec,
    rateBytesPerSec: way.rateBytesPerSec ?? settings.assumedRateBytesPerSec,
    ...guestTreatment(settings.migration),
  });
  if (convergence === 'no' || durationMs === null) return { estimatedMs: null, cost: 0, isRateAssumed };
  const estimatedMs = Math.round(durationMs.high ?? durationMs.low * UNKNOWN_GUEST_FACTOR);
  return { estimatedMs, cost: (settings.costWeight * estimatedMs) / settings.horizonMs, isRateAssumed };
}
