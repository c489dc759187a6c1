/**
 * Migrations: submit, look at, cancel.
 */

import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { migrationIdSchema, migrationInputSchema, migrationSchema } from '../../schemas/migration.ts';
import { migrationListQuerySchema, migrationListSchema } from '../../schemas/migration-list.ts';
import { callerOf } from '../access.ts';
import { failure } from '../answers.ts';
import type { Services } from '../services.ts';

const params = z.object({ id: migrationIdSchema });
const submitHeaders = z.object({
  'idempotency-key': z
    .string()
    .min(1)
    .max(255)
    .optional()
    .describe('The same key with the same body is one migration, however often it is sent.'),
});

export const migrationRoutes: FastifyPluginAsyncZod<Services> = async (api, { seenBy }) => {
  const migrationsOf = (request: object) => seenBy(callerOf(request)).migrations;
  api.post(
    '/v1/migrations',
    {
      schema: {
        operationId: 'createMigration',
        tags: ['migrations'],
        headers: submitHeaders,
        body: migrationInputSchema,
        response: { 202: migrationSchema, default: failure },
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
        querystring: migrationListQuerySchema,
        response: { 200: migrationListSchema, default: failure },
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
        params,
        response: { 200: migrationSchema, default: failure },
      },
    },
    async (request) => await migrationsOf(request).get(request.params.id),
  );
  api.post(
    '/v1/migrations/:id/cancel',
    {
      schema: {
        operationId: 'cancelMigration',
        tags: ['migrations'],
        description: 'Asks for a cancel; 409 with the reason when it can no longer be honoured. Safe to repeat.',
        params,
        response: { 202: migrationSchema, default: failure },
      },
    },
    async (request, reply) => reply.code(202).send(await migrationsOf(request).cancel(request.params.id)),
  );
};
