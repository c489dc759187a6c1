/**
 * How long a plan will take, from the predictions for its VMs. Pure.
 *
 * Migrations over one link share it: together they take as long as one after the other, whatever the concurrency. Those over
 * different links go on side by side. Pauses count as they are; an approval, and checks that have to be tried again, take
 * as long as they take, and count nothing.
 */
import type { PlanBody, PlanItem, PlanRun } from './record.ts';

export type Forecast = NonNullable<PlanRun['prediction']>;

type Definition = Pick<PlanBody, 'waves' | 'rtoMs'> & { readonly migration: Pick<PlanBody['migration'], 'transport'> };

export function forecast(definition: Definition, items: readonly PlanItem[]): Forecast {
  const moving = items.filter(({ state }) => state === 'waiting');
  const unknown = moving.filter(({ prediction }) => prediction?.durationMs === null || prediction === null);
  const unbounded = moving.filter(({ prediction }) => prediction?.durationMs?.high === null);
  const notes = [
    ...unknown.map((item) => `Nobody can tell for ${item.vm.name}: ${whyUnknown(item, definition)}.`),
    ...unbounded.map(
      ({ vm }) => `There is no upper bound for ${vm.name}: how fast it writes is not known, or too fast.`,
    ),
  ];
  if (definition.waves.some(({ afterwards }) => afterwards.approval))
    notes.push('The time until somebody approves is not in it.');
  const low = sum(definition, moving, ({ prediction }) => prediction?.durationMs?.low ?? 0);
  const isBounded = unknown.length === 0 && unbounded.length === 0;
  const high = isBounded ? sum(definition, moving, ({ prediction }) => prediction?.durationMs?.high ?? 0) : null;
  const isTold = unknown.length < moving.length || moving.length === 0;
  const durationMs = isTold ? { low, high } : null;
  return { durationMs, fitsRto: fits(definition.rtoMs, durationMs, isBounded), notes };
}

/** What is measured and set is the way through the tunnel, between two sites. */
function whyUnknown({ source, destination }: PlanItem, { migration }: Definition): string {
  const isTunnelled = migration.transport === 'tunnel' && source.site !== destination.site;
  return isTunnelled
    ? 'its link was never measured or set'
    : 'it goes without a tunnel, and how fast that is nobody has measured';
}

function sum(
  { waves }: Pick<Definition, 'waves'>,
  items: readonly PlanItem[],
  durationOf: (item: PlanItem) => number,
): number {
  return waves.reduce((total, { afterwards }, wave) => {
    const byLink = new Map<string, number>();
    for (const item of items.filter((each) => each.wave === wave)) {
      const link = [item.source.site, item.destination.site].sort().join('~');
      byLink.set(link, (byLink.get(link) ?? 0) + durationOf(item));
    }
    return total + Math.max(0, ...byLink.values()) + afterwards.pauseMs;
  }, 0);
}

function fits(rtoMs: number | null, durationMs: Forecast['durationMs'], isBounded: boolean): Forecast['fitsRto'] {
  if (rtoMs === null) return null;
  if (durationMs === null) return 'unknown';
  if (durationMs.low > rtoMs) return 'no';
  if (!isBounded || durationMs.high === null) return 'unknown';
  return durationMs.high <= rtoMs ? 'yes' : 'perhaps';
}
