/**
 * Plans as they are stored, and the requests that begin a run.
 */
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import type { Plan } from '../../plans/record.ts';
import {
  evacuationInputSchema,
  planBodySchema,
  planListQuerySchema,
  planListSchema,
  planPutQuerySchema,
  planSchema,
} from '../../schemas/plan.ts';
import { planRunInputSchema, planRunSchema } from '../../schemas/plan-run.ts';
import { callerOf } from '../access.ts';
import { callSignal, FAR_CALL_MS, ownedNameParams, removed } from '../answers.ts';
import { etagOf, expectMatch, ifMatchHeaders } from '../etag.ts';
import { failures } from '../failures.ts';
import type { Services } from '../services.ts';

const tags = ['plans'];
const projectOf = (request: object): string | null => callerOf(request).project;

export const planRoutes: FastifyPluginAsyncZod<Services> = async (api, { plans, planRuns }) => {
  api.put(
    '/v1/plans/:id',
    {
      schema: {
        operationId: 'putPlan',
        tags,
        summary: 'Store a plan',
        description:
          'Makes it, or takes the place of the one of that name, which `if-match` has to name then; whoever names one that was removed makes none. Refused at once, with every reason: VMs that are not there, one VM twice, mappings that miss a network, plans that wait for each other, checks of addresses that nobody allowed. What depends on who answers at the moment is left to `validate`. Runs under way go on with the plan as it was. Whoever sees all projects changes a project’s plan by `project.name`; only the project itself makes one.',
        params: ownedNameParams,
        querystring: planPutQuerySchema,
        headers: ifMatchHeaders,
        body: planBodySchema,
        response: {
          200: planSchema,
          201: planSchema,
          ...failures(
            'INVALID_PLAN',
            'PLAN_NOT_FOUND',
            'PRECONDITION_REQUIRED',
            'PRECONDITION_FAILED',
            'FAR_END_TIMEOUT',
          ),
        },
      },
    },
    async (request, reply) => {
      const ifMatch = request.headers['if-match'];
      const expect = (current: Plan | undefined) => {
        // Whoever names a version does not mean a new one: the one that was looked at is gone.
        if (current === undefined && (ifMatch === undefined || ifMatch === '*')) return;
        expectMatch(
          ifMatch,
          current ?? null,
          `There is a plan ${current?.id} already: a change of it has to say of which version.`,
        );
      };
      const signal = callSignal(reply, FAR_CALL_MS);
      const { plan, isNew } = await plans.put(request.params.id, request.body, projectOf(request), expect, {
        signal,
        dryRun: request.query.dryRun,
      });
      return reply
        .code(isNew && !request.query.dryRun ? 201 : 200)
        .header('etag', etagOf(plan))
        .header('location', `/v1/plans/${plan.id}`)
        .send(plan);
    },
  );
  api.get(
    '/v1/plans',
    {
      schema: {
        operationId: 'listPlans',
        tags,
        summary: 'List plans',
        description: 'Newest first; pages go on from `nextCursor`.',
        querystring: planListQuerySchema,
        response: { 200: planListSchema, ...failures('INVALID_CURSOR') },
      },
    },
    async (request) => await plans.list(request.query, projectOf(request)),
  );
  api.get(
    '/v1/plans/:id',
    {
      schema: {
        operationId: 'getPlan',
        tags,
        summary: 'Get a plan',
        description: 'As it is stored; the `etag` of the answer is what a change has to name in `if-match`.',
        params: ownedNameParams,
        response: { 200: planSchema, ...failures('PLAN_NOT_FOUND') },
      },
    },
    async (request, reply) => {
      const plan = await plans.get(request.params.id, projectOf(request));
      return reply.header('etag', etagOf(plan)).send(plan);
    },
  );
  api.delete(
    '/v1/plans/:id',
    {
      schema: {
        operationId: 'deletePlan',
        tags,
        summary: 'Remove a plan',
        description: 'Refused with the names of the plans that run after it. Its runs and their reports stay.',
        params: ownedNameParams,
        response: { 204: removed, ...failures('PLAN_NOT_FOUND', 'IN_USE') },
      },
    },
    async (request, reply) => {
      await plans.remove(request.params.id, projectOf(request));
      return reply.code(204).send(null);
    },
  );
  api.post(
    '/v1/plans/:id/runs',
    {
      schema: {
        operationId: 'startPlanRun',
        tags,
        summary: 'Run a plan',
        description:
          'The answer is 202 with the address of the run. `failover` makes every check first and moves nothing when one says no, unless the wave goes on without such VMs.',
        params: ownedNameParams,
        body: planRunInputSchema,
        response: { 202: planRunSchema, ...failures('PLAN_NOT_FOUND', 'PLAN_BUSY', 'PLAN_NOT_READY') },
      },
    },
    async (request, reply) => {
      const run = await planRuns.start(request.params.id, request.body.mode, projectOf(request));
      return reply.code(202).header('location', `/v1/plan-runs/${run.id}`).send(run);
    },
  );
  api.post(
    '/v1/evacuations',
    {
      schema: {
        operationId: 'evacuate',
        tags,
        summary: 'Empty a host or a site',
        description:
          'Everything that runs there moves, most at once as `concurrency` says, to an endpoint, or to the endpoints of a site that have most memory free. Also the way to fill a new site. A run like that of a plan; its fail-back brings all back. Refused while another run empties the same host or site, a host of that site, or the site of that host.',
        body: evacuationInputSchema,
        response: { 202: planRunSchema, ...failures('INVALID_PLAN', 'PLAN_BUSY', 'FAR_END_TIMEOUT') },
      },
    },
    async (request, reply) => {
      const signal = callSignal(reply, FAR_CALL_MS);
      const run = await planRuns.evacuate(request.body, projectOf(request), { signal });
      return reply.code(202).header('location', `/v1/plan-runs/${run.id}`).send(run);
    },
  );
};
