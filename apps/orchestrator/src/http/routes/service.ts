/**
 * The service itself: is it alive, is it ready, which version, which API. Open to everybody,
 * but for the version: that is nobody's business without a key.
 */

import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { readinessSchema, versionSchema } from '../../schemas/service.ts';
import { VERSION } from '../../version.ts';
import { failures } from '../failures.ts';
import type { Services } from '../services.ts';

export const versionRoute: FastifyPluginAsyncZod = async (api) => {
  api.get(
    '/v1/version',
    {
      schema: {
        operationId: 'getVersion',
        tags: ['service'],
        summary: 'Get the version',
        description: 'Of the orchestrator and of this API.',
        response: { 200: versionSchema, ...failures() },
      },
    },
    async () => ({ version: VERSION, apiVersion: 1 as const }),
  );
};

export const probeRoutes: FastifyPluginAsyncZod<Pick<Services, 'readiness'>> = async (app, { readiness }) => {
  const open = { tags: ['service'], security: [] };
  // Load balancers and monitors like to ask with HEAD.
  const probe = { exposeHeadRoute: true };
  app.get(
    '/healthz',
    {
      ...probe,
      schema: {
        ...open,
        operationId: 'getHealth',
        summary: 'Is it alive?',
        description: 'Whether the process answers at all.',
        response: { 200: z.object({ status: z.literal('ok') }) },
      },
    },
    async () => ({ status: 'ok' as const }),
  );
  app.get(
    '/readyz',
    {
      ...probe,
      schema: {
        ...open,
        operationId: 'getReadiness',
        summary: 'Is it ready?',
        description: 'Whether it can do its work; 503 when it cannot, with the reason.',
        response: { 200: readinessSchema, 503: readinessSchema },
      },
    },
    async (_, reply) => {
      const checks = await readiness();
      const ready = checks.every(({ ok }) => ok);
      return reply.code(ready ? 200 : 503).send({ ready, checks: checks.map((check) => ({ ...check })) });
    },
  );
};

export const documentRoute: FastifyPluginAsyncZod = async (app) => {
  app.get('/openapi.json', { schema: { hide: true } }, async (_, reply) =>
    reply
      .type('application/json')
      .serializer(JSON.stringify)
      .send(app.swagger() as never),
  );
};
