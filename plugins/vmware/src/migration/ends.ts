/**
 * At which end a VM is that a vCenter knows. Two vCenters: at the end of the one that knows it. One that spans both sites has one
 * entry, and the host that the VM is on says which end that is; of disks that move alone, where they are. Where one end could not be
 * asked, nobody may know whether they are one or two: then an end has the VM only if that holds either way, and else nothing is claimed.
 */
import { type MigrationRequest, PluginError } from '@lmas/plugin-api';
import type { VmwareOptions } from '../config.ts';
import { type Host, membersOf } from '../inventory/places.ts';
import { readAll } from '../properties.ts';
import { hostSchema } from '../records.ts';
import type { End } from '../routes/ways.ts';
import { sameRef } from '../wire/data-objects.ts';
import { areDisksThere } from './disks-alone.ts';
import type { Sighting, Sightings } from './placement.ts';
import { type Ends, hostsOfDestination, isSameVCenter } from './plan.ts';

interface Options {
  readonly signal: AbortSignal;
}

export async function splitByEnd(
  ends: Ends,
  { source, destination }: Sightings,
  request: MigrationRequest<VmwareOptions>,
  options: Options,
): Promise<Sightings> {
  if (request.disksAlone === true) return await splitByDisks(ends, { source, destination }, request, options);
  const migration = request.options;
  const areMet = ends.source.client.isMet && ends.destination.client.isMet;
  if (areMet && !isSameVCenter(ends)) return { source, destination };
  if (source.error === undefined && destination.error === undefined) {
    if (source.record === undefined) return { source, destination };
    return await splitByHost(ends, source, migration, options);
  }
  return {
    source: await ifSurelyAt('source', source, ends, migration, options),
    destination: await ifSurelyAt('destination', destination, ends, migration, options),
  };
}

const ABSENT: Sighting = { presence: 'absent', moves: [] };

/** Both ends are one vCenter, and either session can tell. */
async function splitByDisks(
  ends: Ends,
  { source, destination }: Sightings,
  request: MigrationRequest<VmwareOptions>,
  options: Options,
): Promise<Sightings> {
  const [seen, session] =
    source.error === undefined ? [source, ends.source] : ([destination, ends.destination] as const);
  if (seen.record === undefined) return { source: seen, destination: seen };
  try {
    return (await areDisksThere(session, request, options))
      ? { source: { ...ABSENT, moves: seen.moves }, destination: seen }
      : { source: seen, destination: ABSENT };
  } catch (error) {
    return { source: silent(seen, error), destination: silent(seen, error) };
  }
}

async function splitByHost(
  { destination }: Ends,
  seen: Sighting,
  migration: VmwareOptions,
  options: Options,
): Promise<Sightings> {
  try {
    const hosts = await readAll(destination.client, 'HostSystem', hostSchema, { ...options, complete: true });
    const members = hostsOfDestination(hosts, destination, migration);
    return isOn(members, seen)
      ? { source: { ...ABSENT, moves: seen.moves }, destination: seen }
      : { source: seen, destination: ABSENT };
  } catch (error) {
    const unseen: Sighting = { presence: 'unreachable', moves: [], error };
    return { source: unseen, destination: unseen };
  }
}

/** As it was seen, if the host that it is on is this end's and not perhaps the other's; else as if nobody had answered. */
async function ifSurelyAt(
  end: End,
  seen: Sighting,
  ends: Ends,
  migration: VmwareOptions,
  options: Options,
): Promise<Sighting> {
  if (seen.record === undefined) return seen;
  try {
    const hosts = await readAll(ends[end].client, 'HostSystem', hostSchema, { ...options, complete: true });
    const own = namedHosts(end, hosts, ends, migration);
    const others = namedHosts(end === 'source' ? 'destination' : 'source', hosts, ends, migration) ?? [];
    if ((own === undefined || isOn(own, seen)) && !isOn(others, seen)) return seen;
    const host = seen.record['runtime.host']?.value ?? 'no host';
    return silent(seen, new PluginError('CONNECTION_LOST', `The VM is on ${host}, which may be a host of either end.`));
  } catch (error) {
    return silent(seen, error);
  }
}

const silent = ({ moves }: Sighting, error: unknown): Sighting => ({ presence: 'unreachable', moves, error });

/** Of those that this vCenter has; `undefined`: nobody has said which are that end's. */
function namedHosts(
  end: End,
  hosts: readonly Host[],
  ends: Ends,
  migration: VmwareOptions,
): readonly Host[] | undefined {
  const { config } = ends[end];
  if (config.hosts.length > 0) return membersOf(hosts, config.hosts);
  const isNamed = end === 'destination' && migration.destinationHost !== undefined;
  return isNamed ? hostsOfDestination(hosts, ends.destination, migration) : undefined;
}

const isOn = (hosts: readonly Host[], { record }: Sighting): boolean =>
  hosts.some(({ ref }) => sameRef(ref, record?.['runtime.host']));
