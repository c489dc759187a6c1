/**
 * What is registered: credentials, sites, endpoints; and what can be asked of them.
 */

import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { withSession } from '../../endpoints/connector.ts';
import {
  credentialInputSchema,
  credentialSchema,
  endpointInputSchema,
  endpointSchema,
  hostKeyScanInputSchema,
  hostKeyScanSchema,
  inventorySchema,
  pluginSchema,
  siteInputSchema,
  siteSchema,
} from '../../schemas.ts';
import { callSignal, failure, listOf, slugParams } from '../answers.ts';
import type { Services } from '../services.ts';

const FAR_CALL_MS = 25_000;

export const inventoryRoutes: FastifyPluginAsyncZod<Services> = async (api, services) => {
  const { credentials, sites, endpoints } = services.inventory;
  const removed = z.null().describe('Removed.');

  api.post(
    '/v1/credentials',
    {
      schema: {
        operationId: 'createCredential',
        tags: ['credentials'],
        body: credentialInputSchema,
        response: { 201: credentialSchema, default: failure },
      },
    },
    async ({ body }, reply) => {
      const created = await credentials.add(body);
      return reply.code(201).header('location', `/v1/credentials/${created.id}`).send(created);
    },
  );
  api.get(
    '/v1/credentials',
    {
      schema: {
        operationId: 'listCredentials',
        tags: ['credentials'],
        response: { 200: listOf(credentialSchema), default: failure },
      },
    },
    async () => ({ items: await credentials.list() }),
  );
  api.get(
    '/v1/credentials/:id',
    {
      schema: {
        operationId: 'getCredential',
        tags: ['credentials'],
        params: slugParams,
        response: { 200: credentialSchema, default: failure },
      },
    },
    async ({ params }) => await credentials.get(params.id),
  );
  api.delete(
    '/v1/credentials/:id',
    {
      schema: {
        operationId: 'deleteCredential',
        tags: ['credentials'],
        params: slugParams,
        response: { 204: removed, default: failure },
      },
    },
    async ({ params }, reply) => {
      await credentials.remove(params.id);
      return reply.code(204).send(null);
    },
  );

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
    '/v1/endpoints',
    {
      schema: {
        operationId: 'createEndpoint',
        tags: ['endpoints'],
        body: endpointInputSchema,
        response: { 201: endpointSchema, default: failure },
      },
    },
    async ({ body }, reply) => {
      const created = await endpoints.add(body);
      return reply.code(201).header('location', `/v1/endpoints/${created.id}`).send(created);
    },
  );
  api.get(
    '/v1/endpoints',
    {
      schema: {
        operationId: 'listEndpoints',
        tags: ['endpoints'],
        response: { 200: listOf(endpointSchema), default: failure },
      },
    },
    async () => ({ items: await endpoints.list() }),
  );
  api.get(
    '/v1/endpoints/:id',
    {
      schema: {
        operationId: 'getEndpoint',
        tags: ['endpoints'],
        params: slugParams,
        response: { 200: endpointSchema, default: failure },
      },
    },
    async ({ params }) => await endpoints.get(params.id),
  );
  api.delete(
    '/v1/endpoints/:id',
    {
      schema: {
        operationId: 'deleteEndpoint',
        tags: ['endpoints'],
        params: slugParams,
        response: { 204: removed, default: failure },
      },
    },
    async ({ params }, reply) => {
      await endpoints.remove(params.id);
      return reply.code(204).send(null);
    },
  );
  api.get(
    '/v1/endpoints/:id/inventory',
    {
      schema: {
        operationId: 'getEndpointInventory',
        tags: ['endpoints'],
        description: 'The host and its VMs, asked now. Also the test whether the endpoint can be reached.',
        params: slugParams,
        response: { 200: inventorySchema, default: failure },
      },
    },
    async (request, reply) => {
      const signal = callSignal(reply, FAR_CALL_MS);
      return await withSession(services.connector, request.params.id, signal, async (session) =>
        inventorySchema.parse(await session.inventory({ signal })),
      );
    },
  );

  api.get(
    '/v1/plugins',
    {
      schema: {
        operationId: 'listPlugins',
        tags: ['plugins'],
        response: { 200: listOf(pluginSchema), default: failure },
      },
    },
    async () => ({
      items: services.plugins.all().map(({ name, apiVersion, capabilities, configSchema, optionsSchema }) => ({
        name,
        apiVersion,
        capabilities: { ...capabilities },
        configSchema: jsonSchemaOf(configSchema),
        optionsSchema: jsonSchemaOf(optionsSchema),
      })),
    }),
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

const jsonSchemaOf = (schema: z.ZodType): Record<string, unknown> => ({
  ...z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }),
});
