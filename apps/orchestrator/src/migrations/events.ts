/**
 * The event stream of a migration, the feed of everything, and whatever else is read in the same way, for many readers at once: one
 * subscription tells all of them that there is something new, and each reads on from where it was, a few at a time and only as fast as
 * it takes them: what waits for a slow one waits in Redis. What was cut off there before it came to it, it is told. The hub owns its
 * listener on the subscriber connection, not the connection.
 */
import { EventEmitter, once } from 'node:events';
import type { Redis } from 'ioredis';
import { keys, MAX_NOTICES } from '../redis/keys.ts';
import { script } from '../redis/script.ts';
import { type Extent, Place, readStreamPart } from '../redis/stream-part.ts';
import { readCourse } from './course.ts';
import type { MigrationStore } from './store.ts';
import { unpackEvent } from './stored-event.ts';

export interface StoredEvent {
  /** Place in the stream: `<ms>-<n>`. */
  readonly id: string;
  /** A MigrationEvent, or of the feed a MigrationNotice, as JSON. */
  readonly json: string;
}

/** Stands where something was that is not kept any more. */
export interface Missed {
  /** How many; null: nobody knows. */
  readonly missed: number | null;
}
export type Told = StoredEvent | Missed | undefined;
export const isEvent = (told: Told): told is StoredEvent => told !== undefined && 'id' in told;

/** Migrations, as whoever asks may see them. */
export interface EventReader {
  /**
   * Everything after `afterId` (thinned out where it is long ago: course.ts), then what comes. Yields `undefined` when nothing came for a while, so that the reader can
   * send a sign of life. Ends when the reader stops or the signal aborts.
   */
  follow(migrationId: string, afterId: string, options: { signal: AbortSignal }): AsyncGenerator<Told>;
  /** The newest that is kept of it, where that is not after `afterId`: whoever was there has nothing more to wait for. */
  lastSeen(migrationId: string, afterId: string): Promise<StoredEvent | undefined>;
  /**
   * The same with the notices of everything; `undefined` begins with what comes next. Begins with what was missed where some of what
   * came after `afterId` may not be kept any more.
   */
  followAll(afterId: string | undefined, options: { signal: AbortSignal }): AsyncGenerator<Told>;
  /** Where the notices of everything are now, for a reader who has seen none. It tells of nobody when he did something. */
  position(): Promise<string>;
}

export interface EventHub extends EventReader {
  /** The same with what somebody else knows how to read. */
  followSource(source: EventSource, afterId: string, options: { signal: AbortSignal }): AsyncGenerator<Told>;
}

/** Events that are kept somewhere. */
export interface EventSource {
  /** Where it is said that there is something new. */
  readonly channel: string;
  /** What comes after a place; nothing: not yet. */
  read(afterId: string): Promise<EventPart>;
}
export interface EventPart {
  readonly events: readonly StoredEvent[];
  /** Of the stream that they are kept in, as of the same moment. */
  readonly extent: Extent | undefined;
}

const asItIs = (json: string): string => json;

/** What was stored of an event is completed by the record. */
async function withRecord(records: Pick<MigrationStore, 'get'>, id: string): Promise<(json: string) => string> {
  const record = await records.get(id);
  return record === undefined ? asItIs : (json) => unpackEvent(record, json);
}

/** Also the longest that a lost notification delays an event. */
export const QUIET_MS = 10_000;
const BATCH = 100;

/** The last place before this millisecond. Asked in a script, so that it is the server that holds our keys which answers. */
const NOW = script(`
  local now = redis.call('TIME')
  return string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000) - 1) .. '-999999999999999'
`);

export async function createEventHub(
  redis: Redis,
  subscriber: Redis,
  records: Pick<MigrationStore, 'get'>,
): Promise<EventHub> {
  const news = new EventEmitter().setMaxListeners(0);
  subscriber.on('pmessage', (_pattern: string, channel: string) => news.emit(channel));
  await subscriber.psubscribe(keys.eventPattern);

  async function* followSource(
    { channel, read }: EventSource,
    afterId: string,
    { signal }: { signal: AbortSignal },
  ): AsyncGenerator<Told> {
    let last = afterId;
    const place = new Place();
    while (!signal.aborted) {
      // Listening begins before reading: what is written in between is not missed.
      const waiting = new AbortController();
      const stop = AbortSignal.any([signal, waiting.signal, AbortSignal.timeout(QUIET_MS)]);
      const something = once(news, channel, { signal: stop }).then(
        () => true,
        () => false,
      );
      try {
        const { events, extent } = await read(last);
        const missed = place.moveOn(
          events.map(({ id }) => id),
          extent,
        );
        if (missed !== 0) yield { missed };
        for (const event of events) {
          last = event.id;
          yield event;
        }
        if (events.length === 0 && !(await something) && !signal.aborted) yield undefined;
      } finally {
        waiting.abort();
      }
    }
  }
  const streamAt =
    (key: string, whole: () => Promise<(json: string) => string>, readPart = readStreamPart) =>
    async (afterId: string) => {
      const { entries, extent } = await readPart(redis, key, afterId, BATCH);
      const complete = entries.length === 0 ? asItIs : await whole();
      return { events: entries.map(([id, fields]) => ({ id, json: complete(fields[1] ?? '{}') })), extent };
    };

  return {
    followSource,
    follow: (id, afterId, options) => {
      const read = streamAt(keys.events(id), () => withRecord(records, id), readCourse);
      return followSource({ channel: keys.eventChannel(id), read }, afterId, options);
    },
    async lastSeen(id, afterId) {
      const [newest] = await redis.xrevrange(keys.events(id), '+', '-', 'COUNT', 1);
      if (newest === undefined || isBefore(afterId, newest[0])) return undefined;
      const complete = await withRecord(records, id);
      return { id: newest[0], json: complete(newest[1][1] ?? '{}') };
    },
    async *followAll(afterId, options) {
      const [newest] = afterId === undefined ? await redis.xrevrange(keys.feed, '+', '-', 'COUNT', 1) : [];
      if (afterId !== undefined && (await mayHaveMissed(redis, afterId))) yield { missed: null };
      const feed = { channel: keys.feedChannel, read: streamAt(keys.feed, async () => asItIs) };
      yield* followSource(feed, afterId ?? newest?.[0] ?? '0-0', options);
    },
    async position() {
      const now = String(await NOW(redis, [keys.feed], []));
      const [newest] = await redis.xrevrange(keys.feed, '+', '-', 'COUNT', 1);
      // Places only grow, also where the clock was set back.
      return newest !== undefined && isBefore(now, newest[0]) ? newest[0] : now;
    },
  };
}

/** Where the server does not count, the feed is cut off at its beginning once it has grown to its length, and never before. */
async function mayHaveMissed(redis: Redis, afterId: string): Promise<boolean> {
  const { entries, extent } = await readStreamPart(redis, keys.feed, '0-0', 1);
  const [oldest] = entries;
  if (oldest === undefined) return true;
  const isCut = extent === undefined ? (await redis.xlen(keys.feed)) >= MAX_NOTICES : extent.added > extent.kept;
  return isCut && isBefore(afterId, oldest[0]);
}

function isBefore(id: string, other: string): boolean {
  const [[ms = 0, n = 0], [otherMs = 0, otherN = 0]] = [id.split('-').map(Number), other.split('-').map(Number)];
  return ms < otherMs || (ms === otherMs && n < otherN);
}
