/**
 * The event stream of a migration, and the feed of all of them, for many readers at once: one subscription tells all of them that there is something
 * new, and each reads on from where it was. The hub owns its listener on the subscriber connection, not the connection.
 */
import { EventEmitter, once } from 'node:events';
import type { Redis } from 'ioredis';
import { keys } from '../redis/keys.ts';

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

/** Also the longest that a lost notification delays an event. */
export const QUIET_MS = 10_000;
const BATCH = 100;

export async function createEventHub(redis: Redis, subscriber: Redis): Promise<EventHub> {
  const news = new EventEmitter().setMaxListeners(0);
  subscriber.on('pmessage', (_pattern: string, channel: string) => news.emit(channel));
  await subscriber.psubscribe(keys.eventPattern);

  async function* follow(
    { stream, channel }: { stream: string; channel: string },
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
        for (const [id, fields] of entries) {
          last = id;
          yield { id, json: fields[1] ?? '{}' };
        }
        if (entries.length === 0 && !(await something) && !signal.aborted) yield undefined;
      } finally {
        waiting.abort();
      }
    }
  }

  return {
    follow: (id, afterId, options) =>
      follow({ stream: keys.events(id), channel: keys.eventChannel(id) }, afterId, options),
    async *followAll(afterId, options) {
      const [newest] = afterId === undefined ? await redis.xrevrange(keys.feed, '+', '-', 'COUNT', 1) : [];
      yield* follow({ stream: keys.feed, channel: keys.feedChannel }, afterId ?? newest?.[0] ?? '0-0', options);
    },
  };
}
