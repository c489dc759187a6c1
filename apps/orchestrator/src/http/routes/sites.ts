/**
 * Sites, and what the SSH server of a machine shows before it is registered.
 */
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import {
  hostKeyScanInputSchema,
  hostKeyScanSchema,
  siteChangeSchema,
  siteInputSchema,
  siteSchema,
} from '../../schemas/site.ts';
import { callerOf } from '../access.ts';
import { callSignal, FAR_CALL_MS, listOf, removed, slugParams } from '../answers.ts';
import { etagOf, expectMatch, ifMatchHeaders } from '../etag.ts';
import { failures } from '../failures.ts';
import type { Services } from '../services.ts';

export const siteRoutes: FastifyPluginAsyncZod<Services> = async (api, services) => {
  const sitesOf = (request: object) => services.seenBy(callerOf(request)).sites;
  api.post(
    '/v1/sites',
    {
      schema: {
        operationId: 'createSite',
        tags: ['sites'],
        summary: 'Add a site',
        description: 'A data centre: the machine where its gateways run, and how the other sites reach it.',
        body: siteInputSchema,
        response: { 201: siteSchema, ...failures('ALREADY_EXISTS', 'UNKNOWN_REFERENCE') },
      },
    },
    async (request, reply) => {
      const created = await sitesOf(request).add(request.body);
      return reply.code(201).header('location', `/v1/sites/${created.id}`).send(created);
    },
  );
  api.get(
    '/v1/sites',
    {
      schema: {
        operationId: 'listSites',
        tags: ['sites'],
        summary: 'List sites',
        description: 'All that the caller sees, by name.',

        response: { 200: listOf(siteSchema), ...failures() },
      },
    },
    async (request) => ({ items: await sitesOf(request).list() }),
  );
  api.get(
    '/v1/sites/:id',
    {
      schema: {
        operationId: 'getSite',
        tags: ['sites'],
        summary: 'Get a site',
        description: 'Its settings; the `etag` of the answer is what a change has to name in `if-match`.',
        params: slugParams,
        response: { 200: siteSchema, ...failures('SITE_NOT_FOUND') },
      },
    },
    async (request, reply) => {
      const site = await sitesOf(request).get(request.params.id);
      return reply.header('etag', etagOf(site)).send(site);
    },
  );
  api.patch(
    '/v1/sites/:id',
    {
      schema: {
        operationId: 'updateSite',
        tags: ['sites'],
        summary: 'Change a site',
        description:
          'What is not named stays as it is; `gateway` is replaced as a whole. While live migrations use the site, of its gateway only the credential may change, and addresses may be added to `moreHypervisorAddresses`: they find their gateways by the rest.',
        params: slugParams,
        headers: ifMatchHeaders,
        body: siteChangeSchema,
        response: {
          200: siteSchema,
          ...failures('SITE_NOT_FOUND', 'UNKNOWN_REFERENCE', 'IN_USE', 'PRECONDITION_REQUIRED', 'PRECONDITION_FAILED'),
        },
      },
    },
    async (request, reply) => {
      const expect = (current: unknown) => expectMatch(request.headers['if-match'], current);
      const site = await sitesOf(request).change(request.params.id, request.body, expect);
      return reply.header('etag', etagOf(site)).send(site);
    },
  );
  api.delete(
    '/v1/sites/:id',
    {
      schema: {
        operationId: 'deleteSite',
        tags: ['sites'],
        summary: 'Remove a site',
        description: 'Refused with the names of the endpoints and live migrations that still need it.',
        params: slugParams,
        response: { 204: removed, ...failures('SITE_NOT_FOUND', 'IN_USE') },
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
        summary: 'Show SSH host keys',
        description: 'What the SSH server shows now. Compare it with what the machine itself says before you trust it.',
        body: hostKeyScanInputSchema,
        response: { 200: hostKeyScanSchema, ...failures('FAR_END_TIMEOUT', 'GATEWAY_UNREACHABLE') },
      },
    },
    async (request, reply) => {
      const { host, port } = request.body;
      const signal = callSignal(reply, FAR_CALL_MS);
      return { host, port, hostKeys: await services.scanHostKeys(host, port, { signal }) };
    },
  );
};
