/**
 * Projects. A caller who is bound to one sees that one.
 */
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { isUsable } from '../../access/api-keys.ts';
import { fullName } from '../../access/owned-names.ts';
import type { Principal } from '../../access/principal.ts';
import { projectInputSchema, projectSchema, projectUpdateSchema } from '../../schemas/project.ts';
import { callerOf } from '../access.ts';
import { listOf, removed, slugParams } from '../answers.ts';
import { etagOf, expectMatch, ifMatchHeaders } from '../etag.ts';
import { failures } from '../failures.ts';
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
        summary: 'Add a project',
        description:
          'A tenant: whoever is bound to it sees what is its own, and the endpoints that it is given. Its `limits` keep it from taking the places of the others.',
        body: projectInputSchema,
        response: { 201: projectSchema, ...failures('ALREADY_EXISTS', 'UNKNOWN_REFERENCE') },
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
    {
      schema: {
        operationId: 'listProjects',
        tags,
        summary: 'List projects',
        description: 'Those the caller sees, by name.',
        response: { 200: listOf(projectSchema), ...failures() },
      },
    },
    async (request) => ({ items: await projects.list(callerOf(request).project) }),
  );
  api.get(
    '/v1/projects/:id',
    {
      schema: {
        operationId: 'getProject',
        tags,
        summary: 'Get a project',
        description: 'Its endpoints and limits; the `etag` of the answer is what a change has to name in `if-match`.',
        params: slugParams,
        response: { 200: projectSchema, ...failures('PROJECT_NOT_FOUND') },
      },
    },
    async (request, reply) => {
      const project = await projects.get(request.params.id, callerOf(request).project);
      return reply.header('etag', etagOf(project)).send(project);
    },
  );
  api.patch(
    '/v1/projects/:id',
    {
      schema: {
        operationId: 'updateProject',
        tags,
        summary: 'Change a project',
        description:
          'What is not named stays as it is. A limit takes effect at once, and on what waits: what is under way is never stopped by one.',
        params: slugParams,
        headers: ifMatchHeaders,
        body: projectUpdateSchema,
        response: {
          200: projectSchema,
          ...failures('PROJECT_NOT_FOUND', 'UNKNOWN_REFERENCE', 'PRECONDITION_REQUIRED', 'PRECONDITION_FAILED'),
        },
      },
    },
    async (request, reply) => {
      await requireEndpoints(services, callerOf(request), request.body.endpoints ?? null);
      const expect = (current: unknown) => expectMatch(request.headers['if-match'], current);
      const project = await projects.update(request.params.id, request.body, expect);
      return reply.header('etag', etagOf(project)).send(project);
    },
  );
  api.delete(
    '/v1/projects/:id',
    {
      schema: {
        operationId: 'deleteProject',
        tags,
        summary: 'Remove a project',
        description:
          'Only once nothing of it is left: API keys, credentials, webhooks, schedules, plans, runs that have not ended, and migrations that ' +
          'have not ended or are not taken down. Its name is not given away again: the records of its migrations stay.',
        params: slugParams,
        response: { 204: removed, ...failures('PROJECT_NOT_FOUND', 'IN_USE') },
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

const ALL = { limit: 100_000 };

/** What must be gone before a project can go, by the names that whoever removes it knows: those of the installation. */
async function usersOf(
  { seenBy, apiKeys, webhooks, schedules, plans, planRuns }: Services,
  project: string,
): Promise<string[]> {
  const { credentials, migrations } = seenBy({ project });
  const named = (kind: string, items: readonly { readonly id: string }[]): string[] =>
    items.map(({ id }) => `${kind} ${fullName(project, id)}`);
  const keys = (await apiKeys.list(project)).filter(isUsable);
  const runs = (await planRuns.list(ALL, project)).items.filter(({ endedAt }) => endedAt === null);
  return [
    ...keys.map(({ id }) => `API key ${id}`),
    ...named('schedule', (await schedules.list(ALL, project)).items),
    ...named('plan', (await plans.list(ALL, project)).items),
    ...runs.map(({ id }) => `run ${id} (see lmas plan status)`),
    ...(await migrations.unfinished()).map((id) => `migration ${id} (see lmas get)`),
    ...named('credential', await credentials.list()),
    ...named('webhook', await webhooks.seenBy(project).list()),
  ];
}
