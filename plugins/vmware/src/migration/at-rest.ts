/**
 * A VM that is powered off: whether there is no doubt at which end. A vCenter keeps a VM registered when its guest ends, and a move
 * between vCenters takes it off the source's list in the end: so a VM that only one of them knows is there. It may be known at the
 * destination by another instance UUID, though; then only its BIOS UUID tells.
 */
import type { Presence } from '@lmas/plugin-api';
import { copiesAt } from './arrived-as.ts';
import type { Sightings } from './placement.ts';
import { type Ends, isSameVCenter } from './plan.ts';

/** What was seen has to be what both vCenters answered, with nothing under way. */
export async function isAtRest(
  ends: Ends,
  { source, destination }: Sightings,
  options: { readonly signal: AbortSignal },
): Promise<boolean> {
  if (endedThere(source.presence, destination.presence)) return true;
  if (source.presence !== 'stopped' || destination.presence !== 'absent') return false;
  if (isSameVCenter(ends)) return true;
  const biosUuid = source.record?.['config.uuid'];
  if (biosUuid === undefined) return false;
  try {
    return (await copiesAt(ends.destination, biosUuid, options)).length === 0;
  } catch {
    return false; // nobody has said so
  }
}

/** The move is over, and the guest too: it was shut down at the destination. */
export const endedThere = (source: Presence, destination: Presence): boolean =>
  source === 'absent' && destination === 'stopped';
