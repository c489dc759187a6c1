/**
 * What each policy of convergence is in a simulated world. Pure.
 */
import type { Convergence } from '@lmas/plugin-api';

export interface Steering {
  readonly autoConverge: boolean;
  readonly maxDowntimeMs: number;
}

const POLICIES: Readonly<
  Record<Convergence, { readonly autoConverge: boolean | null; readonly maxDowntimeMs: number }>
> = {
  balanced: { autoConverge: null, maxDowntimeMs: 300 },
  'fast-switchover': { autoConverge: true, maxDowntimeMs: 100 },
  'never-pause': { autoConverge: false, maxDowntimeMs: 50 },
  'must-finish': { autoConverge: true, maxDowntimeMs: 5_000 },
};

/** A downtime that was asked for by number counts for more than the policy; the option, where the policy says nothing. */
export function steeringOf(
  { convergence, maxDowntimeMs }: { readonly convergence: Convergence; readonly maxDowntimeMs: number | null },
  option: { readonly autoConverge: boolean },
): Steering {
  const policy = POLICIES[convergence];
  return {
    autoConverge: policy.autoConverge ?? option.autoConverge,
    maxDowntimeMs: maxDowntimeMs ?? policy.maxDowntimeMs,
  };
}
