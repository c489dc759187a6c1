/**
 * Migrations: submit, look at, change, cancel, try again.
 */

import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import {
  doneByHandInputSchema,
  giveUpInputSchema,
  migrationChangesSchema,
  migrationIdSchema,
  migrationInputSchema,
  migrationSchema,
} from '../../schemas/migration.ts';
import { migrationListQuerySchema, migrationListSchema } from '../../schemas/migration-list.ts';
import { migrationLogSchema } from '../../schemas/migration-log.ts';
import { callerOf } from '../access.ts';
import { failures } from '../failures.ts';
import type { Services } from '../services.ts';

const params = z.object({ id: migrationIdSchema });
const submitHeaders = z.object({
  'idempotency-key': z
    .string()
    .min(1)
    .max(255)
    .optional()
    .describe('The same key with the same body is one migration, however often it is sent within a day.'),
});

export const migrationRoutes: FastifyPluginAsyncZod<Services> = async (api, { seenBy }) => {
  const migrationsOf = (request: object) => seenBy(callerOf(request)).migrations;
  api.post(
    '/v1/migrations',
    {
      schema: {
        operationId: 'createMigration',
        tags: ['migrations'],
        summary: 'Submit a migration',
        description:
          'Stored and queued; the answer is 202 with its address. Follow it by its events, by webhooks, or by looking.',
        headers: submitHeaders,
        body: migrationInputSchema,
        response: {
          202: migrationSchema,
          ...failures(
            'SAME_ENDPOINT',
            'ENDPOINT_CORDONED',
            'UNKNOWN_REFERENCE',
            'DIFFERENT_PLUGINS',
            'INVALID_OPTIONS',
            'NO_GATEWAY',
            'NO_LISTENER',
            'PRIORITY_TOO_HIGH',
            'VM_ALREADY_MIGRATING',
            'PROJECT_QUEUE_FULL',
            'IDEMPOTENCY_KEY_REUSED',
          ),
        },
      },
    },
    async (request, reply) => {
      const idempotencyKey = request.headers['idempotency-key'];
      const migration = await migrationsOf(request).create(request.body, { idempotencyKey });
      return reply.code(202).header('location', `/v1/migrations/${migration.id}`).send(migration);
    },
  );
  api.get(
    '/v1/migrations',
    {
      schema: {
        operationId: 'listMigrations',
        tags: ['migrations'],
        summary: 'List migrations',
        description: 'Newest first. All filters that are given have to hold; pages go on from `nextCursor`.',
        querystring: migrationListQuerySchema,
        response: { 200: migrationListSchema, ...failures('INVALID_CURSOR') },
      },
    },
    async (request) => await migrationsOf(request).list(request.query),
  );
  api.get(
    '/v1/migrations/:id',
    {
      schema: {
        operationId: 'getMigration',
        tags: ['migrations'],
        summary: 'Get a migration',
        description: 'The whole record: phase, where the VM is, progress, findings, error, report.',
        params,
        response: { 200: migrationSchema, ...failures('MIGRATION_NOT_FOUND') },
      },
    },
    async (request) => await migrationsOf(request).get(request.params.id),
  );
  api.get(
    '/v1/migrations/:id/log',
    {
      schema: {
        operationId: 'getMigrationLog',
        tags: ['migrations'],
        summary: 'Get the log of a migration',
        description:
          'What its runs logged, the oldest first; the newest 300 lines stay with the record. It is written a moment after it happens.',
        params,
        response: { 200: migrationLogSchema, ...failures('MIGRATION_NOT_FOUND') },
      },
    },
    async (request) => ({ items: await migrationsOf(request).log(request.params.id) }),
  );
  api.post(
    '/v1/migrations/:id/cancel',
    {
      schema: {
        operationId: 'cancelMigration',
        tags: ['migrations'],
        summary: 'Cancel a migration',
        description: 'Asks for a cancel; 409 with the reason when it can no longer be honoured. Safe to repeat.',
        params,
        response: {
          202: migrationSchema,
          ...failures('MIGRATION_NOT_FOUND', 'ALREADY_ENDED', 'PAST_POINT_OF_NO_RETURN'),
        },
      },
    },
    async (request, reply) => reply.code(202).send(await migrationsOf(request).cancel(request.params.id)),
  );
  api.patch(
    '/v1/migrations/:id',
    {
      schema: {
        operationId: 'updateMigration',
        tags: ['migrations'],
        summary: 'Change a migration that waits or runs',
        description:
          'Bandwidth, convergence and the longest pause; what is not named stays. One that waits begins with it; one that runs gets it within a second or so, as far as its hypervisor lets it: its log says what stayed. No convergence implies post-copy.',
        params,
        body: migrationChangesSchema,
        response: {
          200: migrationSchema,
          ...failures('MIGRATION_NOT_FOUND', 'ALREADY_ENDED', 'PAST_POINT_OF_NO_RETURN'),
        },
      },
    },
    async (request) => await migrationsOf(request).change(request.params.id, request.body),
  );
  api.post(
    '/v1/migrations/:id/retry',
    {
      schema: {
        operationId: 'retryMigration',
        tags: ['migrations'],
        summary: 'Try a failed or cancelled migration again',
        description:
          'A new migration with the same request, which names this one in `retryOf`. The old record stays. What was asked for since (`changes`) is not taken along. A priority that its project may not ask for any more is lowered to the highest one.',
        params,
        headers: submitHeaders,
        response: {
          202: migrationSchema,
          ...failures(
            'MIGRATION_NOT_FOUND',
            'NOTHING_TO_RETRY',
            'UNKNOWN_REFERENCE',
            'INVALID_OPTIONS',
            'NO_GATEWAY',
            'NO_LISTENER',
            'VM_ALREADY_MIGRATING',
            'PROJECT_QUEUE_FULL',
            'IDEMPOTENCY_KEY_REUSED',
          ),
        },
      },
    },
    async (request, reply) => {
      const idempotencyKey = request.headers['idempotency-key'];
      const migration = await migrationsOf(request).retry(request.params.id, { idempotencyKey });
      return reply.code(202).header('location', `/v1/migrations/${migration.id}`).send(migration);
    },
  );
  api.post(
    '/v1/migrations/:id/give-up-teardown',
    {
      schema: {
        operationId: 'giveUpTeardown',
        tags: ['migrations'],
        summary: 'Give up what can never be taken down',
        description:
          'For a migration that has ended and whose `teardown` is `incomplete` because a machine is gone for good, or because nobody will find out where its VM is. Everything is tried once more; what nobody answers for then is tried no more, and once nothing else is left the VM, the sites and the endpoints are free again. Who answers and refuses is still asked. The record says what it was, who said so and why. Safe to repeat.',
        params,
        body: giveUpInputSchema,
        response: { 202: migrationSchema, ...failures('MIGRATION_NOT_FOUND', 'NOTHING_TO_GIVE_UP') },
      },
    },
    async (request, reply) => {
      const said = { by: callerOf(request).name, reason: request.body.reason };
      return reply.code(202).send(await migrationsOf(request).giveUpTeardown(request.params.id, said));
    },
  );
  api.post(
    '/v1/migrations/:id/done-by-hand',
    {
      schema: {
        operationId: 'markDoneByHand',
        tags: ['migrations'],
        summary: 'Say that what a person had to do is done',
        description:
          'For a migration that has ended and whose `byHand` asks for something. The record says who said so and what was done, and lists with `needs=person` show it no more, unless something of it is still to be taken down. From then on the VM is only looked for: nothing is resumed, and its source is not tidied, once both ends answer again. Safe to repeat; what was said first stays.',
        params,
        body: doneByHandInputSchema,
        response: { 200: migrationSchema, ...failures('MIGRATION_NOT_FOUND', 'NOTHING_BY_HAND') },
      },
    },
    async (request) => {
      const said = { by: callerOf(request).name, note: request.body.note };
      return await migrationsOf(request).markDoneByHand(request.params.id, said);
    },
  );
};
