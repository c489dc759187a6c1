/**
 * The audit log: a Redis stream that is only ever added to, and that forgets its oldest entries when there are too many.
 * Attempts of strangers stand in a stream of their own: whoever knocks a million times must not push out what callers
 * did. Every entry is logged as well, for those who keep them for ever elsewhere.
 */
import type { Redis } from 'ioredis';
import type { z } from 'zod';
import type { Logger } from '../log.ts';
import { keys } from '../redis/keys.ts';
import { auditEntrySchema, type auditListSchema, type auditQuerySchema } from '../schemas/audit.ts';
import { projectSees } from './principal.ts';

export type AuditEntry = z.infer<typeof auditEntrySchema>;
export type AuditQuery = Omit<z.output<typeof auditQuerySchema>, 'strangers'>;
type AuditList = z.infer<typeof auditListSchema>;

export interface AuditLog {
  record(entry: Omit<AuditEntry, 'id'>): Promise<void>;
  /** What callers did whom somebody bound to `project` sees. */
  list(query: AuditQuery, project: string | null): Promise<AuditList>;
  listStrangers(query: AuditQuery): Promise<AuditList>;
}

const BATCH = 500;
const storedSchema = auditEntrySchema.omit({ id: true });

export function createAuditLog(redis: Redis, { maxEntries, log }: { maxEntries: number; log: Logger }): AuditLog {
  const read = async (stream: string, query: AuditQuery, shows: (entry: AuditEntry) => boolean): Promise<AuditList> => {
    const items: AuditEntry[] = [];
    const oldest = query.since === undefined ? '-' : placeAt(query.since);
    let newest = query.until === undefined ? '+' : placeAt(query.until);
    if (query.cursor !== undefined) newest = `(${query.cursor}`;
    let nextCursor: string | null = null;
    for (let batch = BATCH; batch === BATCH && nextCursor === null; ) {
      const entries = await redis.xrevrange(stream, newest, oldest, 'COUNT', BATCH);
      batch = entries.length;
      for (const [id, [, json = '{}']] of entries) {
        newest = `(${id}`;
        const entry = { id, ...storedSchema.parse(JSON.parse(json)) };
        if (!shows(entry) || !matches(entry, query)) continue;
        if (items.length === query.limit) {
          nextCursor = items.at(-1)?.id ?? null;
          break;
        }
        items.push(entry);
      }
    }
    const [[first] = [], entries] = [await redis.xrange(stream, '-', '+', 'COUNT', 1), await redis.xlen(stream)];
    const oldestAt = first === undefined ? null : storedSchema.parse(JSON.parse(first[1][1] ?? '{}')).at;
    return { items, nextCursor, kept: { entries, maxEntries, oldestAt } };
  };

  return {
    async record(entry) {
      log.info({ audit: entry }, 'audit');
      const stream = entry.caller === null ? keys.auditStrangers : keys.audit;
      await redis.xadd(stream, 'MAXLEN', '=', maxEntries, '*', 'entry', JSON.stringify(entry));
    },
    list: (query, project) =>
      read(keys.audit, query, ({ caller }) => caller !== null && projectSees(project, caller.project)),
    listStrangers: (query) => read(keys.auditStrangers, query, () => true),
  };
}

/** The place in a stream at a time. Places count from 1970: whatever is earlier is before all of them. */
const placeAt = (time: string): string => String(Math.max(0, Date.parse(time)));

function matches(entry: AuditEntry, { caller, operation, outcome, target }: AuditQuery): boolean {
  if (caller !== undefined && entry.caller?.id !== caller) return false;
  if (operation !== undefined && entry.operation !== operation) return false;
  if (outcome !== undefined && entry.outcome !== outcome) return false;
  return target === undefined || entry.target.startsWith(target);
}
