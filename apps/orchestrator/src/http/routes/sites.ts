/**
 * Sites, and what the SSH server of a machine shows before it is registered.
 */
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { hostKeyScanInputSchema, hostKeyScanSchema, siteInputSchema, siteSchema } from '../../schemas/site.ts';
import { callSignal, FAR_CALL_MS, failure, listOf, removed, slugParams } from '../answers.ts';
import type { Services } from '../services.ts';

export const siteRoutes: FastifyPluginAsyncZod<Services> = async (api, services) => {
  const { sites } = services.inventory;
  api.post(
    '/v1/sites',
    {
      schema: {
        operationId: 'createSite',
        tags: ['sites'],
        body: siteInputSchema,
        response: { 201: siteSchema, default: failure },
      },
    },
    async ({ body }, reply) => {
      const created = await sites.add(body);
      return reply.code(201).header('location', `/v1/sites/${created.id}`).send(created);
    },
  );
  api.get(
    '/v1/sites',
    { schema: { operationId: 'listSites', tags: ['sites'], response: { 200: listOf(siteSchema), default: failure } } },
    async () => ({ items: await sites.list() }),
  );
  api.get(
    '/v1/sites/:id',
    {
      schema: {
        operationId: 'getSite',
        tags: ['sites'],
        params: slugParams,
        response: { 200: siteSchema, default: failure },
      },
    },
    async ({ params }) => await sites.get(params.id),
  );
  api.delete(
    '/v1/sites/:id',
    {
      schema: {
        operationId: 'deleteSite',
        tags: ['sites'],
        params: slugParams,
        response: { 204: removed, default: failure },
      },
    },
    async ({ params }, reply) => {
      await sites.remove(params.id);
      return reply.code(204).send(null);
    },
  );

  api.post(
    '/v1/host-key-scans',
    {
      schema: {
        operationId: 'scanHostKeys',
        tags: ['sites'],
        body: hostKeyScanInputSchema,
        response: { 200: hostKeyScanSchema, default: failure },
      },
    },
    async (request, reply) => {
      const { host, port } = request.body;
      const signal = callSignal(reply, FAR_CALL_MS);
      return { host, port, hostKeys: await services.scanHostKeys(host, port, { signal }) };
    },
  );
};
