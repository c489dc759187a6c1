/**
 * The gateways that live now.
 */
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { gatewaySchema } from '../../schemas/gateway.ts';
import { callerOf } from '../access.ts';
import { listOf } from '../answers.ts';
import { failures } from '../failures.ts';
import type { Services } from '../services.ts';

export const gatewayRoutes: FastifyPluginAsyncZod<Services> = async (api, { gateways }) => {
  api.get(
    '/v1/gateways',
    {
      schema: {
        operationId: 'listGateways',
        tags: ['gateways'],
        summary: 'List gateways',
        description:
          'Those that live now, with the migration each serves and how it is; also those that could not be taken down yet. The oldest first.',
        response: { 200: listOf(gatewaySchema), ...failures() },
      },
    },
    async (request) => ({ items: await gateways.list(callerOf(request).project) }),
  );
};
