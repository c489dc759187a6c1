/**
 * At which end a guest is that a pool knows. Two pools: at the end of the one that knows it. One that spans both sites has one record,
 * and the host that the guest is on says which end that is. Where one end could not be asked, nobody may know whether they are one or
 * two: then an end has the guest only if that holds either way, and else nothing is claimed.
 */
import { PluginError } from '@lmas/plugin-api';
import { membersOf, type Pool, readPool } from '../pool.ts';
import { NULL_REF, type VmRecord } from '../records.ts';
import type { XenSession } from '../session.ts';
import { look, type Sighting } from './placement.ts';
import type { Ends } from './plan.ts';

interface Options {
  readonly signal: AbortSignal;
}

export interface Sightings {
  readonly source: Sighting;
  readonly destination: Sighting;
  /** One pool has one record: that there is none at the other end says nothing. */
  readonly samePool: boolean;
}

export async function lookAtBoth(ends: Ends, uuid: string, options: Options): Promise<Sightings> {
  const [source, destination] = await Promise.all([
    look(ends.source, uuid, options),
    look(ends.destination, uuid, options),
  ]);
  if (isSilent(source) !== isSilent(destination)) {
    return {
      source: await ifSurelyAt(ends.source, source, ends.destination, options),
      // A record that may be the source's own says nothing of what comes in.
      destination: withoutDoubt(await ifSurelyAt(ends.destination, destination, ends.source, options)),
      samePool: false,
    };
  }
  if (source.record === undefined || source.ref !== destination.ref) return { source, destination, samePool: false };
  return await splitByHost(ends, source, source.record, options);
}

const isSilent = ({ presence }: Sighting): boolean => presence === 'unreachable';

/** One pool that spans both sites has one record: the host it runs on says at which end it is. */
async function splitByHost(
  { destination }: Ends,
  seen: Sighting,
  record: VmRecord,
  options: Options,
): Promise<Sightings> {
  const absent: Sighting = { presence: 'absent' };
  try {
    const members = membersOf(await readPool(destination.client, options), destination.config.hosts);
    const arrived = record.resident_on !== NULL_REF && members.has(record.resident_on);
    const [source, destinationSeen] = arrived ? [absent, seen] : [seen, absent];
    return { source, destination: destinationSeen, samePool: true };
  } catch (error) {
    const silent: Sighting = { presence: 'unreachable', error };
    return { source: silent, destination: silent, samePool: true };
  }
}

/**
 * As it was seen, if the host that it is on is this end's and not perhaps the silent other's; else as if nobody had answered. The record
 * stays: what its pool does with it is true of whichever end.
 */
async function ifSurelyAt(own: XenSession, seen: Sighting, other: XenSession, options: Options): Promise<Sighting> {
  const { record } = seen;
  if (record === undefined) return seen;
  try {
    const pool = await readPool(own.client, options);
    const isOn = (session: XenSession): boolean => namedBy(session, pool)?.has(record.resident_on) ?? false;
    const isOwn = own.config.hosts.length === 0 || isOn(own);
    if (isOwn && !isOn(other)) return seen;
    const host = pool.hosts.get(record.resident_on)?.name_label ?? 'no host';
    const message = `The VM is on ${host}, which may be a host of either end.`;
    return { ...seen, presence: 'unreachable', error: new PluginError('CONNECTION_LOST', message) };
  } catch (error) {
    return { presence: 'unreachable', error };
  }
}

/** Of the members of this pool; `undefined`: nobody has said which are that end's. */
const namedBy = ({ config: { hosts } }: XenSession, pool: Pool): ReadonlyMap<string, unknown> | undefined =>
  hosts.length === 0 ? undefined : membersOf(pool, hosts);

const withoutDoubt = ({ presence, error, ...seen }: Sighting): Sighting =>
  presence === 'unreachable' ? { presence, error } : { presence, ...seen };
