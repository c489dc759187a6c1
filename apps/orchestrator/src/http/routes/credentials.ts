/**
 * Credentials: secrets go in and never come out.
 */
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { credentialInputSchema, credentialSchema } from '../../schemas/credential.ts';
import { callerOf } from '../access.ts';
import { failure, listOf, removed, slugParams } from '../answers.ts';
import type { Services } from '../services.ts';

export const credentialRoutes: FastifyPluginAsyncZod<Services> = async (api, { seenBy }) => {
  const credentialsOf = (request: object) => seenBy(callerOf(request)).credentials;
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
    async (request, reply) => {
      const created = await credentialsOf(request).add(request.body);
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
    async (request) => ({ items: await credentialsOf(request).list() }),
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
    async (request) => await credentialsOf(request).get(request.params.id),
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
    async (request, reply) => {
      await credentialsOf(request).remove(request.params.id);
      return reply.code(204).send(null);
    },
  );
};
