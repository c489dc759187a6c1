/**
 * The queue and its limits: of the whole, of a site, of an endpoint. Those of a link are the link's.
 */
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { PlaceLimits } from '../../admission/service.ts';
import type { OrchestratorErrorCode } from '../../errors.ts';
import { slugSchema } from '../../schemas/common.ts';
import { placeLimitsSchema } from '../../schemas/limits.ts';
import { migrationListSchema } from '../../schemas/migration-list.ts';
import { queueChangeSchema, queueOrderQuerySchema, queueSchema } from '../../schemas/queue.ts';
import { callerOf } from '../access.ts';
import { slugParams } from '../answers.ts';
import { etagOf, expectMatch, ifMatchHeaders } from '../etag.ts';
import { failures } from '../failures.ts';
import type { Services } from '../services.ts';

const tags = ['queue'];

export const queueRoutes: FastifyPluginAsyncZod<Services> = async (api, services) => {
  const { queue } = services;
  api.get(
    '/v1/queue',
    {
      schema: {
        operationId: 'getQueue',
        tags,
        summary: 'Look at the queue',
        description: 'How many wait and run, whether it is paused, and the limits of the whole installation.',
        response: { 200: queueSchema, ...failures() },
      },
    },
    async (_, reply) => {
      const state = await queue.get();
      return reply.header('etag', etagOf(state.limits)).send(state);
    },
  );
  api.patch(
    '/v1/queue',
    {
      schema: {
        operationId: 'updateQueue',
        tags,
        summary: 'Pause, resume, or set limits',
        description:
          'A paused queue starts nothing; what runs goes on, and new requests are accepted. Pausing and resuming are safe to repeat and need no `if-match`; a change of limits does.',
        headers: ifMatchHeaders,
        body: queueChangeSchema,
        response: { 200: queueSchema, ...failures('PRECONDITION_REQUIRED', 'PRECONDITION_FAILED') },
      },
    },
    async (request, reply) => {
      const expect = (current: unknown) => expectMatch(request.headers['if-match'], current);
      const state = await queue.change(request.body, expect);
      return reply.header('etag', etagOf(state.limits)).send(state);
    },
  );
  api.get(
    '/v1/queue/migrations',
    {
      schema: {
        operationId: 'listQueuedMigrations',
        tags,
        summary: 'List what waits, in its order',
        description: 'The first to be started comes first; `waiting` says what each waits for.',
        querystring: queueOrderQuerySchema,
        response: { 200: migrationListSchema.extend({}), ...failures('INVALID_CURSOR') },
      },
    },
    async (request) => await services.seenBy(callerOf(request)).migrations.waiting(request.query),
  );
  await api.register(placeLimitRoutes, services);
};

interface LimitedPlace {
  readonly noun: 'Site' | 'Endpoint';
  readonly article: string;
  readonly missing: OrchestratorErrorCode;
  get(id: string): Promise<PlaceLimits>;
  set(id: string, limits: PlaceLimits, expect: (current: unknown) => void): Promise<PlaceLimits>;
}

/** Sites and endpoints are limited in the same way. */
const placeLimitRoutes: FastifyPluginAsyncZod<Services> = async (api, { queue }) => {
  const places: readonly LimitedPlace[] = [
    {
      ...{ noun: 'Site', article: 'a', missing: 'SITE_NOT_FOUND' },
      get: (id) => queue.siteLimits(id),
      set: (id, limits, expect) => queue.setSiteLimits(id, limits, expect),
    },
    {
      ...{ noun: 'Endpoint', article: 'an', missing: 'ENDPOINT_NOT_FOUND' },
      get: (id) => queue.endpointLimits(id),
      set: (id, limits, expect) => queue.setEndpointLimits(id, limits, expect),
    },
  ];
  for (const { noun, article, missing, get, set } of places) {
    const name = noun.toLowerCase();
    const path = `${name}s`;
    api.get(
      `/v1/${path}/:id/limits`,
      {
        schema: {
          operationId: `get${noun}Limits`,
          tags: [path],
          summary: `Get the limits of ${article} ${name}`,
          description: 'How many migrations may run there at once, from it and to it together.',
          params: slugParams,
          response: { 200: placeLimitsSchema, ...failures(missing) },
        },
      },
      async (request, reply) => {
        const limits = await get(request.params.id);
        return reply.header('etag', etagOf(limits)).send(limits);
      },
    );
    api.put(
      `/v1/${path}/:id/limits`,
      {
        schema: {
          operationId: `set${noun}Limits`,
          tags: [path],
          summary: `Set the limits of ${article} ${name}`,
          description: 'Looked at whenever something is about to start; what runs is never stopped by a limit.',
          params: z.object({ id: slugSchema }),
          headers: ifMatchHeaders,
          body: placeLimitsSchema,
          response: { 200: placeLimitsSchema, ...failures(missing, 'PRECONDITION_REQUIRED', 'PRECONDITION_FAILED') },
        },
      },
      async (request, reply) => {
        const expect = (current: unknown) => expectMatch(request.headers['if-match'], current);
        const limits = await set(request.params.id, request.body, expect);
        return reply.header('etag', etagOf(limits)).send(limits);
      },
    );
  }
};
