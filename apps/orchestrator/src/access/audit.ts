/**
 * The audit log: Redis streams that are only ever added to, and that forget their oldest entries when there are too many. The callers of
 * each project have one of their own, and strangers another: whoever knocks a million times must not push out what others did. Ids are
 * given out in one place, so that an entry has one of its own and its place among all others. Every entry is logged as well, for those who
 * keep them for ever elsewhere; what could not be put into Redis is logged once more, at error, and counted.
 */
import type { Redis } from 'ioredis';
import type { z } from 'zod';
import type { Logger } from '../log.ts';
import { keys } from '../redis/keys.ts';
import { keptScript } from '../redis/script.ts';
import { auditEntrySchema, type auditListSchema, type auditQuerySchema } from '../schemas/audit.ts';
import { createEarlierFinder, type EarlierEntries } from './earlier-audit.ts';
import { projectSees } from './principal.ts';

export type AuditEntry = z.infer<typeof auditEntrySchema>;
export type AuditQuery = Omit<z.output<typeof auditQuerySchema>, 'strangers'>;
type AuditList = z.infer<typeof auditListSchema>;

/** Entries that this process could not put into Redis, since its start. */
export interface AuditLosses {
  readonly count: number;
  readonly lastAt: string | null;
}

export interface AuditLog {
  /** Never rejects: whoever is to be answered did what they did, recorded or not. */
  record(entry: Omit<AuditEntry, 'id'>): Promise<void>;
  losses(): AuditLosses;
  /** What callers did whom somebody bound to `project` sees. */
  list(query: AuditQuery, project: string | null): Promise<AuditList>;
  listStrangers(query: AuditQuery): Promise<AuditList>;
}

/** From where to where a stream is read, both included; one that begins with `(` is not. */
interface Part {
  readonly stream: string;
  readonly newest: string;
  readonly oldest: string;
}

/** How many are read at once, of all streams together; and of each at least. */
const BATCH = 500;
const LEAST_OF_EACH = 20;
const storedSchema = auditEntrySchema.omit({ id: true });

/**
 * KEYS: the stream, the stream that gives out ids. ARGV: most entries, entry. An earlier version beside this one gives the entries of
 * `keys.audit` ids by itself: where it was ahead, everybody goes on from there.
 */
const ADD = keptScript(`
  local id = redis.call('XADD', KEYS[2], 'MAXLEN', '=', 1, '*', 'of', KEYS[1])
  local added = redis.pcall('XADD', KEYS[1], 'MAXLEN', '=', ARGV[1], id, 'entry', ARGV[2])
  if type(added) == 'table' then
    added = redis.call('XADD', KEYS[1], 'MAXLEN', '=', ARGV[1], '*', 'entry', ARGV[2])
    redis.call('XADD', KEYS[2], 'MAXLEN', '=', 1, added, 'of', KEYS[1])
  end
  return added
`);

export interface AuditSettings {
  readonly maxEntries: number;
  readonly log: Logger;
  /** An entry could not be put into Redis. */
  readonly onLost?: () => void;
}

export function createAuditLog(redis: Redis, { maxEntries, log, onLost }: AuditSettings): AuditLog {
  let losses: AuditLosses = { count: 0, lastAt: null };
  const findEarlier = createEarlierFinder(redis);
  const read = async (parts: readonly Part[], query: AuditQuery, shows: (entry: AuditEntry) => boolean) => {
    const items: AuditEntry[] = [];
    for await (const [id, json] of newestFirst(redis, parts)) {
      const entry = { id, ...storedSchema.parse(JSON.parse(json)) };
      if (!shows(entry) || !matches(entry, query)) continue;
      if (items.length === query.limit) return { items, nextCursor: items.at(-1)?.id ?? null };
      items.push(entry);
    }
    return { items, nextCursor: null };
  };
  const keptOf = async (streams: readonly string[]): Promise<AuditList['kept']> => {
    const counts = await Promise.all(streams.map((stream) => redis.xlen(stream)));
    const first = await Promise.all(streams.map((stream) => redis.xrange(stream, '-', '+', 'COUNT', 1)));
    const times = first.flat().map(([, [, json = '{}']]) => storedSchema.parse(JSON.parse(json)).at);
    return { entries: counts.reduce((sum, count) => sum + count, 0), maxEntries, oldestAt: times.sort()[0] ?? null };
  };

  return {
    async record(entry) {
      log.info({ audit: entry }, 'audit');
      const stream = entry.caller === null ? keys.auditStrangers : streamOf(entry.caller.project);
      try {
        await ADD(redis, [stream, keys.auditIds], [maxEntries, JSON.stringify(entry)]);
      } catch (error) {
        losses = { count: losses.count + 1, lastAt: entry.at };
        onLost?.();
        log.error({ err: error, audit: entry }, 'this entry is not in the audit log: Redis did not take it');
      }
    },
    losses: () => losses,
    async list(query, project) {
      // Removed projects stay on record, and so what their callers did.
      const own = project === null ? (await redis.hkeys(keys.projects)).map(streamOf) : [streamOf(project)];
      const kept = project === null ? [keys.audit, ...own] : own;
      const parts = kept.map((stream) => partOf(stream, query));
      const earlier = project === null ? undefined : await findEarlier(project);
      if (earlier !== undefined) parts.push(within(partOf(keys.audit, query), earlier));
      const list = await read(parts, query, ({ caller }) => caller !== null && projectSees(project, caller.project));
      return { ...list, kept: await keptOf(kept) };
    },
    async listStrangers(query) {
      const list = await read([partOf(keys.auditStrangers, query)], query, () => true);
      return { ...list, kept: await keptOf([keys.auditStrangers]) };
    },
  };
}

const streamOf = (project: string | null): string => (project === null ? keys.audit : keys.auditOf(project));

const partOf = (stream: string, { since, until, cursor }: AuditQuery): Part => ({
  stream,
  oldest: since === undefined ? '-' : placeAt(since),
  newest: cursor !== undefined ? `(${cursor}` : until === undefined ? '+' : placeAt(until),
});

/** No more of it than where there are some. */
const within = ({ stream, newest, oldest }: Part, some: EarlierEntries): Part => ({
  stream,
  oldest: isLater(some.oldest, oldest) ? some.oldest : oldest,
  newest: newest === '+' || isLater(newest, some.newest) ? some.newest : newest,
});

type Entry = readonly [id: string, json: string];

/** The entries of several streams as one list, newest first: a stream is read on when what was read of it is used up. */
async function* newestFirst(redis: Redis, asked: readonly Part[]): AsyncGenerator<Entry> {
  const count = Math.max(LEAST_OF_EACH, Math.ceil(BATCH / asked.length));
  const parts = asked.map((part) => ({ ...part, from: part.newest as string | null, entries: [] as Entry[] }));
  for (;;) {
    const usedUp = parts.filter(({ entries, from }) => entries.length === 0 && from !== null);
    await Promise.all(
      usedUp.map(async (part) => {
        const found = await redis.xrevrange(part.stream, part.from ?? '', part.oldest, 'COUNT', count);
        part.entries = found.map(([id, [, json = '{}']]): Entry => [id, json]).reverse();
        part.from = found.length === count ? `(${found.at(-1)?.[0]}` : null;
      }),
    );
    let next: Entry[] | undefined;
    for (const { entries } of parts) if (isNewer(entries.at(-1), next?.at(-1))) next = entries;
    const entry = next?.pop();
    if (entry === undefined) return;
    yield entry;
  }
}

/** Nothing is newer than none. */
function isNewer(entry: Entry | undefined, than: Entry | undefined): boolean {
  return entry !== undefined && (than === undefined || isLater(entry[0], than[0]));
}

/** Places may be ids, or what stands for them in a part. */
function isLater(place: string, than: string): boolean {
  const [[ms = 0, n = 0], [otherMs = 0, otherN = 0]] = [numbersOf(place), numbersOf(than)];
  return ms > otherMs || (ms === otherMs && n > otherN);
}

const numbersOf = (place: string): number[] => place.replace('(', '').split('-').map(Number);

/** The place in a stream at a time. Places count from 1970: whatever is earlier is before all of them. */
const placeAt = (time: string): string => String(Math.max(0, Date.parse(time)));

function matches(entry: AuditEntry, { caller, operation, outcome, target }: AuditQuery): boolean {
  if (caller !== undefined && entry.caller?.id !== caller) return false;
  if (operation !== undefined && entry.operation !== operation) return false;
  if (outcome !== undefined && entry.outcome !== outcome) return false;
  return target === undefined || entry.target.startsWith(target);
}
