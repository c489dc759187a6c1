/**
 * What is stored of an event: only what changes while a migration runs. Readers get the whole record with every event; what
 * hardly changes and takes most of the room (the request with its labels, the findings, the report with the VM's old
 * definition) is put back from the record when the event is read. So is what still changes after the last event: what of the
 * teardown was left to be done.
 */
import { type EventType, type Migration, now } from './record.ts';

type Changing = Omit<
  Migration,
  'id' | 'project' | 'plugin' | 'vm' | 'source' | 'destination' | 'request' | 'createdAt' | 'findings' | 'report'
>;

export interface Event {
  readonly at: string;
  readonly type: EventType;
  readonly message: string;
  readonly migration: Migration;
}

export function newEvent(type: EventType, message: string, migration: Migration): Event {
  return { at: now(), type, message, migration };
}

export function packEvent({ migration, ...event }: Event): string {
  const { id, project, plugin, vm, source, destination, request, createdAt, findings, report, ...changing } = migration;
  return JSON.stringify({ ...event, migration: changing satisfies Changing });
}

/** @param record as it is now; @param json what `packEvent` made. @returns a MigrationEvent as JSON */
export function unpackEvent(record: Migration, json: string): string {
  const event = JSON.parse(json) as { type: EventType; migration: Changing };
  const { teardown, leftovers, givenUp } = record;
  const since = event.type === 'end' ? { teardown, leftovers, givenUp } : {};
  return JSON.stringify({ ...event, migration: { ...record, ...event.migration, ...since } });
}
