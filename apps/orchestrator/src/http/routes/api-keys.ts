/**
 * API keys, and who the caller is. Whoever is bound to a project hands out keys to that project only.
 */
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { Principal } from '../../access/principal.ts';
import { LmasError } from '../../errors.ts';
import {
  apiKeyIdSchema,
  apiKeyInputSchema,
  apiKeyRotationSchema,
  apiKeySchema,
  callerSchema,
  newApiKeySchema,
} from '../../schemas/api-key.ts';
import { callerOf } from '../access.ts';
import { listOf, removed } from '../answers.ts';
import { failures } from '../failures.ts';
import { ROUTE_ACCESS } from '../route-access.ts';
import type { Services } from '../services.ts';

const params = z.object({ id: apiKeyIdSchema });
const tags = ['access'];

export const apiKeyRoutes: FastifyPluginAsyncZod<Services> = async (api, { apiKeys, projects }) => {
  api.get(
    '/v1/caller',
    {
      schema: {
        operationId: 'getCaller',
        tags,
        summary: 'Who am I?',
        description: 'Who you are to the orchestrator, and what you may.',
        response: { 200: callerSchema, ...failures() },
      },
    },
    async (request) => answerOf(callerOf(request)),
  );
  api.post(
    '/v1/api-keys',
    {
      schema: {
        operationId: 'createApiKey',
        tags,
        summary: 'Make an API key',
        description: 'Makes a key. It is in this answer and nowhere else: only its hash is kept.',
        body: apiKeyInputSchema,
        response: { 201: newApiKeySchema, ...failures('PROJECT_NOT_FOUND') },
      },
    },
    async (request, reply) => {
      const caller = callerOf(request);
      if (request.body.project === null && caller.project !== null) {
        throw new LmasError('FORBIDDEN', 'Who is bound to a project makes no key that is bound to none.');
      }
      const input = { ...request.body, project: request.body.project ?? caller.project };
      if (input.project !== null) await projects.get(input.project, caller.project);
      const operations = operationsWithin(caller, input.operations);
      requireNoLonger(caller, input.expiresAt);
      const created = await apiKeys.create({ ...input, operations }, nameOf(caller));
      return reply.code(201).header('location', `/v1/api-keys/${created.id}`).send(created);
    },
  );
  api.get(
    '/v1/api-keys',
    {
      schema: {
        operationId: 'listApiKeys',
        tags,
        summary: 'List API keys',
        description: 'Without the keys themselves, revoked ones included.',
        response: { 200: listOf(apiKeySchema), ...failures() },
      },
    },
    async (request) => ({ items: await apiKeys.list(callerOf(request).project) }),
  );
  api.get(
    '/v1/api-keys/:id',
    {
      schema: {
        operationId: 'getApiKey',
        tags,
        summary: 'Get an API key',
        description: 'Everything but the key itself.',
        params,
        response: { 200: apiKeySchema, ...failures('API_KEY_NOT_FOUND') },
      },
    },
    async (request) => await apiKeys.get(request.params.id, callerOf(request).project),
  );
  api.post(
    '/v1/api-keys/:id/rotate',
    {
      schema: {
        operationId: 'rotateApiKey',
        tags,
        summary: 'Rotate an API key',
        description:
          'A new key under the same id. The former one is accepted beside it for the grace time; it rotates none, and makes none that goes on longer.',
        params,
        body: apiKeyRotationSchema,
        response: { 200: newApiKeySchema, ...failures('API_KEY_NOT_FOUND', 'ALREADY_ENDED') },
      },
    },
    async (request) => {
      const caller = callerOf(request);
      requireNewest(caller);
      const current = await apiKeys.get(request.params.id, caller.project);
      operationsWithin(caller, current.operations); // nobody gets a key that may more than he may
      requireNoLonger(caller, current.expiresAt);
      return await apiKeys.rotate(current.id, caller.project, request.body.graceMs);
    },
  );
  api.delete(
    '/v1/api-keys/:id',
    {
      schema: {
        operationId: 'revokeApiKey',
        tags,
        summary: 'Revoke an API key',
        description: 'Refused from now on, and for ever; its record stays.',
        params,
        response: { 204: removed, ...failures('API_KEY_NOT_FOUND') },
      },
    },
    async (request, reply) => {
      await apiKeys.revoke(request.params.id, callerOf(request).project);
      return reply.code(204).send(null);
    },
  );
};

const answerOf = ({ operations, expiresAt: _, isFormer: __, ...caller }: Principal) => ({
  ...caller,
  operations: operations === null ? null : [...operations],
});

const nameOf = ({ kind, id, name }: Principal): string => `${kind} ${id} (${name})`;

/** The operations that a new key may have. @throws LmasError INVALID_REQUEST, FORBIDDEN */
function operationsWithin(caller: Principal, wanted: readonly string[] | null): string[] | null {
  const unknown = wanted?.filter((operation) => !Object.hasOwn(ROUTE_ACCESS, operation)) ?? [];
  if (unknown.length > 0) {
    const issues = [{ path: 'operations', message: `no operationId of this API: ${unknown.join(', ')}` }];
    throw new LmasError('INVALID_REQUEST', undefined, { issues });
  }
  const allowed = caller.operations;
  if (allowed !== null && (wanted === null || wanted.some((operation) => !allowed.includes(operation)))) {
    throw new LmasError('FORBIDDEN', 'The key would be allowed more than your own.');
  }
  return wanted === null ? null : [...wanted];
}

/** Whoever has come by a former secret shuts nobody out, and stays no longer than it does. @throws LmasError FORBIDDEN */
function requireNewest({ id, isFormer = false, expiresAt }: Principal): void {
  if (!isFormer) return;
  throw new LmasError(
    'FORBIDDEN',
    `Key ${id} has been rotated: its former secret goes on until ${expiresAt}, and rotates none.`,
    {
      remedy: 'Use its newest secret. Where nobody has that, another admin can rotate it once more.',
    },
  );
}

/** A key that expires leaves none behind that goes on. @throws LmasError FORBIDDEN */
function requireNoLonger({ expiresAt: own }: Principal, wanted: string | null): void {
  if (own === null || (wanted !== null && Date.parse(wanted) <= Date.parse(own))) return;
  throw new LmasError('FORBIDDEN', `The key would go on when your own has expired, at ${own}.`, {
    remedy: 'Give it an `expiresAt` that is no later; what shall last longer takes a key that does.',
  });
}
