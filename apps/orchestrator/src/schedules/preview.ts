/**
 * What a schedule will do, as far as the clock alone decides: the next times, when each would begin, and why not. Pure.
 */
import type { z } from 'zod';
import type { schedulePreviewSchema } from '../schemas/schedule.ts';
import { isOpen, nextOpening } from '../time/periods.ts';
import { formatWall, wallOf } from '../time/zone.ts';
import type { ScheduleInput } from './record.ts';
import { occurrencesAfter } from './trigger.ts';

export type Preview = z.infer<typeof schedulePreviewSchema>;

export function previewOf(
  schedule: Pick<ScheduleInput, 'trigger' | 'timeZone' | 'windows' | 'blackouts' | 'missed'>,
  { afterMs, count }: { afterMs: number; count: number },
): Preview {
  const { timeZone, missed } = schedule;
  const local = (atMs: number): string => `${formatWall(wallOf(timeZone, atMs))} ${timeZone}`;
  const items: Preview['items'] = [];
  let opening: number | undefined;
  /** Of times that come one after the other: many may wait for the same opening, which is looked for once. */
  const openingFrom = (atMs: number): number | undefined => {
    if (opening === undefined || opening < atMs) opening = nextOpening(schedule, atMs);
    return opening;
  };
  for (const { atMs, note } of occurrencesAfter(schedule, afterMs)) {
    const former = items.at(-1);
    // One waits at most, the newest.
    if (former?.startsAt != null && Date.parse(former.startsAt) >= atMs) {
      former.startsAt = null;
      former.notes.push(`The run of ${local(atMs)} takes its place.`);
    }
    if (items.length === count) break;
    const open = isOpen(schedule, atMs);
    const opensMs = open ? atMs : missed === 'next-window' ? openingFrom(atMs) : undefined;
    const notes = note === null ? [] : [note];
    if (opensMs === undefined) notes.push('No window is open: it is left out.');
    else if (!open) notes.push(`No window is open: it waits until ${local(opensMs)}.`);
    items.push({
      dueAt: new Date(atMs).toISOString(),
      local: local(atMs),
      startsAt: opensMs === undefined ? null : new Date(opensMs).toISOString(),
      notes,
    });
  }
  return { items };
}
