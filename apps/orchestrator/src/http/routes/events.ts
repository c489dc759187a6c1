/**
 * Server-sent events of one migration and of one run of a plan: from the start or from where the reader was, then as they come,
 * until it ends; of a balancing policy, and of everything: from now or from where the reader was, without an end. A comment now and then keeps proxies
 * from closing a quiet stream. When the process ends, every stream comes to its end in order, and its reader goes on elsewhere, from where it was.
 */
import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { type EventReader, isEvent, type Missed, type StoredEvent, type Told } from '../../migrations/events.ts';
import type { Migration } from '../../migrations/record.ts';
import { hasEnded } from '../../migrations/store.ts';
import { migrationIdSchema } from '../../schemas/migration.ts';
import { migrationEventSchema } from '../../schemas/migration-event.ts';
import { balancingNoticeSchema, noticeSchema } from '../../schemas/notice.ts';
import { planRunEventSchema, planRunIdSchema } from '../../schemas/plan-run.ts';
import { callerOf, whileWelcome } from '../access.ts';
import { slugParams, streamSignal } from '../answers.ts';
import { failures } from '../failures.ts';
import { createOpenStreams, type OpenStreams } from '../open-streams.ts';
import type { Services } from '../services.ts';

const STREAM_START = '0-0';
const KEEP_ALIVE = ': keep-alive\n\n';
/** Of another name than all others, which have none, and without an id: nobody takes it for a notice. */
const missedFrame = ({ missed }: Missed): string => `event: missed\ndata: ${JSON.stringify({ missed })}\n\n`;
const headers = z.object({
  'last-event-id': z
    .string()
    .regex(/^\d{1,15}-\d{1,15}$/, 'the id of an event of this stream, such as 1767225600000-0')
    .optional()
    .describe('Where the reader was; what came after it is sent.'),
});

interface Streaming extends Services {
  readonly streams: OpenStreams;
}

export const eventRoutes: FastifyPluginAsyncZod<Services> = async (api, all) => {
  const services: Streaming = { ...all, streams: createOpenStreams() };
  await api.register(migrationRoutes, services);
  await api.register(planRunRoutes, services);
  await api.register(policyRoutes, services);
  await api.register(feedRoutes, services);
};

const migrationRoutes: FastifyPluginAsyncZod<Streaming> = async (api, { seenBy, streams, stopping }) => {
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
          ...failures('MIGRATION_NOT_FOUND', 'RATE_LIMITED'),
        },
      },
    },
    async (request, reply) => {
      streams.enter(callerOf(request), reply);
      const { migrations, events } = seenBy(callerOf(request));
      const migration = await migrations.get(request.params.id);
      const gone = streamSignal(reply, stopping);
      const after = request.headers['last-event-id'] ?? STREAM_START;
      const current = () => migrations.get(migration.id);
      return sendEvents(reply, whileWelcome(request, toText(events, migration, after, current, gone)));
    },
  );
};

const planRunRoutes: FastifyPluginAsyncZod<Streaming> = async (api, { planRuns, planRunEvents, streams, stopping }) => {
  api.get(
    '/v1/plan-runs/:id/events',
    {
      schema: {
        operationId: 'watchPlanRun',
        tags: ['plans'],
        summary: 'Follow a run of a plan',
        description:
          'Server-sent events; the data of each is one PlanRunEvent: what happened, to which VM, and the run in short. As far back as its log is kept (1,000 entries). Ends after the event of type `end`.',
        params: z.object({ id: planRunIdSchema }),
        headers,
        response: {
          200: { description: 'Events.', content: { 'text/event-stream': { schema: planRunEventSchema } } },
          ...failures('PLAN_RUN_NOT_FOUND', 'RATE_LIMITED'),
        },
      },
    },
    async (request, reply) => {
      streams.enter(callerOf(request), reply);
      const { project } = callerOf(request);
      const { id } = await planRuns.get(request.params.id, project);
      const after = request.headers['last-event-id'] ?? STREAM_START;
      const events = planRunEvents.follow(id, after, project, { signal: streamSignal(reply, stopping) });
      return sendEvents(reply, whileWelcome(request, asText(events)));
    },
  );
};

const policyRoutes: FastifyPluginAsyncZod<Streaming> = async (
  api,
  { balancing, balancingEvents, streams, stopping },
) => {
  api.get(
    '/v1/balancing-policies/:id/events',
    {
      schema: {
        operationId: 'watchBalancingPolicy',
        tags: ['balancing'],
        summary: 'Follow a balancing policy',
        description:
          'Server-sent events until the policy is removed; the data of each is one BalancingNotice: every pass, and what becomes of proposals. Without `Last-Event-ID` it begins with what happens next; with it, what came after that one is sent first, as far back as it is kept (the last 1,000; all of them after `0-0`).',
        params: slugParams,
        headers,
        response: {
          200: { description: 'Notices.', content: { 'text/event-stream': { schema: balancingNoticeSchema } } },
          ...failures('BALANCING_POLICY_NOT_FOUND', 'RATE_LIMITED'),
        },
      },
    },
    async (request, reply) => {
      streams.enter(callerOf(request), reply);
      const { id } = await balancing.get(request.params.id);
      const signal = streamSignal(reply, stopping);
      const events = balancingEvents.follow(id, request.headers['last-event-id'], { signal });
      return sendEvents(reply, whileWelcome(request, asText(events)));
    },
  );
};

const feedRoutes: FastifyPluginAsyncZod<Streaming> = async (api, { seenBy, streams, stopping }) => {
  api.get(
    '/v1/events',
    {
      schema: {
        operationId: 'watchMigrations',
        tags: ['migrations'],
        summary: 'Follow everything',
        description:
          'Server-sent events without an end; the data of each is one Notice: of a migration, of a schedule, of a run of a plan or of a balancing policy, as its `type` says. Without `Last-Event-ID` it begins with an id of its own, which stands for now, and with what happens next; with it, what came after that one is sent first, as far back as it is kept (the last 100,000). Where some of that may not be kept any more, an event named `missed` stands in its place: `{"missed": 17}` for a reader who was too slow, `{"missed": null}` where nobody knows how many; list anew what you follow.',
        headers,
        response: {
          200: { description: 'Notices.', content: { 'text/event-stream': { schema: noticeSchema } } },
          ...failures('RATE_LIMITED'),
        },
      },
    },
    async (request, reply) => {
      streams.enter(callerOf(request), reply);
      const { events } = seenBy(callerOf(request));
      const after = request.headers['last-event-id'];
      const all = events.followAll(after, { signal: streamSignal(reply, stopping) });
      const text = asText(all, after === undefined ? () => events.position() : undefined);
      return sendEvents(reply, whileWelcome(request, text));
    },
  );
};

function sendEvents<Reply>(reply: Reply, text: AsyncGenerator<string>): Reply {
  const bare = reply as unknown as FastifyReply;
  bare
    .header('content-type', 'text/event-stream')
    .header('x-accel-buffering', 'no')
    .serializer((body: unknown) => body as string)
    .send(Readable.from(text));
  return reply;
}

/** @param begin where it begins, for whoever has heard nothing yet when the connection is lost */
async function* asText(events: AsyncIterable<Told>, begin?: () => Promise<string>): AsyncGenerator<string> {
  yield ': connected\n\n';
  if (begin !== undefined) yield `id: ${await begin()}\n\n`;
  for await (const event of events) yield event === undefined ? KEEP_ALIVE : frame(event);
}

async function* toText(
  events: EventReader,
  migration: Migration,
  after: string,
  current: () => Promise<Migration>,
  signal: AbortSignal,
): AsyncGenerator<string> {
  yield ': connected\n\n';
  const seen = hasEnded(migration) ? await events.lastSeen(migration.id, after) : undefined;
  if (seen !== undefined && isEnd(seen)) return yield frame(seen); // once more, rather than a silence that nothing ends
  let sawEnd = hasEnded(migration);
  for await (const event of events.follow(migration.id, after, { signal })) {
    if (event !== undefined) {
      yield frame(event);
      if (isEvent(event) && isEnd(event)) return;
      continue;
    }
    yield KEEP_ALIVE;
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

const frame = (told: StoredEvent | Missed): string =>
  isEvent(told) ? `id: ${told.id}\ndata: ${told.json}\n\n` : missedFrame(told);

/** All that has to be understood of an event: a newer version may say more in the rest than this one knows. */
const typedSchema = z.object({ type: z.string() });
const isEnd = ({ json }: StoredEvent): boolean => typedSchema.parse(JSON.parse(json)).type === 'end';

function endOf(migration: Migration): StoredEvent {
  const at = migration.endedAt ?? migration.createdAt;
  return {
    id: `${Date.parse(at)}-0`,
    json: JSON.stringify({ at, type: 'end', message: migration.phase, migration }),
  };
}
