/**
 * The report of a run: what, when, how long, what failed and why, what was left. Pure.
 */
import { type ItemState, isLost, type PlanItem, type PlanReport, type PlanRun, type RunEntry } from './record.ts';

const WHY: Readonly<Partial<Record<ItemState, string>>> = {
  waiting: 'Its turn has not come.',
  moving: 'It moves.',
  checked: 'It was only looked at.',
  cancelled: 'Its migration was cancelled.',
  skipped: 'Its turn never came.',
  'moving-back': 'It is moved back.',
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

/** null: nobody knows, or it runs at both ends. */
function placeOf({ state, leftAt, source, destination }: PlanItem): string | null {
  if (leftAt === 'both' || leftAt === 'unknown') return null;
  if (leftAt !== null) return leftAt === 'source' ? source.endpoint : destination.endpoint;
  return state === 'stuck' || state === 'moving-back' ? destination.endpoint : source.endpoint;
}

/** With what is to be done about it: a VM that stands paused where it is looks like one that nothing has happened to. */
function whyOf({ state, leftAt, error, findings, powerState }: PlanItem): string {
  const isOff = powerState === 'off';
  const cause = error?.message ?? WHY[state] ?? findings[0]?.message ?? state;
  const why = `${cause} ${error?.remedy ?? ''}`.trimEnd();
  if (leftAt === 'both') return `${isOff ? 'Both ends have it' : 'It runs at both ends'}: ${why}`;
  return leftAt === 'unknown' ? `Nobody knows ${isOff ? 'which end has it' : 'where it runs'}: ${why}` : why;
}
