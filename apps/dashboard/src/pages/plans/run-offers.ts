/** What can be ordered of a run as it is now. Pure. */
import type { FailBackInput, PlanRun, PlanRunOrder } from '@lmas/client';

const ENDS: ReadonlySet<PlanRun['phase']> = new Set<PlanRun['phase']>(['succeeded', 'failed', 'cancelled']);

export const hasRunEnded = ({ phase }: Pick<PlanRun, 'phase'>): boolean => ENDS.has(phase);

/** In the order in which they are offered. */
export function offersOf(
  run: Pick<PlanRun, 'phase' | 'pausedAt' | 'waves' | 'items' | 'mode' | 'definition'>,
): PlanRunOrder[] {
  const moves = run.mode === 'failover' || run.mode === 'failback' || run.mode === 'evacuation';
  if (!hasRunEnded(run)) {
    const waits = waveThatAsks(run) !== undefined;
    return [...(waits ? (['approve'] as const) : []), run.pausedAt === null ? 'pause' : 'resume', 'cancel'];
  }
  if (!moves) return [];
  return [
    ...(run.phase === 'succeeded' ? [] : (['retry'] as const)),
    ...(run.items.some(({ state }) => state === 'moved' || state === 'stuck') ? (['fail-back'] as const) : []),
  ];
}

/** The number, from 1, of the wave after which a person is asked; undefined: nobody is. */
export function waveThatAsks({ waves, definition }: Pick<PlanRun, 'waves' | 'definition'>): number | undefined {
  const index = waves.findIndex(
    ({ state, approvedAt }, wave) =>
      state === 'between' && approvedAt === null && definition.waves[wave]?.afterwards.approval === true,
  );
  return index === -1 ? undefined : index + 1;
}

type Item = PlanRun['items'][number];
/** It is not where it was to go. */
const LOST: ReadonlySet<Item['state']> = new Set<Item['state']>(['failed', 'cancelled', 'refused']);

/** What a fail-back would move, and what stands in its way because nobody knows where it runs: either can be left out. */
export const canStay = (item: Item): boolean => item.state === 'moved' || item.state === 'stuck' || isUnclear(item);

/** Nobody knows where it runs, or it runs twice. */
export const isUnclear = ({ state, leftAt }: Item): boolean =>
  (state === 'stuck' || LOST.has(state)) && (leftAt === 'both' || leftAt === 'unknown');

export interface LeftOut {
  /** Ids of VMs. */
  readonly except: readonly string[];
  readonly poweredOff: 'as-the-plan-says' | 'refuse' | 'leave';
}

export const leftOut = ({ except, poweredOff }: LeftOut): NonNullable<FailBackInput> => ({
  except: [...except],
  ...(poweredOff === 'as-the-plan-says' ? {} : { poweredOff }),
});
