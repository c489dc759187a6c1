/**
 * What each policy of convergence is for QEMU: how much the guest may be slowed down, and how long it may stand still at
 * the switchover. Pure. None of them switches to post-copy: that is asked for by name.
 */
import type { Convergence } from '@lmas/plugin-api';

/** QEMU's auto-converge: takes so much of the guest's CPU time first, and so much more in each later pass. */
export interface Throttling {
  readonly initialPct: number;
  readonly incrementPct: number;
}

export interface ConvergenceSettings {
  /** `undefined`: the guest keeps its speed. Fixed when the migration begins: libvirt changes it no more. */
  readonly throttling: Throttling | undefined;
  /** `null` leaves QEMU's default (300 ms). Can be changed while it runs. */
  readonly maxDowntimeMs: number | null;
}

/** QEMU's own defaults. */
const GENTLE: Throttling = { initialPct: 20, incrementPct: 10 };
const FIRM: Throttling = { initialPct: 50, incrementPct: 20 };

/**
 * - `balanced`: as QEMU does it by itself.
 * - `fast-switchover`: a pause that users hardly notice, bought with some speed on the way.
 * - `never-pause`: the shortest pause and full speed; a guest whose dirty rate exceeds what the link carries does not get across.
 * - `must-finish`: slowed down hard, and a long pause in the end, until it gets across.
 */
const POLICIES: Readonly<Record<Convergence, ConvergenceSettings>> = {
  balanced: { throttling: undefined, maxDowntimeMs: null },
  'fast-switchover': { throttling: GENTLE, maxDowntimeMs: 100 },
  'never-pause': { throttling: undefined, maxDowntimeMs: 50 },
  'must-finish': { throttling: FIRM, maxDowntimeMs: 5_000 },
};

/** A downtime that was asked for by number, and throttling that was asked for by option, count for more than the policy. */
export function convergenceSettings(
  convergence: Convergence,
  { autoConverge, maxDowntimeMs }: { readonly autoConverge: boolean; readonly maxDowntimeMs: number | null },
): ConvergenceSettings {
  const policy = POLICIES[convergence];
  return {
    throttling: policy.throttling ?? (autoConverge ? GENTLE : undefined),
    maxDowntimeMs: maxDowntimeMs ?? policy.maxDowntimeMs,
  };
}

/** What QEMU does when nobody has said anything; to go back to it while it runs, it has to be said. */
export const DEFAULT_MAX_DOWNTIME_MS = 300;
