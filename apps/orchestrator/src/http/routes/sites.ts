/**
 * Sites, and what the SSH server of a machine shows before it is registered.
 */
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { hostKeyScanInputSchema, hostKeyScanSchema, siteInputSchema, siteSchema } from '../../schemas/site.ts';
import { callerOf } from '../access.ts';
import { callSignal, FAR_CALL_MS, failure, listOf, removed, slugParams } from '../answers.ts';
import type { Services } from '../services.ts';

export const siteRoutes: FastifyPluginAsyncZod<Services> = async (api, services) => {
  const sitesOf = (request: object) => services.seenBy(callerOf(request)).sites;
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
    async (request, reply) => {
      const created = await sitesOf(request).add(request.body);
      return reply.code(201).header('location', `/v1/sites/${created.id}`).send(created);
    },
  );
  api.get(
    '/v1/sites',
    { schema: { operationId: 'listSites', tags: ['sites'], response: { 200: listOf(siteSchema), default: failure } } },
    async (request) => ({ items: await sitesOf(request).list() }),
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
    async (request) => await sitesOf(request).get(request.params.id),
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
    async (request, reply) => {
      await sitesOf(request).remove(request.params.id);
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
