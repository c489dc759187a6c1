/**
 * Credentials: secrets go in and never come out.
 */
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { credentialInputSchema, credentialSchema } from '../../schemas/credential.ts';
import { callerOf } from '../access.ts';
import { listOf, ownedNameParams, removed } from '../answers.ts';
import { failures } from '../failures.ts';
import type { Services } from '../services.ts';

export const credentialRoutes: FastifyPluginAsyncZod<Services> = async (api, { seenBy }) => {
  const credentialsOf = (request: object) => seenBy(callerOf(request)).credentials;
  api.post(
    '/v1/credentials',
    {
      schema: {
        operationId: 'createCredential',
        tags: ['credentials'],
        summary: 'Add a credential',
        description: 'A login for gateway machines or endpoints. The secret is sealed and comes out of no answer.',
        body: credentialInputSchema,
        response: { 201: credentialSchema, ...failures('ALREADY_EXISTS', 'INVALID_CREDENTIAL') },
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
        summary: 'List credentials',
        description: 'By name, without their secrets.',
        response: { 200: listOf(credentialSchema), ...failures() },
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
        summary: 'Get a credential',
        description: 'Everything but the secret.',
        params: ownedNameParams,
        response: { 200: credentialSchema, ...failures('CREDENTIAL_NOT_FOUND') },
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
        summary: 'Remove a credential',
        description: 'Refused with the names of those that still need it.',
        params: ownedNameParams,
        response: { 204: removed, ...failures('CREDENTIAL_NOT_FOUND', 'IN_USE') },
      },
    },
    async (request, reply) => {
      await credentialsOf(request).remove(request.params.id);
      return reply.code(204).send(null);
    },
  );
};
