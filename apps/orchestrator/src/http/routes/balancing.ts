/**
 * Load balancing: policies, their passes, and the moves that wait for an answer.
 */
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import {
  balancingMoveSchema,
  balancingPassSchema,
  balancingPolicyInputSchema,
  balancingPolicySchema,
  balancingRunIdSchema,
  balancingRunSchema,
  balancingSettingsSchema,
  moveIdSchema,
  moveListQuerySchema,
  policyListQuerySchema,
} from '../../schemas/balancing.ts';
import { slugSchema } from '../../schemas/common.ts';
import { callerOf } from '../access.ts';
import { callSignal, listOf, removed, slugParams } from '../answers.ts';
import { etagOf, expectMatch, ifMatchHeaders } from '../etag.ts';
import { failures } from '../failures.ts';
import type { Services } from '../services.ts';

const tags = ['balancing'];
/** For a pass: as long as the use of hosts may be averaged over, and what it takes to ask them. */
const PASS_MS = 38_000;
const moveParams = z.object({ id: slugSchema, move: moveIdSchema });
const passesQuerySchema = z.strictObject({ limit: z.coerce.number().int().min(1).max(500).default(20) });
/** What people edit; whether it is paused is set by itself. */
const settingsOf = ({ pausedAt: _, ...policy }: z.infer<typeof balancingPolicySchema>) => policy;

export const balancingRoutes: FastifyPluginAsyncZod<Services> = async (api, services) => {
  await api.register(policyRoutes, services);
  await api.register(workRoutes, services);
  await api.register(moveRoutes, services);
};

const policyRoutes: FastifyPluginAsyncZod<Services> = async (api, { balancing }) => {
  api.post(
    '/v1/balancing-policies',
    {
      schema: {
        operationId: 'createBalancingPolicy',
        tags,
        summary: 'Add a balancing policy',
        description: 'Everything that is wrong with it is told at once. Its first pass follows soon.',
        body: balancingPolicyInputSchema,
        response: { 201: balancingPolicySchema, ...failures('ALREADY_EXISTS', 'INVALID_BALANCING_POLICY') },
      },
    },
    async (request, reply) => {
      const policy = await balancing.create(request.body);
      reply.header('location', `/v1/balancing-policies/${policy.id}`).header('etag', etagOf(settingsOf(policy)));
      return reply.code(201).send(policy);
    },
  );
  api.get(
    '/v1/balancing-policies',
    {
      schema: {
        operationId: 'listBalancingPolicies',
        tags,
        summary: 'List balancing policies',
        description: 'All of them, by name.',
        querystring: policyListQuerySchema,
        response: { 200: listOf(balancingPolicySchema), ...failures() },
      },
    },
    async ({ query }) => ({ items: query.needs === undefined ? await balancing.list() : await balancing.unanswered() }),
  );
  api.get(
    '/v1/balancing-policies/:id',
    {
      schema: {
        operationId: 'getBalancingPolicy',
        tags,
        summary: 'Get a balancing policy',
        description: 'Every setting, also those that were left to their defaults.',
        params: slugParams,
        response: { 200: balancingPolicySchema, ...failures('BALANCING_POLICY_NOT_FOUND') },
      },
    },
    async (request, reply) => {
      const policy = await balancing.get(request.params.id);
      return reply.header('etag', etagOf(settingsOf(policy))).send(policy);
    },
  );
  api.put(
    '/v1/balancing-policies/:id',
    {
      schema: {
        operationId: 'replaceBalancingPolicy',
        tags,
        summary: 'Set a balancing policy anew',
        description:
          'What is not named gets its default. What was decided already is looked at once more by the new settings.',
        params: slugParams,
        headers: ifMatchHeaders,
        body: balancingSettingsSchema,
        response: {
          200: balancingPolicySchema,
          ...failures(
            'BALANCING_POLICY_NOT_FOUND',
            'INVALID_BALANCING_POLICY',
            'PRECONDITION_REQUIRED',
            'PRECONDITION_FAILED',
          ),
        },
      },
    },
    async (request, reply) => {
      const policy = await balancing.replace(request.params.id, request.body, (current) =>
        expectMatch(request.headers['if-match'], settingsOf(current)),
      );
      return reply.header('etag', etagOf(settingsOf(policy))).send(policy);
    },
  );
  api.delete(
    '/v1/balancing-policies/:id',
    {
      schema: {
        operationId: 'deleteBalancingPolicy',
        tags,
        summary: 'Remove a balancing policy',
        description: 'Its passes and moves go with it. Migrations that run go on.',
        params: slugParams,
        response: { 204: removed, ...failures('BALANCING_POLICY_NOT_FOUND', 'IN_USE') },
      },
    },
    async (request, reply) => {
      await balancing.remove(request.params.id);
      return reply.code(204).send(null);
    },
  );
};

const workRoutes: FastifyPluginAsyncZod<Services> = async (api, { balancing, balancingRuns }) => {
  api.post(
    '/v1/balancing-policies/:id/pause',
    {
      schema: {
        operationId: 'pauseBalancingPolicy',
        tags,
        summary: 'Pause a balancing policy',
        description: 'What was not begun is withdrawn; migrations that run go on.',
        params: slugParams,
        response: { 200: balancingPolicySchema, ...failures('BALANCING_POLICY_NOT_FOUND') },
      },
    },
    async (request) => await balancing.pause(request.params.id),
  );
  api.post(
    '/v1/balancing-policies/:id/resume',
    {
      schema: {
        operationId: 'resumeBalancingPolicy',
        tags,
        summary: 'Let a balancing policy work again',
        description: 'Its next pass follows when its interval is over.',
        params: slugParams,
        response: { 200: balancingPolicySchema, ...failures('BALANCING_POLICY_NOT_FOUND') },
      },
    },
    async (request) => await balancing.resume(request.params.id),
  );
  api.post(
    '/v1/balancing-policies/:id/run',
    {
      schema: {
        operationId: 'runBalancingPolicy',
        tags,
        summary: 'Make a pass now',
        description:
          'Looks at every endpoint and answers with what was decided and why. In mode `automatic` the moves are submitted after the answer.',
        params: slugParams,
        response: {
          200: balancingPassSchema,
          ...failures('BALANCING_POLICY_NOT_FOUND', 'BALANCING_PAUSED', 'BALANCING_BUSY', 'FAR_END_TIMEOUT'),
        },
      },
    },
    async (request, reply) => await balancing.run(request.params.id, { signal: callSignal(reply, PASS_MS) }),
  );
  api.get(
    '/v1/balancing-runs/:id',
    {
      schema: {
        operationId: 'getBalancingRun',
        tags,
        summary: 'Get a scheduled pass',
        description:
          'A pass that a schedule ordered, to the end of what it moved; the last 1,000 that have ended are kept.',
        params: z.object({ id: balancingRunIdSchema }),
        response: { 200: balancingRunSchema, ...failures('BALANCING_RUN_NOT_FOUND') },
      },
    },
    async (request) => await balancingRuns.get(request.params.id),
  );
  api.get(
    '/v1/balancing-policies/:id/passes',
    {
      schema: {
        operationId: 'listBalancingPasses',
        tags,
        summary: 'List passes',
        description: 'What was found and decided, newest first; the last 500 are kept.',
        params: slugParams,
        querystring: passesQuerySchema,
        response: { 200: listOf(balancingPassSchema), ...failures('BALANCING_POLICY_NOT_FOUND') },
      },
    },
    async (request) => ({ items: await balancing.passes(request.params.id, request.query.limit) }),
  );
};

const moveRoutes: FastifyPluginAsyncZod<Services> = async (api, { balancing }) => {
  api.get(
    '/v1/balancing-policies/:id/moves',
    {
      schema: {
        operationId: 'listBalancingMoves',
        tags,
        summary: 'List moves',
        description:
          'Proposals and what became of all moves, newest first; of those that are over, the last 1,000 are kept.',
        params: slugParams,
        querystring: moveListQuerySchema,
        response: { 200: listOf(balancingMoveSchema), ...failures('BALANCING_POLICY_NOT_FOUND') },
      },
    },
    async (request) => {
      const { state } = request.query;
      const items = await balancing.moves(request.params.id);
      return { items: state === undefined ? items : items.filter((move) => move.state === state) };
    },
  );
  api.post(
    '/v1/balancing-policies/:id/moves/:move/approve',
    {
      schema: {
        operationId: 'approveBalancingMove',
        tags,
        summary: 'Approve a proposal',
        description:
          'Both hosts are looked at once more; what is no longer right is refused and not moved. VMs that a rule keeps together are approved together: the others are submitted with it.',
        params: moveParams,
        response: {
          200: balancingMoveSchema,
          ...failures(
            'BALANCING_POLICY_NOT_FOUND',
            'BALANCING_MOVE_NOT_FOUND',
            'BALANCING_PAUSED',
            'BALANCING_BUSY',
            'MOVE_ANSWERED',
            'MOVE_OUTDATED',
            'FAR_END_TIMEOUT',
          ),
        },
      },
    },
    async (request, reply) => {
      const { id, move } = request.params;
      const signal = callSignal(reply, PASS_MS);
      return await balancing.approve(id, move, { by: callerOf(request).name, signal });
    },
  );
  api.post(
    '/v1/balancing-policies/:id/moves/:move/reject',
    {
      schema: {
        operationId: 'rejectBalancingMove',
        tags,
        summary: 'Reject a proposal',
        description:
          'The VM is not proposed again while it cools down. VMs that a rule keeps together are rejected together.',
        params: moveParams,
        response: {
          200: balancingMoveSchema,
          ...failures('BALANCING_POLICY_NOT_FOUND', 'BALANCING_MOVE_NOT_FOUND', 'BALANCING_BUSY', 'MOVE_ANSWERED'),
        },
      },
    },
    async (request, reply) => {
      const { id, move } = request.params;
      return await balancing.reject(id, move, { by: callerOf(request).name, signal: callSignal(reply, PASS_MS) });
    },
  );
};
