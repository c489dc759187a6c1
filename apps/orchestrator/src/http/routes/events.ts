/**
 * Server-sent events of one migration: from the start or from where the reader was, then as they come, until the
 * migration ends; and of all migrations: from now or from where the reader was, without an end. A comment now and then keeps proxies from closing a quiet stream.
 */
import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { EventHub, StoredEvent } from '../../migrations/events.ts';
import type { Migration } from '../../migrations/record.ts';
import { hasEnded } from '../../migrations/store.ts';
import { migrationIdSchema } from '../../schemas/migration.ts';
import { migrationEventSchema } from '../../schemas/migration-event.ts';
import { migrationNoticeSchema } from '../../schemas/migration-notice.ts';
import { callerOf, whileWelcome } from '../access.ts';
import { hangUpSignal } from '../answers.ts';
import { failures } from '../failures.ts';
import type { Services } from '../services.ts';

const STREAM_START = '0-0';
const headers = z.object({
  'last-event-id': z
    .string()
    .regex(/^\d{1,15}-\d{1,15}$/, 'the id of an event of this stream, such as 1767225600000-0')
    .optional()
    .describe('Where the reader was; what came after it is sent.'),
});

export const eventRoutes: FastifyPluginAsyncZod<Services> = async (api, { seenBy }) => {
  api.get(
    '/v1/migrations/:id/events',
    {
      schema: {
        operationId: 'watchMigration',
        tags: ['migrations'],
        summary: 'Follow a migration',
        description: 'Server-sent events; the data of each is one MigrationEvent. Ends after the event of type `end`.',
        params: z.object({ id: migrationIdSchema }),
        headers,
        response: {
          200: { description: 'Events.', content: { 'text/event-stream': { schema: migrationEventSchema } } },
          ...failures('MIGRATION_NOT_FOUND'),
        },
      },
    },
    async (request, reply) => {
      const { migrations, events } = seenBy(callerOf(request));
      const migration = await migrations.get(request.params.id);
      const gone = hangUpSignal(reply);
      const after = request.headers['last-event-id'] ?? STREAM_START;
      const current = () => migrations.get(migration.id);
      return sendEvents(reply, whileWelcome(request, toText(events, migration, after, current, gone)));
    },
  );
  api.get(
    '/v1/events',
    {
      schema: {
        operationId: 'watchMigrations',
        tags: ['migrations'],
        summary: 'Follow all migrations',
        description:
          'Server-sent events without an end; the data of each is one MigrationNotice. Without `Last-Event-ID` it begins with what happens next; with it, what came after that one is sent first, as far back as it is kept (the last 20,000).',
        headers,
        response: {
          200: { description: 'Notices.', content: { 'text/event-stream': { schema: migrationNoticeSchema } } },
          ...failures(),
        },
      },
    },
    async (request, reply) => {
      const { events } = seenBy(callerOf(request));
      const text = allToText(events, request.headers['last-event-id'], hangUpSignal(reply));
      return sendEvents(reply, whileWelcome(request, text));
    },
  );
};

function sendEvents<Reply>(reply: Reply, text: AsyncGenerator<string>): Reply {
  const bare = reply as unknown as FastifyReply;
  bare
    .header('content-type', 'text/event-stream')
    .header('cache-control', 'no-store')
    .header('x-accel-buffering', 'no')
    .serializer((body: unknown) => body as string)
    .send(Readable.from(text));
  return reply;
}

async function* allToText(events: EventHub, after: string | undefined, signal: AbortSignal): AsyncGenerator<string> {
  yield ': connected\n\n';
  for await (const event of events.followAll(after, { signal })) {
    yield event === undefined ? ': keep-alive\n\n' : frame(event);
  }
}

async function* toText(
  events: EventHub,
  migration: Migration,
  after: string,
  current: () => Promise<Migration>,
  signal: AbortSignal,
): AsyncGenerator<string> {
  yield ': connected\n\n';
  let sawEnd = hasEnded(migration);
  for await (const event of events.follow(migration.id, after, { signal })) {
    if (event !== undefined) {
      yield frame(event);
      if (isEnd(event)) return;
      continue;
    }
    yield ': keep-alive\n\n';
    const latest = await current();
    // The stream of a migration that ended long ago has expired: its record still says how. One that has just ended may
    // have something more in its stream.
    if (sawEnd && hasEnded(latest)) {
      yield frame(endOf(latest));
      return;
    }
    sawEnd = hasEnded(latest);
  }
}

const frame = ({ id, json }: StoredEvent): string => `id: ${id}\ndata: ${json}\n\n`;

const isEnd = ({ json }: StoredEvent): boolean => migrationEventSchema.parse(JSON.parse(json)).type === 'end';

function endOf(migration: Migration): StoredEvent {
  const at = migration.endedAt ?? migration.createdAt;
  return {
    id: `${Date.parse(at)}-0`,
    json: JSON.stringify({ at, type: 'end', message: migration.phase, migration }),
  };
}
