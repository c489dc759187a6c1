/**
 * Records as they were parsed last, for those who only look: parsing one costs more than fetching it, and a list shows the
 * same ones again and again, most of which wait or have ended. What counts is always the text that Redis has now; a record
 * that was written meanwhile is parsed again, so nothing here can be out of date.
 */
import { readStored } from '../redis/stored-json.ts';
import { type Migration, storedMigrationSchema } from './record.ts';

/** Ten pages of a list. With a long definition of its VM, a record takes some 20 kB. */
export const MAX_RECORDS = 500;

export interface RecordCache {
  /** The public part of a stored record; it is shared, and not to be changed. @throws ZodError for what is no record */
  parse(id: string, json: string): Readonly<Migration>;
}

export function createRecordCache(): RecordCache {
  const parsed = new Map<string, { readonly json: string; readonly migration: Readonly<Migration> }>();
  return {
    parse(id, json) {
      const known = parsed.get(id);
      parsed.delete(id); // what was looked at last is forgotten last
      const current =
        known?.json === json ? known : { json, migration: readStored(storedMigrationSchema, json).migration };
      parsed.set(id, current);
      const [oldest] = parsed.keys();
      if (parsed.size > MAX_RECORDS && oldest !== undefined) parsed.delete(oldest);
      return current.migration;
    },
  };
}
