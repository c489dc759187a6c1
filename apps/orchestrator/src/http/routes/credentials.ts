/**
 * Credentials: secrets go in and never come out.
 */
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { credentialInputSchema, credentialSchema } from '../../schemas/credential.ts';
import { failure, listOf, removed, slugParams } from '../answers.ts';
import type { Services } from '../services.ts';

export const credentialRoutes: FastifyPluginAsyncZod<Services> = async (api, { inventory }) => {
  const { credentials } = inventory;
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
};
