/**
 * Looking before leaping: the checks of a migration without the migration, and a measurement of the link.
 */
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { linkTestInputSchema, linkTestSchema } from '../../schemas/link.ts';
import { migrationInputSchema } from '../../schemas/migration.ts';
import { migrationCheckSchema } from '../../schemas/migration-check.ts';
import { callerOf } from '../access.ts';
import { callSignal, failure } from '../answers.ts';
import type { Services } from '../services.ts';

const LINK_TEST_MS = 180_000;

export const checkRoutes: FastifyPluginAsyncZod<Services> = async (api, { seenBy, linkTester }) => {
  api.post(
    '/v1/migration-checks',
    {
      schema: {
        operationId: 'checkMigration',
        tags: ['migrations'],
        body: migrationInputSchema,
        response: { 200: migrationCheckSchema, default: failure },
      },
    },
    async (request, reply) => {
      const signal = callSignal(reply, request.body.timeouts.checkingMs);
      return await seenBy(callerOf(request)).checker.check(request.body, { signal });
    },
  );
  api.post(
    '/v1/link-tests',
    {
      schema: {
        operationId: 'testLink',
        tags: ['sites'],
        description: 'Puts a gateway at each of the two sites, joins them, measures, and takes both away again.',
        body: linkTestInputSchema,
        response: { 200: linkTestSchema, default: failure },
      },
    },
    async (request, reply) => await linkTester.test(request.body, { signal: callSignal(reply, LINK_TEST_MS) }),
  );
};
