/**
 * Runs of plans: follow, pause, approve, cancel, try again, take back, report.
 */
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { OrchestratorErrorCode } from '../../errors.ts';
import { REPORT_STYLE_HASH, reportPage } from '../../plans/report-page.ts';
import type { PlanRunService } from '../../plans/runs.ts';
import {
  approvalInputSchema,
  failBackInputSchema,
  planReportSchema,
  planRunIdSchema,
  planRunListQuerySchema,
  planRunListSchema,
  planRunSchema,
} from '../../schemas/plan-run.ts';
import { callerOf } from '../access.ts';
import { failures } from '../failures.ts';
import type { Services } from '../services.ts';

const tags = ['plans'];
const params = z.object({ id: planRunIdSchema });
const projectOf = (request: object): string | null => callerOf(request).project;
/** The page brings its style along and needs nothing else. */
const PAGE_POLICY = `default-src 'none'; style-src '${REPORT_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

export const planRunRoutes: FastifyPluginAsyncZod<Services> = async (api, services) => {
  await api.register(readRoutes, services);
  await api.register(orderRoutes, services);
};

const readRoutes: FastifyPluginAsyncZod<Services> = async (api, { planRuns }) => {
  api.get(
    '/v1/plan-runs',
    {
      schema: {
        operationId: 'listPlanRuns',
        tags,
        summary: 'List runs of plans',
        description: 'Newest first, in short; pages go on from `nextCursor`.',
        querystring: planRunListQuerySchema,
        response: { 200: planRunListSchema, ...failures('INVALID_CURSOR') },
      },
    },
    async (request) => await planRuns.list(request.query, projectOf(request)),
  );
  api.get(
    '/v1/plan-runs/:id',
    {
      schema: {
        operationId: 'getPlanRun',
        tags,
        summary: 'Get a run of a plan',
        description: 'The whole record: each wave and each VM, with its findings, its migrations and its error.',
        params,
        response: { 200: planRunSchema, ...failures('PLAN_RUN_NOT_FOUND') },
      },
    },
    async (request) => await planRuns.get(request.params.id, projectOf(request)),
  );
  api.get(
    '/v1/plan-runs/:id/report',
    {
      schema: {
        operationId: 'getPlanReport',
        tags,
        summary: 'Get the report of a run',
        description: 'What, when, how long, what failed and why, what was left. Also of a run that has not ended yet.',
        params,
        response: { 200: planReportSchema, ...failures('PLAN_RUN_NOT_FOUND') },
      },
    },
    async (request) => await planRuns.report(request.params.id, projectOf(request)),
  );
  api.get(
    '/v1/plan-runs/:id/report.html',
    {
      schema: {
        operationId: 'getPlanReportPage',
        tags,
        summary: 'Get the report of a run as a page to print',
        description: 'One HTML page that needs nothing else.',
        params,
        response: {
          200: { description: 'The page.', content: { 'text/html': { schema: z.string() } } },
          ...failures('PLAN_RUN_NOT_FOUND'),
        },
      },
    },
    async (request, reply) => {
      const report = await planRuns.report(request.params.id, projectOf(request));
      return reply
        .type('text/html; charset=utf-8')
        .header('content-security-policy', PAGE_POLICY)
        .send(reportPage(report));
    },
  );
};

interface Order {
  readonly name: 'pause' | 'resume' | 'cancel' | 'retry';
  readonly path: string;
  readonly summary: string;
  readonly description: string;
  readonly refusals?: readonly OrchestratorErrorCode[];
}

const ORDERS: readonly Order[] = [
  {
    name: 'pause',
    path: 'pause',
    summary: 'Pause a run',
    description: 'Nothing more begins; what moves goes on. Safe to repeat.',
  },
  {
    name: 'resume',
    path: 'resume',
    summary: 'Resume a run',
    description: 'It goes on where it was paused. Safe to repeat.',
  },
  {
    ...{ name: 'cancel', path: 'cancel', summary: 'Cancel a run' },
    description:
      'Nothing more begins, and what moves is cancelled; what is past its point of no return arrives. What has moved stays where it is: see fail-back. Safe to repeat.',
  },
  {
    ...{ name: 'retry', path: 'retry', summary: 'Try again what did not move' },
    description:
      'Of a run that failed or was cancelled. What moved stays; the rest is checked again, and moves wave after wave. Refused once a fail-back has taken back what it moved.',
    refusals: ['PLAN_BUSY'],
  },
];

const orderRoutes: FastifyPluginAsyncZod<Services> = async (api, { planRuns }) => {
  for (const { name, path, summary, description, refusals = [] } of ORDERS) {
    api.post(
      `/v1/plan-runs/:id/${path}`,
      {
        schema: {
          ...{ operationId: `${name}PlanRun`, tags, summary, description, params },
          response: { 202: planRunSchema, ...failures('PLAN_RUN_NOT_FOUND', 'RUN_STATE', ...refusals) },
        },
      },
      async (request, reply) => {
        const give: PlanRunService[typeof name] = planRuns[name];
        const run = await give(request.params.id, projectOf(request));
        return reply.code(202).header('location', `/v1/plan-runs/${run.id}`).send(run);
      },
    );
  }
  api.post(
    '/v1/plan-runs/:id/approve',
    {
      schema: {
        ...{ operationId: 'approvePlanRun', tags, summary: 'Approve the next wave', params },
        description:
          'Where the plan asks for somebody’s word between two waves. The checks come after it. Safe to repeat, and safe to come late, when the body names the wave that waits; without that, a call that is repeated or comes late approves whichever waits by then.',
        // null: there is none.
        body: approvalInputSchema.nullish(),
        response: { 202: planRunSchema, ...failures('PLAN_RUN_NOT_FOUND', 'RUN_STATE') },
      },
    },
    async (request, reply) => {
      const run = await planRuns.approve(request.params.id, projectOf(request), request.body?.wave);
      return reply.code(202).header('location', `/v1/plan-runs/${run.id}`).send(run);
    },
  );
  api.post(
    '/v1/plan-runs/:id/fail-back',
    {
      schema: {
        ...{ operationId: 'failBackPlanRun', tags, summary: 'Take a run back', params },
        description:
          'A new run, by a plan that is made from this one: everything that it moved goes back to where it was, networks and disks mapped backwards, in the same order. What the body names stays where it is. Disks that the run’s moves have left behind are copied over. Refused while it is not clear where one of its VMs runs, unless that is excepted.',
        // null: there is none.
        body: failBackInputSchema.nullish(),
        response: {
          202: planRunSchema,
          ...failures('PLAN_RUN_NOT_FOUND', 'RUN_STATE', 'INVALID_PLAN', 'PLAN_BUSY'),
        },
      },
    },
    async (request, reply) => {
      const run = await planRuns.failBack(request.params.id, projectOf(request), request.body ?? undefined);
      return reply.code(202).header('location', `/v1/plan-runs/${run.id}`).send(run);
    },
  );
};
