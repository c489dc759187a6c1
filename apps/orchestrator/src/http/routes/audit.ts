/**
 * The audit log, for admins: those of a project see what callers of that project did.
 */
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { LmasError } from '../../errors.ts';
import { auditListSchema, auditQuerySchema } from '../../schemas/audit.ts';
import { callerOf } from '../access.ts';
import { failures } from '../failures.ts';
import type { Services } from '../services.ts';

export const auditRoutes: FastifyPluginAsyncZod<Services> = async (api, { audit }) => {
  api.get(
    '/v1/audit',
    {
      schema: {
        operationId: 'listAuditEntries',
        tags: ['access'],
        summary: 'Read the audit log',
        description: 'Every change and every refused attempt, newest first.',
        querystring: auditQuerySchema,
        response: { 200: auditListSchema, ...failures('INVALID_CURSOR') },
      },
    },
    async (request) => {
      const { project } = callerOf(request);
      const { strangers, ...query } = request.query;
      if (!strangers) return await audit.list(query, project);
      if (project !== null) throw new LmasError('FORBIDDEN', 'Strangers belong to no project.');
      return await audit.listStrangers(query);
    },
  );
};
