/** What can be ordered of a run as it is now. Pure. */
import type { PlanRun, PlanRunOrder } from '@lmas/client';

const ENDS: ReadonlySet<PlanRun['phase']> = new Set<PlanRun['phase']>(['succeeded', 'failed', 'cancelled']);

export const hasRunEnded = ({ phase }: Pick<PlanRun, 'phase'>): boolean => ENDS.has(phase);

/** In the order in which they are offered. */
export function offersOf(
  run: Pick<PlanRun, 'phase' | 'pausedAt' | 'waves' | 'items' | 'mode' | 'definition'>,
): PlanRunOrder[] {
  const moves = run.mode === 'failover' || run.mode === 'failback' || run.mode === 'evacuation';
  if (!hasRunEnded(run)) {
    const waits = run.waves.some(
      ({ state, approvedAt }, wave) =>
        state === 'between' && approvedAt === null && run.definition.waves[wave]?.afterwards.approval === true,
    );
    return [...(waits ? (['approve'] as const) : []), run.pausedAt === null ? 'pause' : 'resume', 'cancel'];
  }
  if (!moves) return [];
  return [
    ...(run.phase === 'succeeded' ? [] : (['retry'] as const)),
    ...(run.items.some(({ state }) => state === 'moved' || state === 'stuck') ? (['fail-back'] as const) : []),
  ];
}
