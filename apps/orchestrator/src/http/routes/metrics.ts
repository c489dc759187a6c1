/**
 * What Prometheus reads. It shows the whole installation, so it needs a login that is bound to no project.
 */
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { failures } from '../failures.ts';
import type { Services } from '../services.ts';

export const metricsRoute: FastifyPluginAsyncZod<Pick<Services, 'metrics'>> = async (api, { metrics }) => {
  api.get(
    '/metrics',
    {
      schema: {
        operationId: 'getMetrics',
        tags: ['service'],
        summary: 'Get the metrics',
        description: 'In the text format of Prometheus. What each means is in docs/operations.md.',
        response: {
          200: { description: 'Metrics.', content: { 'text/plain': { schema: z.string() } } },
          ...failures(),
        },
      },
    },
    async (_, reply) => {
      const { contentType, text } = await metrics.exposition();
      return reply.type(contentType).send(text);
    },
  );
};
