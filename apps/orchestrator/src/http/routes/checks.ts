/**
 * Looking before leaping: the checks of a migration without the migration, and a measurement of the link.
 */
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { linkTestInputSchema, linkTestSchema } from '../../schemas/link.ts';
import { migrationInputSchema } from '../../schemas/migration.ts';
import { migrationCheckSchema } from '../../schemas/migration-check.ts';
import { callerOf } from '../access.ts';
import { callSignal } from '../answers.ts';
import { failures } from '../failures.ts';
import type { Services } from '../services.ts';

const LINK_TEST_MS = 180_000;

export const checkRoutes: FastifyPluginAsyncZod<Services> = async (api, { seenBy, linkTester }) => {
  api.post(
    '/v1/migration-checks',
    {
      schema: {
        operationId: 'checkMigration',
        tags: ['migrations'],
        summary: 'Check a migration without doing it',
        description: 'The same checks as the real run, every finding at once, and a prediction. Nothing is touched.',
        body: migrationInputSchema,
        response: {
          200: migrationCheckSchema,
          ...failures(
            'SAME_ENDPOINT',
            'UNKNOWN_REFERENCE',
            'DIFFERENT_PLUGINS',
            'INVALID_OPTIONS',
            'NO_GATEWAY',
            'NO_LISTENER',
            'FAR_END_TIMEOUT',
          ),
        },
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
        summary: 'Measure the link between two sites',
        description: 'Puts a gateway at each of the two sites, joins them, measures, and takes both away again.',
        body: linkTestInputSchema,
        response: {
          200: linkTestSchema,
          ...failures(
            'SITE_NOT_FOUND',
            'NO_GATEWAY',
            'NO_LISTENER',
            'TUNNEL_NOT_ESTABLISHED',
            'GATEWAY_UNREACHABLE',
            'NO_FREE_PORT',
            'FAR_END_TIMEOUT',
          ),
        },
      },
    },
    async (request, reply) => await linkTester.test(request.body, { signal: callSignal(reply, LINK_TEST_MS) }),
  );
};
