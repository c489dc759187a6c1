/**
 * The event stream of a migration, and the feed of all of them, for many readers at once: one subscription tells all of them that there is something
 * new, and each reads on from where it was. The hub owns its listener on the subscriber connection, not the connection.
 */
import { EventEmitter, once } from 'node:events';
import type { Redis } from 'ioredis';
import { keys } from '../redis/keys.ts';
import type { MigrationStore } from './store.ts';
import { unpackEvent } from './stored-event.ts';

export interface StoredEvent {
  /** Place in the stream: `<ms>-<n>`. */
  readonly id: string;
  /** A MigrationEvent, or of the feed a MigrationNotice, as JSON. */
  readonly json: string;
}

export interface EventHub {
  /**
   * Everything after `afterId`, then what comes. Yields `undefined` when nothing came for a while, so that the reader can
   * send a sign of life. Ends when the reader stops or the signal aborts.
   */
  follow(
    migrationId: string,
    afterId: string,
    options: { signal: AbortSignal },
  ): AsyncGenerator<StoredEvent | undefined>;
  /** The same with the notices of all migrations; `undefined` begins with what comes next. */
  followAll(afterId: string | undefined, options: { signal: AbortSignal }): AsyncGenerator<StoredEvent | undefined>;
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

export async function createEventHub(
  redis: Redis,
  subscriber: Redis,
  records: Pick<MigrationStore, 'get'>,
): Promise<EventHub> {
  const news = new EventEmitter().setMaxListeners(0);
  subscriber.on('pmessage', (_pattern: string, channel: string) => news.emit(channel));
  await subscriber.psubscribe(keys.eventPattern);

  async function* follow(
    { stream, channel, whole }: { stream: string; channel: string; whole: () => Promise<(json: string) => string> },
    afterId: string,
    { signal }: { signal: AbortSignal },
  ): AsyncGenerator<StoredEvent | undefined> {
    let last = afterId;
    while (!signal.aborted) {
      // Listening begins before reading: what is written in between is not missed.
      const waiting = new AbortController();
      const stop = AbortSignal.any([signal, waiting.signal, AbortSignal.timeout(QUIET_MS)]);
      const something = once(news, channel, { signal: stop }).then(
        () => true,
        () => false,
      );
      try {
        const entries = await redis.xrange(stream, `(${last}`, '+', 'COUNT', BATCH);
        const complete = entries.length === 0 ? asItIs : await whole();
        for (const [id, fields] of entries) {
          last = id;
          yield { id, json: complete(fields[1] ?? '{}') };
        }
        if (entries.length === 0 && !(await something) && !signal.aborted) yield undefined;
      } finally {
        waiting.abort();
      }
    }
  }

  return {
    follow: (id, afterId, options) =>
      follow(
        { stream: keys.events(id), channel: keys.eventChannel(id), whole: () => withRecord(records, id) },
        afterId,
        options,
      ),
    async *followAll(afterId, options) {
      const [newest] = afterId === undefined ? await redis.xrevrange(keys.feed, '+', '-', 'COUNT', 1) : [];
      const feed = { stream: keys.feed, channel: keys.feedChannel, whole: async () => asItIs };
      yield* follow(feed, afterId ?? newest?.[0] ?? '0-0', options);
    },
  };
}
