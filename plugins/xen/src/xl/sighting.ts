/**
 * What both hosts answer about one guest, and what is to be done once xl is not at work any more. Pure, but for the asking.
 *
 * | source                        | destination            | is done |
 * | ----------------------------- | ---------------------- | --- |
 * | anything                      | runs                   | nothing: it has arrived |
 * | given away, suspended         | has its name, paused   | it is let go there: it was given, and runs nowhere |
 * | runs, or stands suspended     | incoming               | the incoming one is destroyed: it never ran |
 * | stands suspended              | nothing                | it gets its name back and is resumed, if it cannot have run there |
 * | anything else, or silence     |                        | nothing: a person has to look |
 *
 * It cannot have run there when the message that gives it away never left the source, or when the copy there is known to have
 * been taken away before it ran: xl reported so in its handshake, or we destroyed it. Otherwise "nothing" may mean that it
 * ran and has ended since (a host that rebooted forgets all of it), and the memory at the source is older than its disks.
 *
 * Others move, save and pause guests, too, while nobody has looked after a migration that failed. What xl had not left suspended at the
 * source when it ended is suspended by somebody else, perhaps on its way to a third host; a copy that our receiver has not left at
 * the destination is on somebody else's. Neither is touched. Where our xl was killed nobody saw how it left the guest: then a call of
 * xl that works on the guest and is not ours says that it is in other hands, and a guest that was given away although our receiver had
 * never said that it has all was given away by others.
 *
 * A source that rebooted forgets the migration (`send` is none). Then nothing is made of what stands still there; only what is left
 * of a receiver goes, and its copy where the guest runs at the source again.
 *
 * Invariants: a guest is resumed at the source only when the destination has answered that it does not run it and nobody is
 * left there who could still start it; a copy is destroyed only while the other one holds the guest.
 */
import { type Presence, pluginErrorCode, type VmPlacement, whereIs } from '@lmas/plugin-api';
import { type Left, type Look, lookSchema } from './client.ts';
import { presenceOf } from './guests.ts';
import { type Domain, GIVEN_AWAY, INCOMING, readList } from './listing.ts';
import type { XlSession } from './session.ts';

export interface Sighting {
  readonly presence: Presence;
  /** The domain that decided, if there is one. */
  readonly domain?: Domain | undefined;
  /** What is left of the migration's own processes; absent when nobody answered. */
  readonly look?: Look | undefined;
  readonly error?: unknown;
}

export interface Sightings {
  readonly source: Sighting;
  readonly destination: Sighting;
}

/** The most alive one counts, where there are several of one UUID. */
const RANK: readonly Presence[] = ['running', 'paused', 'incoming', 'stopped', 'absent'];

export interface Subject {
  readonly migrationId: string;
  readonly uuid: string;
}

/** Never throws but for another run that has taken over: a host that refuses is no answer to where the guest is. */
export async function look(
  session: XlSession,
  { migrationId, uuid }: Subject,
  { signal }: { signal: AbortSignal },
): Promise<Sighting> {
  try {
    const seen = await session.dom0.ask('look', { migration: migrationId, uuid }, lookSchema, { signal });
    const copies = readList(seen.list).filter((domain) => domain.uuid === uuid && !domain.dying);
    const rank = (domain: Domain): number => RANK.indexOf(presenceOf(domain));
    const domain = copies.toSorted((a, b) => rank(a) - rank(b))[0];
    return { presence: domain === undefined ? 'absent' : presenceOf(domain), domain, look: seen };
  } catch (error) {
    if (pluginErrorCode(error) === 'SUPERSEDED') throw error;
    return { presence: 'unreachable', error };
  }
}

export const isMoving = ({ source }: Sightings): boolean => source.look?.send === 'working';

/** Whether the guest may have run at the destination, as far as can be told from what is left. */
function mayHaveRun({ source, destination }: Sightings): boolean {
  const report = destination.look?.report ?? null;
  if (report === 0) return true;
  if (report !== null || destination.look?.discarded === true) return false;
  const isForgotten = source.look?.send === 'none' && source.domain?.name.endsWith(GIVEN_AWAY) === true;
  return source.look?.given === true || isForgotten;
}

/** A copy at the destination that a receiver of ours has left: it never ran, nobody can start it, and the guest runs at the source. */
export function deadCopyOf({ source, destination }: Sightings): Left | undefined {
  const copy = destination.domain;
  if (source.presence !== 'running' || destination.presence !== 'incoming' || copy === undefined) return undefined;
  return destination.look?.left.find(({ domid }) => domid === copy.domid);
}

/** By the process that works on it, or by a name that ours cannot have given it. */
function isInOtherHands({ source: { domain, look: seen } }: Sightings): boolean {
  if (domain === undefined || seen === undefined) return false;
  const isTheirName = seen.send !== 'none' && domain.name.endsWith(GIVEN_AWAY) && !seen.ready;
  return seen.others.length > 0 || isTheirName;
}

/** Whether the guest's memory at the source may be older than its disks, or in somebody else's hands. */
function isDoubtful(seen: Sightings): boolean {
  const { source, destination } = seen;
  if (source.domain?.suspended !== true || destination.presence === 'running') return false;
  const hasEndedThere = destination.presence === 'stopped' && destination.domain?.name.endsWith(INCOMING) === false;
  if (isInOtherHands(seen)) return true;
  return source.look?.stood === false || hasEndedThere || (destination.presence === 'absent' && mayHaveRun(seen));
}

export function placementOf(seen: Sightings): VmPlacement {
  const { source, destination } = seen;
  const where = whereIs(source.presence, destination.presence);
  const presences = { source: source.presence, destination: destination.presence };
  return { ...presences, where: isDoubtful(seen) ? 'unknown' : where, moving: isMoving(seen) };
}

export type Remedy =
  | { readonly end: 'source'; readonly do: 'give-name-back' | 'resume'; readonly domain: Domain }
  | { readonly end: 'destination'; readonly do: 'discard' | 'unpause'; readonly domain: Domain }
  | { readonly end: 'destination'; readonly do: 'stop-receiver' };

/** The next thing to do; `null` when there is nothing, or nothing that may be done. Only once xl at the source has ended. */
export function remedyFor(seen: Sightings): Remedy | null {
  const { source, destination } = seen;
  const silent = source.presence === 'unreachable' || destination.presence === 'unreachable';
  if (silent || destination.presence === 'running') return null;
  if (destination.look?.receive === 'listening' || destination.look?.receive === 'working') {
    return { end: 'destination', do: 'stop-receiver' };
  }
  const [left, there] = [source.domain, destination.domain];
  if (left === undefined || isInOtherHands(seen)) return null;
  const isForgotten = source.look?.send === 'none';
  if (isForgotten && source.presence !== 'running') return null;
  if (left.suspended && source.look?.stood === false) return null;
  if (there !== undefined && destination.presence === 'paused') {
    const wasGiven = left.suspended && left.name.endsWith(GIVEN_AWAY);
    return wasGiven ? { end: 'destination', do: 'unpause', domain: there } : null;
  }
  const isHere = source.presence === 'running' || left.suspended;
  if (!isHere) return null;
  if (there !== undefined) {
    const { receive, kept } = destination.look ?? {};
    const isOurs = receive === 'ended' && kept?.includes(there.domid) !== false;
    return isOurs && destination.presence === 'incoming' && there.name.endsWith(INCOMING)
      ? { end: 'destination', do: 'discard', domain: there }
      : null;
  }
  if (isForgotten || (left.suspended && mayHaveRun(seen))) return null;
  if (left.name.endsWith(GIVEN_AWAY)) return { end: 'source', do: 'give-name-back', domain: left };
  return left.suspended ? { end: 'source', do: 'resume', domain: left } : null;
}
