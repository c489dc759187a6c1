/**
 * Records that people and our own machinery both write: each write says which version it is a change of, and changes
 * nothing when somebody was quicker. With the record, in the same step, go its log, its word to whoever follows
 * everything, and the time at which somebody has to look at it again. It owns no connection.
 *
 * `token` is for fencing: it grows with every order that may withdraw what was about to be started (pause, change,
 * cancel). Whoever starts something for a record names the token that it acted upon, and is refused when it is not the
 * newest any more (see CREATE in migrations/scripts.ts): also a process that slept in between starts nothing. Versions and
 * tokens of a record begin with the time at which it is made: who acts for one that was removed is not heard for the one
 * that has its name by then.
 */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { errorCode, LmasError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { keys, MAX_NOTICES } from './keys.ts';
import { leaveEarlierVersionsOut } from './record-versions.ts';
import { keptScript } from './script.ts';
import { readStored, readWhole, type UnknownFields, writeWhole } from './stored-json.ts';
import { type Extent, extentOf } from './stream-part.ts';

/** What has to be the case when something is started on behalf of a record. */
export interface Fence {
  readonly key: string;
  readonly token: number;
}

export interface Versioned<T> {
  readonly value: T;
  /** What a later version wrote into it; it goes with whatever is written in its place. */
  readonly unknown?: UnknownFields;
  readonly version: number;
  readonly fence: Fence;
  /** The seat that it took last, whoever has it now. */
  readonly seat?: string | undefined;
}

/** A name that one record of a table has at a time. */
export interface Seat {
  readonly name: string;
  /** What is thrown when another record has it. */
  readonly taken: (holder: string) => Promise<LmasError>;
}

/** In the place of a record that is none, by its schema. */
export const UNREADABLE = Symbol('unreadable');
export type Unreadable = typeof UNREADABLE;

/** What goes with a write. */
export interface Beside {
  /** Nothing is written when another record has it. It is kept until a write that says `leavesSeat`, or until the record is removed. */
  readonly seat?: Seat | undefined;
  readonly leavesSeat?: boolean;
  /** Withdraws what was about to be started. */
  readonly withdraw?: boolean;
  /** When somebody has to look at it; null: never again, unless it is written. */
  readonly lookAtMs: number | null;
  readonly log?: readonly object[];
  /** For webhooks and whoever follows everything. */
  readonly notices?: readonly object[];
}

/** A field and its value: what lists are narrowed by. It never changes, but for `needs`. */
export type Index = readonly [field: string, value: string];

/** What waits for somebody's word. */
export const NEEDS_PERSON: Index = ['needs', 'person'];

/** A part of a log, and the record that goes with it, as of one moment. */
export interface LogPart<T> {
  readonly value: T | undefined;
  /** Oldest first. */
  readonly entries: readonly { readonly id: string; readonly entry: unknown }[];
  /** The place of the newest entry that there is; undefined: there is none. */
  readonly newestId: string | undefined;
  readonly extent: Extent | undefined;
}

export interface VersionedTable<T> {
  /**
   * False when there is one of that name. @throws LmasError WITHDRAWN when `fence`, of whoever orders it, is not met; what
   * the seat throws, as all that write
   */
  add(value: T, beside: Beside & { fence?: Fence | undefined }): Promise<boolean>;
  find(id: string): Promise<Versioned<T> | undefined>;
  /** Without what is not there, and what cannot be read: that is logged, and in nobody else's way. */
  getMany(ids: readonly string[]): Promise<T[]>;
  /** As `getMany`, but what cannot be read has its place. */
  getEach(ids: readonly string[]): Promise<(T | Unreadable)[]>;
  /** False when somebody was quicker. Safe to send twice. */
  write(before: Versioned<T>, value: T, beside: Beside): Promise<boolean>;
  /** Reads and writes until it was the quickest; `undefined` of `apply` leaves it as it is. */
  change(id: string, apply: (value: T) => { value: T; beside: Beside } | undefined): Promise<T | undefined>;
  remove(id: string): Promise<void>;
  /** The id of the record that has a seat now. */
  holderOf(seat: string): Promise<string | undefined>;
  /** Whether nothing was withdrawn since the record was read. */
  isMet(fence: Fence): Promise<boolean>;
  /** Newest first, the next ones after `skip`; with an index, only those in it. */
  ids(skip: number, count: number, index?: Index): Promise<string[]>;
  /** Those at which somebody has to look by then. */
  dueBy(atMs: number): Promise<string[]>;
  /** Newest first. */
  readLog(id: string): Promise<unknown[]>;
  /** What is in the log after a place (`<ms>-<n>`), at most so many. */
  readLogOn(id: string, afterId: string, count: number): Promise<LogPart<T>>;
}

/** What a refusal that names who has the seat begins with. */
const TAKEN = 'TAKEN ';

/** The seat of a record becomes free, if the record has it still. */
const LEAVE = `
  local function leave(record, seats, id)
    local seat = redis.call('HGET', record, 'seat')
    if seat and redis.call('GET', seats .. seat) == id then redis.call('DEL', seats .. seat) end
  end
`;

/**
 * KEYS: record, all, attention, log
 * ARGV: id, write id, version it is a change of (0: new), record, withdraw (1 or 0), created at (ms), look at (ms or ''),
 * longest log, key and token of a fence ('' for none), names of indexes (JSON), channel of the log, names of seats begin with,
 * seat to take ('' for none), leave the seat (1 or 0), number of log entries, names of indexes that it is not in any more (JSON),
 * entry…, notice…
 */
const SAVE = keptScript(`
  ${LEAVE}
  if redis.call('HGET', KEYS[1], 'writeId') == ARGV[2] then return 'OK' end
  if tonumber(redis.call('HGET', KEYS[1], 'version') or '0') ~= tonumber(ARGV[3]) then return 'CONFLICT' end
  if ARGV[9] ~= '' and redis.call('HGET', ARGV[9], 'token') ~= ARGV[10] then return 'WITHDRAWN' end
  if ARGV[14] ~= '' then
    local holder = redis.call('GET', ARGV[13] .. ARGV[14])
    if holder and holder ~= ARGV[1] then return '${TAKEN}' .. holder end
    redis.call('SET', ARGV[13] .. ARGV[14], ARGV[1])
    redis.call('HSET', KEYS[1], 'seat', ARGV[14])
  end
  if ARGV[15] == '1' then leave(KEYS[1], ARGV[13], ARGV[1]) end
  local version = tonumber(ARGV[3]) + 1
  if ARGV[3] == '0' then
    local time = redis.call('TIME')
    version = time[1] * 1000000 + time[2]
    redis.call('HSET', KEYS[1], 'token', string.format('%.0f', version))
  end
  redis.call('HSET', KEYS[1], 'record', ARGV[4], 'version', string.format('%.0f', version), 'writeId', ARGV[2])
  redis.call('HINCRBY', KEYS[1], 'token', ARGV[5])
  redis.call('ZADD', KEYS[2], ARGV[6], ARGV[1])
  if ARGV[7] == '' then redis.call('ZREM', KEYS[3], ARGV[1]) else redis.call('ZADD', KEYS[3], ARGV[7], ARGV[1]) end
  for _, name in ipairs(cjson.decode(ARGV[11])) do redis.call('ZADD', name, ARGV[6], ARGV[1]) end
  for _, name in ipairs(cjson.decode(ARGV[17])) do redis.call('ZREM', name, ARGV[1]) end
  local entries = tonumber(ARGV[16])
  for i = 18, 17 + entries do redis.call('XADD', KEYS[4], 'MAXLEN', '=', ARGV[8], '*', 'entry', ARGV[i]) end
  if entries > 0 then redis.call('PUBLISH', ARGV[12], '') end
  for i = 18 + entries, #ARGV do
    redis.call('XADD', '${keys.feed}', 'MAXLEN', '~', ${MAX_NOTICES}, '*', 'event', ARGV[i])
    redis.call('PUBLISH', '${keys.feedChannel}', '')
  end
  return 'OK'
`);

/** KEYS: record, all, attention, log. ARGV: id, names of seats begin with, name of an index… */
const REMOVE = keptScript(`
  ${LEAVE}
  leave(KEYS[1], ARGV[2], ARGV[1])
  redis.call('DEL', KEYS[1], KEYS[4])
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('ZREM', KEYS[3], ARGV[1])
  for i = 3, #ARGV do redis.call('ZREM', ARGV[i], ARGV[1]) end
  return 'OK'
`);

export function versionedTable<T extends { readonly id: string; readonly createdAt: string }>(
  redis: Redis,
  {
    name,
    schema,
    maxLog,
    indexesOf = () => [],
    needsPerson,
    readableFrom = () => undefined,
    log,
  }: {
    name: string;
    schema: z.ZodType<T>;
    maxLog: number;
    indexesOf?: (value: T) => readonly Index[];
    /** While that is so, it is in the index `NEEDS_PERSON`. */
    needsPerson?: (value: T) => boolean;
    /** The oldest version that may read it, where that is not every one. */
    readableFrom?: (value: T) => number | undefined;
    /** Hears of records that cannot be read. */
    log?: Pick<Logger, 'error'> | undefined;
  },
): VersionedTable<T> {
  const names = keys.versioned(name);
  const keysOf = (id: string): string[] => [names.record(id), names.all, names.attention, names.log(id)];
  const parse = (json: string): T => readStored(schema, json);
  /** @throws LmasError STORE_TOO_NEW: that is no broken record, and it is this process that has to go */
  const parseOrLog = (json: string, id: string): T | Unreadable => {
    try {
      return parse(json);
    } catch (error) {
      if (errorCode(error) === 'STORE_TOO_NEW') throw error;
      log?.error({ err: error, [name]: id }, 'this record cannot be read; lists leave it out');
      return UNREADABLE;
    }
  };
  const getEach = async (ids: readonly string[]): Promise<(T | Unreadable)[]> => {
    const pipeline = redis.pipeline();
    for (const id of ids) pipeline.hget(names.record(id), 'record');
    return ((await pipeline.exec()) ?? []).flatMap(([error, record], index) => {
      if (error) throw error;
      return typeof record === 'string' ? [parseOrLog(record, ids[index] ?? '')] : [];
    });
  };

  const save = async (
    value: T,
    version: number,
    beside: Beside,
    { fence, unknown }: { fence?: Fence | undefined; unknown?: UnknownFields } = {},
  ): Promise<boolean> => {
    const { withdraw = false, lookAtMs, log = [], notices = [], seat, leavesSeat = false } = beside;
    const writeId = randomUUID();
    const from = readableFrom(value);
    if (from !== undefined) await leaveEarlierVersionsOut(redis, from);
    const record = writeWhole(value, unknown, from);
    const args = [value.id, writeId, version, record, withdraw ? 1 : 0, Date.parse(value.createdAt)];
    const texts = [...log, ...notices].map((each) => JSON.stringify(each));
    const ofFence = [fence?.key ?? '', fence?.token ?? ''];
    const isIn = indexesOf(value).map((index) => names.index(...index));
    const isOut: string[] = [];
    if (needsPerson !== undefined) (needsPerson(value) ? isIn : isOut).push(names.index(...NEEDS_PERSON));
    const answer = await SAVE(redis, keysOf(value.id), [
      ...args,
      lookAtMs ?? '',
      maxLog,
      ...ofFence,
      JSON.stringify(isIn),
      names.channel(value.id),
      ...[names.seat(''), seat?.name ?? '', leavesSeat ? 1 : 0],
      log.length,
      JSON.stringify(isOut),
      ...texts,
    ]);
    if (answer === 'WITHDRAWN') throw new LmasError('WITHDRAWN');
    if (seat !== undefined && String(answer).startsWith(TAKEN))
      throw await seat.taken(String(answer).slice(TAKEN.length));
    return answer === 'OK';
  };
  const find = async (id: string): Promise<Versioned<T> | undefined> => {
    const [record, version, token, seat] = await redis.hmget(names.record(id), 'record', 'version', 'token', 'seat');
    if (!record) return undefined;
    return {
      ...readWhole(schema, record),
      version: Number(version),
      fence: { key: names.record(id), token: Number(token ?? 0) },
      ...(seat ? { seat } : {}),
    };
  };
  const write = (before: Versioned<T>, value: T, beside: Beside) =>
    save(value, before.version, beside, { unknown: before.unknown });

  return {
    find,
    write,
    add: (value, { fence, ...beside }) => save(value, 0, beside, { fence }),
    getEach,
    getMany: async (ids) => (await getEach(ids)).filter((each) => each !== UNREADABLE),
    async change(id, apply) {
      for (;;) {
        const before = await find(id);
        if (before === undefined) return undefined;
        const after = apply(before.value);
        if (after === undefined) return before.value;
        if (await write(before, after.value, after.beside)) return after.value;
      }
    },
    async remove(id) {
      const value = (await find(id))?.value;
      const indexes: Index[] = value === undefined ? [] : [...indexesOf(value)];
      if (needsPerson !== undefined) indexes.push(NEEDS_PERSON);
      await REMOVE(redis, keysOf(id), [id, names.seat(''), ...indexes.map((index) => names.index(...index))]);
    },
    holderOf: async (seat) => (await redis.get(names.seat(seat))) ?? undefined,
    isMet: async ({ key, token }) => (await redis.hget(key, 'token')) === String(token),
    ids: (skip, count, index) =>
      redis.zrevrange(index === undefined ? names.all : names.index(...index), skip, skip + count - 1),
    dueBy: (atMs) => redis.zrangebyscore(names.attention, '-inf', atMs),
    async readLog(id) {
      const entries = await redis.xrevrange(names.log(id), '+', '-');
      return entries.map(([, [, json = '{}']]): unknown => JSON.parse(json));
    },
    async readLogOn(id, afterId, count) {
      const log = names.log(id);
      const transaction = redis.multi().hget(names.record(id), 'record');
      const answers = await transaction
        .xrange(log, `(${afterId}`, '+', 'COUNT', count)
        .xrevrange(log, '+', '-', 'COUNT', 1)
        .xinfo('STREAM', log)
        .exec();
      const [record, entries, [newest], info] = logPartSchema.parse(
        answers?.map(([error, answer], index) => {
          if (error && index === INFO) return []; // there is no log
          if (error) throw error;
          return answer;
        }),
      );
      return {
        value: record === null ? undefined : parse(record),
        entries: entries.map(([entryId, [, json]]) => ({ id: entryId, entry: JSON.parse(json) as unknown })),
        newestId: newest?.[0],
        extent: extentOf(info),
      };
    },
  };
}

const entrySchema = z.tuple([z.string(), z.tuple([z.literal('entry'), z.string()])]);
const INFO = 3;
const logPartSchema = z.tuple([
  z.string().nullable(),
  z.array(entrySchema),
  z.array(entrySchema),
  z.array(z.unknown()),
]);

const placeSchema = z.string().regex(/^\d{1,9}$/);

/** So many are looked at together. */
const BATCH = 50;

/** Pages of a table, newest first, of what `shows` lets through. @throws LmasError INVALID_CURSOR */
export async function pageOf<T>(
  table: Pick<VersionedTable<T>, 'ids' | 'getEach'>,
  {
    limit,
    cursor,
    index,
  }: { readonly limit: number; readonly cursor?: string | undefined; readonly index?: Index | undefined },
  shows: (value: T) => boolean,
): Promise<{ items: T[]; nextCursor: string | null }> {
  const parsed = placeSchema.safeParse(cursor === undefined ? '0' : Buffer.from(cursor, 'base64url').toString('utf8'));
  if (!parsed.success) throw new LmasError('INVALID_CURSOR');
  const items: T[] = [];
  for (let place = Number(parsed.data); ; ) {
    const ids = await table.ids(place, BATCH, index);
    for (const value of await table.getEach(ids)) {
      if (value === UNREADABLE || !shows(value)) place += 1;
      else if (items.length < limit) [place] = [place + 1, items.push(value)];
      else return { items, nextCursor: Buffer.from(String(place)).toString('base64url') };
    }
    if (ids.length < BATCH) return { items, nextCursor: null };
  }
}
