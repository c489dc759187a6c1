/**
 * Where a VM is, as seen at both ends, and the one rule that turns two sightings into a verdict. Pure.
 */

/**
 * What one end answered about the VM.
 *
 * - `running`: executes guest code now.
 * - `paused`: a process with the guest's whole memory exists and does not execute.
 * - `incoming`: a process exists that waits for the guest's memory; it cannot run without it.
 * - `stopped`: defined, no process.
 * - `absent`: answered, on a live connection, that it knows no such VM.
 * - `unreachable`: nobody answered. Never to be read as `absent`.
 */
export type Presence = 'running' | 'paused' | 'incoming' | 'stopped' | 'absent' | 'unreachable';

/** `both` and `unknown` mean: destroy nothing, resume nothing, say what to do by hand. */
export type Where = 'source' | 'destination' | 'both' | 'unknown';

export interface VmPlacement {
  readonly source: Presence;
  readonly destination: Presence;
  readonly where: Where;
  /** The hypervisor takes a migration of this VM to its end by itself, whether we are there or not: `follow` waits for it. */
  readonly moving: boolean;
  /**
   * The guest lives at the destination while part of its memory is still at the source: neither copy can do without the
   * other, and nothing of either may be destroyed or resumed. `under-way`: the hypervisor pulls the rest over by itself,
   * `follow` waits for it. `broken`: the streams are lost, the guest stands still or soon will, and only
   * `recoverPostCopy` brings it back. Absent when no such migration is under way.
   */
  readonly postCopy?: 'under-way' | 'broken';
  /**
   * It does not run, and there is no doubt that it is where `where` says: both ends have answered, nothing moves it, and this hypervisor
   * keeps a VM registered when its guest ends. Absent where a stopped VM proves nothing, for it may have run, and ended, elsewhere.
   */
  readonly atRest?: boolean;
}

const holdsGuest = (presence: Presence): boolean => presence === 'running' || presence === 'paused';

/**
 * Says where the VM is. `running` beats `paused` (a paused copy beside a running one is a leftover); two running copies
 * are `both`; two paused ones, and anything that hangs on an end that did not answer, are `unknown`.
 */
export function whereIs(source: Presence, destination: Presence): Where {
  if (source === 'running' && destination === 'running') return 'both';
  if (source === 'unreachable' || destination === 'unreachable') return 'unknown';
  if (destination === 'running') return 'destination';
  if (source === 'running') return 'source';
  if (holdsGuest(source) && holdsGuest(destination)) return 'unknown';
  if (holdsGuest(destination)) return 'destination';
  if (holdsGuest(source)) return 'source';
  if (source === 'stopped' && destination !== 'stopped') return 'source';
  if (destination === 'stopped' && source === 'absent') return 'destination';
  return 'unknown';
}
