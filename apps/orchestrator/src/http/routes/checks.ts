/**
 * Looking before leaping: the checks of a migration without the migration.
 */
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { migrationInputSchema } from '../../schemas/migration.ts';
import { migrationCheckSchema } from '../../schemas/migration-check.ts';
import { callerOf } from '../access.ts';
import { CHECK_CALL_MS, callSignal } from '../answers.ts';
import { failures } from '../failures.ts';
import type { Services } from '../services.ts';

export const checkRoutes: FastifyPluginAsyncZod<Services> = async (api, { seenBy }) => {
  api.post(
    '/v1/migration-checks',
    {
      schema: {
        operationId: 'checkMigration',
        tags: ['migrations'],
        summary: 'Check a migration without doing it',
        description:
          'The same checks as the real run, every finding at once, and a prediction. Nothing is touched. Ends with 504 after `timeouts.checkingMs`, and after a minute in any case.',
        body: migrationInputSchema,
        response: {
          200: migrationCheckSchema,
          ...failures(
            'SAME_ENDPOINT',
            'ENDPOINT_CORDONED',
            'UNKNOWN_REFERENCE',
            'DIFFERENT_PLUGINS',
            'INVALID_OPTIONS',
            'NO_GATEWAY',
            'NO_LISTENER',
            'PRIORITY_TOO_HIGH',
            'FAR_END_TIMEOUT',
          ),
        },
      },
    },
    async (request, reply) => {
      const signal = callSignal(reply, Math.min(request.body.timeouts.checkingMs, CHECK_CALL_MS));
      const { migrations, checker } = seenBy(callerOf(request));
      await migrations.validate(request.body); // as it is asked for now: what a run of a plan checks was accepted before
      return await checker.check(request.body, { signal });
    },
  );
};
