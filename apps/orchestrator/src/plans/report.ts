/**
 * The report of a run: what, when, how long, what failed and why, what was left. Pure.
 */
import { limboOf } from './limbo.ts';
import { type ItemState, isLost, type PlanItem, type PlanReport, type PlanRun, type RunEntry } from './record.ts';

const WHY: Readonly<Partial<Record<ItemState, string>>> = {
  waiting: 'Its turn has not come.',
  checked: 'It was only looked at.',
  cancelled: 'Its migration was cancelled.',
  skipped: 'Its turn never came.',
  'moved-back': 'It was moved back.',
  stuck: 'It could not be moved back.',
  copying: 'A copy of it is being made.',
};

export function reportOn(run: PlanRun, timeline: readonly RunEntry[], generatedAt: string): PlanReport {
  const { startedAt, endedAt, keptSince, items } = run;
  const failed = items.flatMap(({ vm, error }) =>
    error === null ? [] : [{ vm: vm.name, code: error.code, message: error.message }],
  );
  const remaining = items
    .filter(({ state, rehearsal }) => state !== 'moved' && (rehearsal === null || isLost({ state })))
    .map((item) => ({ vm: item.vm.name, at: placeOf(item), why: whyOf(item) }));
  return {
    generatedAt,
    run,
    durationMs: startedAt === null ? null : Date.parse(keptSince ?? endedAt ?? generatedAt) - Date.parse(startedAt),
    summary: {
      moved: items.filter(({ state }) => state === 'moved').map(({ vm }) => vm.name),
      poweredOff: items
        .filter(({ state, powerState }) => state === 'moved' && powerState === 'off')
        .map(({ vm }) => vm.name),
      ...{ failed, remaining, rehearsed: rehearsedOf(run) },
    },
    timeline: [...timeline],
  };
}

/** Whose copy came up, and whether that was in time. */
function rehearsedOf({ items, startedAt, definition: { rtoMs } }: PlanRun): PlanReport['summary']['rehearsed'] {
  return items.flatMap(({ vm, rehearsal }) => {
    if (rehearsal === null) return [];
    const { upAfterMs, upAt } = rehearsal;
    const sinceStartMs = Math.max(0, Date.parse(upAt) - Date.parse(startedAt ?? upAt));
    return [{ vm: vm.name, upAfterMs, sinceStartMs, fitsRto: rtoMs === null ? null : sinceStartMs <= rtoMs }];
  });
}

/** null: nobody knows, it runs at both ends, or it is on its way from one to the other. */
function placeOf({ state, leftAt, error, findings, source, destination }: PlanItem): string | null {
  if (state === 'moving' || state === 'moving-back') return null;
  if (leftAt === 'both' || leftAt === 'unknown') return null;
  if (leftAt !== null) return leftAt === 'source' ? source.endpoint : destination.endpoint;
  if (isGone(error?.code) || findings.some(({ severity, code }) => severity === 'blocker' && isGone(code))) return null;
  return state === 'stuck' ? destination.endpoint : source.endpoint;
}

/** Its source does not know it, or somebody else moves it: it is not where its run had found it, or will soon not be. */
const isGone = (code: string | undefined): boolean => code === 'VM_NOT_FOUND' || code === 'VM_ALREADY_MIGRATING';

/** With what is to be done about it: a VM that stands paused where it is looks like one that nothing has happened to. */
function whyOf(item: PlanItem): string {
  const { state, leftAt, error, findings, powerState } = item;
  if (state === 'moving' || state === 'moving-back') return wayOf(item);
  const isOff = powerState === 'off';
  const cause = error?.message ?? WHY[state] ?? findings[0]?.message ?? state;
  const why = `${cause} ${error?.remedy ?? ''}`.trimEnd();
  if (leftAt === 'both') return `${isOff ? 'Both ends have it' : 'It runs at both ends'}: ${why}`;
  return leftAt === 'unknown' ? `Nobody knows ${isOff ? 'which end has it' : 'where it runs'}: ${why}` : why;
}

/** Of one that moves; its migration may have come to where it needs a person. */
function wayOf(item: PlanItem): string {
  const { state, source, destination } = item;
  const [from, to] = state === 'moving' ? [source, destination] : [destination, source];
  const limbo = limboOf(item);
  const way = `It is on its way ${state === 'moving' ? '' : 'back '}from ${from.endpoint} to ${to.endpoint}.`;
  return limbo === undefined ? way : `${way} ${limbo.message}. ${limbo.remedy}`;
}
