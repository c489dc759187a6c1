/**
 * What each pool answers about the guest. XAPI starts the guest at the destination and removes it at the source by itself;
 * while it does, the destination has a record of it that means nothing yet.
 */
import type { Presence } from '@lmas/plugin-api';
import { membersOf, readPool } from '../pool.ts';
import { NULL_REF, type VmRecord } from '../records.ts';
import { presenceOf, type XenSession } from '../session.ts';
import type { Ends } from './plan.ts';

/** What XAPI calls a migration in `current_operations`; with it the guest is on its way. */
const MIGRATIONS: readonly string[] = ['migrate_send', 'pool_migrate'];

export interface Sighting {
  readonly presence: Presence;
  readonly ref?: string;
  readonly record?: VmRecord;
  /** Why it did not answer. */
  readonly error?: unknown;
}

/** The task that moves this guest, if one does. */
export function migrationTaskOf(record: VmRecord): string | undefined {
  return Object.entries(record.current_operations).find(([, operation]) => MIGRATIONS.includes(operation))?.[0];
}

export async function look(session: XenSession, uuid: string, { signal }: { signal: AbortSignal }): Promise<Sighting> {
  try {
    const vm = await session.vm(uuid, { signal });
    return vm === null ? { presence: 'absent' } : { presence: presenceOf(vm.record), ...vm };
  } catch (error) {
    // An answer that refuses is still no answer to where the guest is.
    return { presence: 'unreachable', error };
  }
}

export interface Sightings {
  readonly source: Sighting;
  readonly destination: Sighting;
  /** One pool has one record: that there is none at the other end says nothing. */
  readonly samePool: boolean;
}

export async function lookAtBoth(ends: Ends, uuid: string, options: { signal: AbortSignal }): Promise<Sightings> {
  const [source, destination] = await Promise.all([
    look(ends.source, uuid, options),
    look(ends.destination, uuid, options),
  ]);
  if (source.record === undefined || source.ref !== destination.ref) return { source, destination, samePool: false };
  return splitByHost(ends, source, source.record, options);
}

/** One pool that spans both sites has one record: the host it runs on says at which end it is. */
async function splitByHost(
  { destination }: Ends,
  seen: Sighting,
  record: VmRecord,
  options: { signal: AbortSignal },
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

/** Whether the sighting is an answer that this guest runs there and nowhere is a migration of it under way. */
export const runsAt = ({ presence, record }: Sighting): boolean =>
  presence === 'running' &&
  record !== undefined &&
  record.resident_on !== NULL_REF &&
  migrationTaskOf(record) === undefined;
