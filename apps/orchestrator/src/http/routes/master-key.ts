/**
 * The master key that seals credentials and webhook secrets: which one, and its rotation.
 */
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { masterKeyRotationSchema, masterKeySchema } from '../../schemas/master-key.ts';
import { failures } from '../failures.ts';
import type { Services } from '../services.ts';

const tags = ['access'];

export const masterKeyRoutes: FastifyPluginAsyncZod<Services> = async (api, { rotation }) => {
  api.get(
    '/v1/master-key',
    {
      schema: {
        operationId: 'getMasterKey',
        tags,
        summary: 'Show which master key is in use',
        description: 'Its id, never the key itself, and how many secrets are sealed under which.',
        response: { 200: masterKeySchema, ...failures() },
      },
    },
    async () => await rotation.state(),
  );
  api.post(
    '/v1/master-key/rotate',
    {
      schema: {
        operationId: 'rotateMasterKey',
        tags,
        summary: 'Rotate the master key',
        description:
          'Seals every secret anew: under a new key, when the key is in a file; else under the key that the source names first now. Safe to repeat; what was broken off is finished at the next start. What does not open stays as it is and is named.',
        response: { 200: masterKeyRotationSchema, ...failures('IN_USE', 'MASTER_KEY_NOT_WRITTEN') },
      },
    },
    async () => await rotation.rotate(),
  );
};
