/**
 * How long it is since both ends could last be asked, past the point of no return. A destination that does not know the VM says that it is
 * not there now, not that it never was: in a night without anybody to ask it may have run there, and been moved on, or shut down and
 * removed. The copy that stands still at the source is older than its disks then, or a second one.
 *
 * Invariant: after so long a silence nothing is resumed without a person, whatever the ends answer later. Where nobody was asked to let
 * the guest go, silence proves nothing against the source.
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

/** By the clock, and over all runs: of the latest time that is known, `null` where the guest cannot have been let go. */
function silentForMs({ migration: { pointOfNoReturnAt }, notes: { bothAnsweredAt } }: Known): number | null {
  if (pointOfNoReturnAt === null) return null;
  return Date.now() - Math.max(Date.parse(pointOfNoReturnAt), Date.parse(bothAnsweredAt ?? pointOfNoReturnAt));
}

export async function noteAnswers(run: Run, found: VmPlacement): Promise<void> {
  const silentMs = silentForMs(run);
  if (silentMs === null || isSilent(found) || silentMs < NOTE_EVERY_MS || silentMs > LONGEST_SILENCE_MS) return;
  await run.update(({ notes }) => {
    notes.bothAnsweredAt = now();
  });
}

/** Whether what stands still at the source may only be resumed by a person. */
export function mustBeAsked(run: Known, found: VmPlacement): boolean {
  return found.source === 'paused' && !isSilent(found) && (silentForMs(run) ?? 0) > LONGEST_SILENCE_MS;
}
