/**
 * The events of one migration as server-sent events: from the start or from where the reader was, then as they come,
 * until the migration ends. A comment now and then keeps proxies from closing a quiet stream.
 */
import { Readable } from 'node:stream';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { EventHub, StoredEvent } from '../../migrations/events.ts';
import type { Migration } from '../../migrations/record.ts';
import { hasEnded } from '../../migrations/store.ts';
import { migrationIdSchema } from '../../schemas/migration.ts';
import { migrationEventSchema } from '../../schemas/migration-event.ts';
import { failure, hangUpSignal } from '../answers.ts';
import type { Services } from '../services.ts';

const STREAM_START = '0-0';
const headers = z.object({
  'last-event-id': z
    .string()
    .regex(/^\d{1,20}-\d{1,20}$/)
    .optional()
    .describe('Where the reader was; what came after it is sent.'),
});

export const eventRoutes: FastifyPluginAsyncZod<Services> = async (api, { migrations, events }) => {
  api.get(
    '/v1/migrations/:id/events',
    {
      schema: {
        operationId: 'watchMigration',
        tags: ['migrations'],
        description: 'Server-sent events; the data of each is one MigrationEvent. Ends after the event of type `end`.',
        params: z.object({ id: migrationIdSchema }),
        headers,
        response: {
          200: { description: 'Events.', content: { 'text/event-stream': { schema: migrationEventSchema } } },
          default: failure,
        },
      },
    },
    async (request, reply) => {
      const migration = await migrations.get(request.params.id);
      const gone = hangUpSignal(reply);
      const after = request.headers['last-event-id'] ?? STREAM_START;
      const current = () => migrations.get(migration.id);
      const stream = Readable.from(toText(events, migration, after, current, gone));
      return reply
        .header('content-type', 'text/event-stream')
        .header('cache-control', 'no-store')
        .header('x-accel-buffering', 'no')
        .serializer((body: unknown) => body as string)
        .send(stream as never);
    },
  );
};

async function* toText(
  events: EventHub,
  migration: Migration,
  after: string,
  current: () => Promise<Migration>,
  signal: AbortSignal,
): AsyncGenerator<string> {
  yield ': connected\n\n';
  const startedAfterEnd = hasEnded(migration);
  for await (const event of events.follow(migration.id, after, { signal })) {
    if (event !== undefined) {
      yield frame(event);
      if (isEnd(event)) return;
      continue;
    }
    yield ': keep-alive\n\n';
    const latest = await current();
    // The stream of a migration that ended long ago has expired: its record still says how.
    if (hasEnded(latest)) {
      if (startedAfterEnd && after === STREAM_START) yield frame(endOf(latest));
      return;
    }
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
