/**
 * Endpoints, what they are asked, and the plugins that speak to them.
 */
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { testEndpoint } from '../../endpoints/endpoint-test.ts';
import { withSession } from '../../endpoints/questions.ts';
import {
  endpointChangeSchema,
  endpointInputSchema,
  endpointSchema,
  endpointTestSchema,
  inventorySchema,
} from '../../schemas/endpoint.ts';
import { pluginSchema } from '../../schemas/plugin.ts';
import { callerOf } from '../access.ts';
import { callSignal, FAR_CALL_MS, listOf, removed, slugParams } from '../answers.ts';
import { etagOf, expectMatch, ifMatchHeaders } from '../etag.ts';
import { failures } from '../failures.ts';
import type { Services } from '../services.ts';

export const endpointRoutes: FastifyPluginAsyncZod<Services> = async (api, services) => {
  const endpointsOf = (request: object) => services.seenBy(callerOf(request)).endpoints;
  api.post(
    '/v1/endpoints',
    {
      schema: {
        operationId: 'createEndpoint',
        tags: ['endpoints'],
        summary: 'Add an endpoint',
        description: 'A hypervisor control point. `config` is checked by its plugin; nothing is connected to yet.',
        body: endpointInputSchema,
        response: {
          201: endpointSchema,
          ...failures('ALREADY_EXISTS', 'UNKNOWN_REFERENCE', 'INVALID_CREDENTIAL', 'INVALID_ENDPOINT_CONFIG'),
        },
      },
    },
    async (request, reply) => {
      const created = await endpointsOf(request).add(request.body);
      return reply.code(201).header('location', `/v1/endpoints/${created.id}`).send(created);
    },
  );
  api.get(
    '/v1/endpoints',
    {
      schema: {
        operationId: 'listEndpoints',
        tags: ['endpoints'],
        summary: 'List endpoints',
        description: 'All that the caller sees, by name.',
        response: { 200: listOf(endpointSchema), ...failures() },
      },
    },
    async (request) => ({ items: await endpointsOf(request).list() }),
  );
  api.get(
    '/v1/endpoints/:id',
    {
      schema: {
        operationId: 'getEndpoint',
        tags: ['endpoints'],
        summary: 'Get an endpoint',
        description: 'Its settings; the `etag` of the answer is what a change has to name in `if-match`.',
        params: slugParams,
        response: { 200: endpointSchema, ...failures('ENDPOINT_NOT_FOUND') },
      },
    },
    async (request, reply) => {
      const endpoint = await endpointsOf(request).get(request.params.id);
      return reply.header('etag', etagOf(endpoint)).send(endpoint);
    },
  );
  api.patch(
    '/v1/endpoints/:id',
    {
      schema: {
        operationId: 'updateEndpoint',
        tags: ['endpoints'],
        summary: 'Change an endpoint',
        description:
          'What is not named stays as it is; `config` is replaced as a whole. While live migrations use the endpoint only its credential may change: they have to find their VM where they left it.',
        params: slugParams,
        headers: ifMatchHeaders,
        body: endpointChangeSchema,
        response: {
          200: endpointSchema,
          ...failures(
            'ENDPOINT_NOT_FOUND',
            'UNKNOWN_REFERENCE',
            'INVALID_CREDENTIAL',
            'INVALID_ENDPOINT_CONFIG',
            'IN_USE',
            'PRECONDITION_REQUIRED',
            'PRECONDITION_FAILED',
          ),
        },
      },
    },
    async (request, reply) => {
      const expect = (current: unknown) => expectMatch(request.headers['if-match'], current);
      const endpoint = await endpointsOf(request).change(request.params.id, request.body, expect);
      return reply.header('etag', etagOf(endpoint)).send(endpoint);
    },
  );
  const cordons = [
    {
      ...{ verb: 'cordon', operationId: 'cordonEndpoint', isCordoned: true, summary: 'Let an endpoint take no VMs' },
      description:
        'As before maintenance: balancing, evacuations and plans send it none, and a migration to it is refused (ENDPOINT_CORDONED) unless it says `allowCordoned`. What it has stays, and may leave; what was accepted before goes on. Idempotent.',
    },
    {
      ...{ verb: 'uncordon', operationId: 'uncordonEndpoint', isCordoned: false, summary: 'Let it take VMs again' },
      description: 'Ends a cordon. Idempotent.',
    },
  ];
  for (const { verb, isCordoned, ...about } of cordons)
    api.post(
      `/v1/endpoints/:id/${verb}`,
      {
        schema: {
          ...about,
          tags: ['endpoints'],
          params: slugParams,
          response: { 200: endpointSchema, ...failures('ENDPOINT_NOT_FOUND') },
        },
      },
      async (request, reply) => {
        const endpoint = await endpointsOf(request).setCordon(request.params.id, isCordoned);
        return reply.header('etag', etagOf(endpoint)).send(endpoint);
      },
    );
  api.post(
    '/v1/endpoints/:id/test',
    {
      schema: {
        operationId: 'testEndpoint',
        tags: ['endpoints'],
        summary: 'Test an endpoint',
        description:
          'Connects, logs in, asks who is there, and has the plugin look at all that migrations will need there, step by step. Changes nothing. It tries also a login that was refused a while ago. The answer is 200 also when that fails: `error` and each step of `steps` say why and what to do.',
        params: slugParams,
        response: { 200: endpointTestSchema, ...failures('ENDPOINT_NOT_FOUND') },
      },
    },
    async (request, reply) => {
      const { questions, endpoints } = services.seenBy(callerOf(request));
      await endpoints.get(request.params.id);
      return await testEndpoint(questions, request.params.id, { signal: callSignal(reply, FAR_CALL_MS) });
    },
  );
  api.delete(
    '/v1/endpoints/:id',
    {
      schema: {
        operationId: 'deleteEndpoint',
        tags: ['endpoints'],
        summary: 'Remove an endpoint',
        description: 'Refused with the live migrations that still need it.',
        params: slugParams,
        response: { 204: removed, ...failures('ENDPOINT_NOT_FOUND', 'IN_USE') },
      },
    },
    async (request, reply) => {
      await endpointsOf(request).remove(request.params.id);
      return reply.code(204).send(null);
    },
  );
  api.get(
    '/v1/endpoints/:id/inventory',
    {
      schema: {
        operationId: 'getEndpointInventory',
        tags: ['endpoints'],
        summary: 'Look at an endpoint',
        description:
          'Its hosts, storage, networks and VMs, asked now. A login that was refused a while ago is not tried again, so that a page that is open locks no account: `POST …/test` tries at once.',
        params: slugParams,
        response: { 200: inventorySchema, ...failures('ENDPOINT_NOT_FOUND', 'FAR_END_TIMEOUT') },
      },
    },
    async (request, reply) => {
      const signal = callSignal(reply, FAR_CALL_MS);
      const { questions } = services.seenBy(callerOf(request));
      return await withSession(questions, request.params.id, { signal }, async (session) =>
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
        summary: 'List plugins',
        description:
          'The hypervisors this orchestrator can drive, what each can do, and the JSON schemas of its settings and options.',
        response: { 200: listOf(pluginSchema), ...failures() },
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
};

const jsonSchemaOf = (schema: z.ZodType): Record<string, unknown> => ({
  ...z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }),
});
