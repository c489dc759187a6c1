/**
 * The doctor's part of the API: what the orchestrator says of itself, and one look at a gateway machine.
 */
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { diagnosisSchema, gatewayTestSchema, processLogSchema, settingsSchema } from '../../schemas/diagnosis.ts';
import { VERSION } from '../../version.ts';
import { callerOf } from '../access.ts';
import { callSignal, FAR_CALL_MS, slugParams } from '../answers.ts';
import { failures } from '../failures.ts';
import type { Services } from '../services.ts';

export const diagnosisRoutes: FastifyPluginAsyncZod<Services> = async (api, services) => {
  api.get(
    '/v1/diagnosis',
    {
      schema: {
        operationId: 'getDiagnosis',
        tags: ['service'],
        summary: 'Examine the installation',
        description:
          'Redis, clock, certificate, queue, teardowns, links, webhooks, keys: each with what was seen and what to do. Asks no far end; see the tests of endpoints, gateway machines and links for those.',
        response: { 200: diagnosisSchema, ...failures() },
      },
    },
    async (request) => {
      const checks = await services.diagnosis.run(callerOf(request));
      return { at: new Date().toISOString(), version: VERSION, checks };
    },
  );
  api.get(
    '/v1/settings',
    {
      schema: {
        operationId: 'getSettings',
        tags: ['service'],
        summary: 'Show the settings',
        description: 'Of the process that answers, by the names of the environment variables; secrets are not shown.',
        response: { 200: settingsSchema, ...failures() },
      },
    },
    async () => ({ items: services.settings() }),
  );
  api.get(
    '/v1/process-log',
    {
      schema: {
        operationId: 'getProcessLog',
        tags: ['service'],
        summary: 'Show the newest lines of the log',
        description:
          'Of the process that answers, since its start: the newest 500 warnings and errors, and the newest 500 other lines from `info` on; the oldest first. Redacted as all lines are.',
        response: { 200: processLogSchema, ...failures() },
      },
    },
    async () => ({ items: services.processLog() }),
  );
  api.post(
    '/v1/sites/:id/gateway-test',
    {
      schema: {
        operationId: 'testGateway',
        tags: ['sites'],
        summary: 'Test the gateway machine of a site',
        description:
          'Logs in over SSH and looks at system, space, tools and the gateway program; changes nothing there. The answer is 200 also when that fails.',
        params: slugParams,
        response: { 200: gatewayTestSchema, ...failures('SITE_NOT_FOUND') },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      await services.seenBy(callerOf(request)).sites.get(id);
      return await services.testGatewayMachine(id, { signal: callSignal(reply, FAR_CALL_MS) });
    },
  );
};
