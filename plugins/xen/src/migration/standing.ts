/**
 * How a migration stands, as both pools answer: where the guest is, and whether it may still be under way. That no operation is shown
 * proves nothing while our mark is on: XAPI keeps operations and tasks in memory alone, and a tool stack that was restarted has forgotten
 * them (cancel_tasks.ml), while the host that sends the guest may go on. Only the end of our own task, seen, says that it is over.
 */
import { type VmPlacement, whereIs } from '@lmas/plugin-api';
import { recordsOf, taskSchema, type VmRecord } from '../records.ts';
import type { XenSession } from '../session.ts';
import { lookAtBoth, type Sightings } from './ends.ts';
import { bearsMark, isOurs, isTaskOf, type Mark, markOf } from './marker.ts';
import { migrationTaskOf } from './placement.ts';
import type { Ends } from './plan.ts';
import { isOver } from './task.ts';

interface Options {
  readonly signal: AbortSignal;
}

export type Fate =
  /** Nothing of ours moves the guest, and nothing of ours will. */
  | { readonly kind: 'idle' }
  | { readonly kind: 'moving'; readonly task: string; readonly ours: boolean }
  /** Our call was announced, and the pool knows nothing of it: it was never made, or it was forgotten and may still arrive. */
  | { readonly kind: 'lost'; readonly mark: Mark };

export interface Standing extends Sightings {
  readonly fate: Fate;
  readonly placement: VmPlacement;
}

export async function standingOf(ends: Ends, vmUuid: string, migrationId: string, options: Options): Promise<Standing> {
  const seen = await lookAtBoth(ends, vmUuid, options);
  try {
    const { record } = seen.source;
    const fate: Fate =
      record === undefined ? { kind: 'idle' } : await fateOf(ends.source, record, migrationId, options);
    const isMarked = record !== undefined && bearsMark(record, migrationId);
    return { ...seen, fate, placement: placementOf(seen, fate, isMarked) };
  } catch (error) {
    // It has answered where the guest is, and fell silent before it said what becomes of it.
    const source = { presence: 'unreachable', error } as const;
    const fate: Fate = { kind: 'idle' };
    return { ...seen, source, fate, placement: placementOf({ ...seen, source }, fate, false) };
  }
}

async function fateOf(session: XenSession, record: VmRecord, migrationId: string, options: Options): Promise<Fate> {
  const mark = markOf(record);
  const bears = mark !== undefined && mark.migrationId === migrationId;
  const task = migrationTaskOf(record);
  if (task !== undefined) {
    return { kind: 'moving', task, ours: bears && (await isOurs(session, task, mark, options)) };
  }
  if (!bears) return { kind: 'idle' };
  const tasks = await session.client.call('task.get_all_records', [], recordsOf(taskSchema), options);
  const ours = [...tasks].filter(([, one]) => isTaskOf(one, mark));
  const pending = ours.find(([, one]) => !isOver(one));
  if (pending !== undefined) return { kind: 'moving', task: pending[0], ours: true };
  return ours.length > 0 ? { kind: 'idle' } : { kind: 'lost', mark };
}

export function placementOf({ source, destination }: Sightings, fate: Fate, isMarked: boolean): VmPlacement {
  const arrived = fate.kind === 'moving' && destination.presence === 'running';
  const incoming = fate.kind !== 'idle' && destination.record !== undefined && destination.presence !== 'running';
  // The destination's record says so only after the source's guest is gone; the source's own is the last to be written.
  const here = arrived && source.presence === 'running' ? 'stopped' : source.presence;
  const there = incoming ? 'incoming' : destination.presence;
  const seen = whereIs(here, there);
  // It ran when we began to move it. Whether it was lost or given away its record does not tell: it may run there without one.
  const isDoubtful = isMarked && seen === 'source' && here === 'stopped';
  // What was forgotten has come to its end when the guest runs at the other one.
  const moving = fate.kind === 'moving' || (fate.kind === 'lost' && seen !== 'destination');
  return { source: here, destination: there, where: isDoubtful ? 'unknown' : seen, moving };
}
