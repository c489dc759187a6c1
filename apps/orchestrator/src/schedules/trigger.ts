/**
 * The times of a trigger, as instants. Pure.
 */

import { type Occurrence, occurrences } from '../time/cron.ts';
import { formatWall, instantsOf, wallOf } from '../time/zone.ts';
import type { ScheduleInput } from './record.ts';

type Timed = Pick<ScheduleInput, 'trigger' | 'timeZone'>;

/** From the first one after `afterMs` on. */
export function* occurrencesAfter({ trigger, timeZone }: Timed, afterMs: number): Generator<Occurrence, undefined> {
  if (trigger.kind === 'cron') yield* occurrences(trigger.expression, timeZone, afterMs);
  else {
    const once = instantOf(trigger.at, timeZone);
    if (once.atMs > afterMs) yield once;
  }
  return undefined;
}

/** A time with an offset is an instant; one without is what the clock on the wall shows. */
export function instantOf(at: string, timeZone: string): Occurrence {
  if (/(Z|[+-]\d{2}:?\d{2})$/.test(at)) return { atMs: Date.parse(at), note: null };
  const wallMs = Date.parse(`${at}Z`);
  const found = instantsOf(timeZone, wallMs);
  const local = formatWall(wallMs);
  const instead = formatWall(wallOf(timeZone, found.atMs));
  const notes = {
    once: null,
    twice: `${local} comes twice in ${timeZone}: clocks are set back over it. It runs the first time.`,
    never: `${local} does not exist in ${timeZone}: clocks are set forward over it. It runs at ${instead}.`,
  };
  return { atMs: found.atMs, note: notes[found.kind] };
}
