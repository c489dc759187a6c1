/**
 * What a pool answers about the guest; at which end that is, ends.ts says. XAPI starts the guest at the destination and removes it at the source by itself;
 * while it does, the destination has a record of it that means nothing yet.
 */
import type { Presence } from '@lmas/plugin-api';
import { NULL_REF, type VmRecord } from '../records.ts';
import { presenceOf, type XenSession } from '../session.ts';

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

/** Whether the sighting is an answer that this guest runs there and nowhere is a migration of it under way. */
export const runsAt = ({ presence, record }: Sighting): boolean =>
  presence === 'running' &&
  record !== undefined &&
  record.resident_on !== NULL_REF &&
  migrationTaskOf(record) === undefined;
