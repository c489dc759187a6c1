/**
 * How long it is since both ends could last be asked, from when the guest may have been let go at the destination. A destination that does
 * not know the VM says that it is not there now, not that it never was: in a night without anybody to ask it may have run there, and been
 * moved on, or shut down and removed. The copy that stands still at the source is older than its disks then, or a second one.
 *
 *   nothing but our `confirm` lets it go (KVM, direct)        from the point of no return
 *   the hypervisor may do so by itself (peer to peer, XAPI,   from the beginning of `performing`: the point of no return is
 *   vCenter, xl)                                              passed when we hear of it, and who is dead hears nothing
 *
 * While it is seen to move it has not been let go: that is as good as an answer of both, so a transfer may take as long as it likes.
 *
 * Invariant: after so long a silence nothing is resumed without a person, whatever the ends answer later. Where the guest cannot have been
 * let go, silence proves nothing against the source.
 *
 * It is wall time, as it has to outlive processes and machines: a clock that is set forward by an hour asks a person without need, and one
 * that is set back by an hour, or is behind on the machine that takes over, lets an hour more pass in silence. Keep clocks in step (NTP).
 */
import type { VmPlacement } from '@lmas/plugin-api';
import { now } from '../migrations/record.ts';
import type { Run } from './run.ts';

/** Within it, people wait and look; whoever works with a VM that nobody could find for longer does not think of its migration any more. */
export const LONGEST_SILENCE_MS = 3_600_000;
/** A record is not written for every look. */
const NOTE_EVERY_MS = 60_000;

type Known = Pick<Run, 'migration' | 'notes'>;

const isSilent = ({ source, destination }: VmPlacement): boolean =>
  source === 'unreachable' || destination === 'unreachable';

/** At the destination, as far as anybody can tell. */
export function mayHaveBeenLetGo({ migration, notes }: Known): boolean {
  if (migration.pointOfNoReturnAt !== null) return true;
  return notes.prepared !== null && notes.prepared.onlyConfirmLetsGo !== true && performingSince(migration) !== null;
}

const performingSince = ({ timeline }: Known['migration']): string | null =>
  timeline.find(({ phase }) => phase === 'performing')?.startedAt ?? null;

/** By the clock, and over all runs: of the latest time that is known, `null` where the guest cannot have been let go. */
function silentForMs(known: Known): number | null {
  if (!mayHaveBeenLetGo(known)) return null;
  const { migration, notes } = known;
  const knownAt = [performingSince(migration), migration.pointOfNoReturnAt, notes.bothAnsweredAt];
  return Date.now() - Math.max(...knownAt.filter((at) => at !== null).map((at) => Date.parse(at)));
}

export async function noteAnswers(run: Run, found: VmPlacement): Promise<void> {
  const silentMs = silentForMs(run);
  if (silentMs === null || isSilent(found) || silentMs < NOTE_EVERY_MS || silentMs > LONGEST_SILENCE_MS) return;
  await run.update(({ notes }) => {
    notes.bothAnsweredAt = now();
  });
}

/** It was seen to move at that time: into a record that is written anyway. */
export function noteMoving(draft: Known, at: string): void {
  const silentMs = silentForMs(draft);
  if (silentMs !== null && silentMs <= LONGEST_SILENCE_MS) draft.notes.bothAnsweredAt = at;
}

/** What stands still at the source may only be resumed by a person, whoever answers next. */
export const standsForTooLong = (run: Known, { source }: VmPlacement): boolean =>
  source === 'paused' && (silentForMs(run) ?? 0) > LONGEST_SILENCE_MS;

/** And both have answered, so that the person can be told. */
export const mustBeAsked = (run: Known, found: VmPlacement): boolean =>
  !isSilent(found) && standsForTooLong(run, found);
