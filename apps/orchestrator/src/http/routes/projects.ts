/**
 * Projects. A caller who is bound to one sees that one.
 */
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { isUsable } from '../../access/api-keys.ts';
import type { Principal } from '../../access/principal.ts';
import { projectInputSchema, projectSchema, projectUpdateSchema } from '../../schemas/project.ts';
import { callerOf } from '../access.ts';
import { failure, listOf, removed, slugParams } from '../answers.ts';
import type { Services } from '../services.ts';

const tags = ['access'];

export const projectRoutes: FastifyPluginAsyncZod<Services> = async (api, services) => {
  const { projects } = services;
  api.post(
    '/v1/projects',
    {
      schema: {
        operationId: 'createProject',
        tags,
        body: projectInputSchema,
        response: { 201: projectSchema, default: failure },
      },
    },
    async (request, reply) => {
      await requireEndpoints(services, callerOf(request), request.body.endpoints);
      const created = await projects.add(request.body);
      return reply.code(201).header('location', `/v1/projects/${created.id}`).send(created);
    },
  );
  api.get(
    '/v1/projects',
    { schema: { operationId: 'listProjects', tags, response: { 200: listOf(projectSchema), default: failure } } },
    async (request) => ({ items: await projects.list(callerOf(request).project) }),
  );
  api.get(
    '/v1/projects/:id',
    {
      schema: {
        operationId: 'getProject',
        tags,
        params: slugParams,
        response: { 200: projectSchema, default: failure },
      },
    },
    async (request) => await projects.get(request.params.id, callerOf(request).project),
  );
  api.patch(
    '/v1/projects/:id',
    {
      schema: {
        operationId: 'updateProject',
        tags,
        params: slugParams,
        body: projectUpdateSchema,
        response: { 200: projectSchema, default: failure },
      },
    },
    async (request) => {
      await requireEndpoints(services, callerOf(request), request.body.endpoints ?? null);
      return await projects.update(request.params.id, request.body);
    },
  );
  api.delete(
    '/v1/projects/:id',
    {
      schema: {
        operationId: 'deleteProject',
        tags,
        description: 'Its name is not given away again: the records of its migrations stay.',
        params: slugParams,
        response: { 204: removed, default: failure },
      },
    },
    async (request, reply) => {
      await projects.remove(request.params.id, (id) => usersOf(services, id));
      return reply.code(204).send(null);
    },
  );
};

/** @throws LmasError ENDPOINT_NOT_FOUND */
async function requireEndpoints({ seenBy }: Services, caller: Principal, endpoints: readonly string[] | null) {
  for (const id of endpoints ?? []) await seenBy(caller).endpoints.get(id);
}

/** What must be gone before a project can go. */
async function usersOf({ seenBy, apiKeys }: Services, project: string): Promise<string[]> {
  const { credentials, migrations } = seenBy({ project });
  const keys = (await apiKeys.list(project)).filter(isUsable);
  return [
    ...keys.map(({ id }) => `API key ${id}`),
    ...(await credentials.list()).map(({ id }) => `credential ${id}`),
    ...(await migrations.live()).map(({ id }) => `migration ${id}`),
  ];
}
