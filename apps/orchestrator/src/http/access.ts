/**
 * Every call below /v1 needs an API key. Checked before the body is read, so that a stranger costs nothing.
 */
import type { FastifyInstance } from 'fastify';
import type { ApiKeys } from '../access/api-keys.ts';
import { LmasError } from '../errors.ts';

const LONGEST_KEY = 512;

interface Access {
  readonly apiKeys: ApiKeys;
  isAvailable(): boolean;
}

interface Hookable {
  addHook: FastifyInstance['addHook'];
}

export function requireApiKey(api: Hookable, { apiKeys, isAvailable }: Access): void {
  api.addHook('onRequest', async (request, reply) => {
    // Without Redis nothing can be looked up: better said at once than waited for.
    if (!isAvailable()) throw new LmasError('UNAVAILABLE', 'Redis does not answer; try again in a moment.');
    const [scheme, key] = (request.headers.authorization ?? '').split(' ');
    const isGiven = scheme?.toLowerCase() === 'bearer' && key !== undefined && key !== '' && key.length <= LONGEST_KEY;
    if (isGiven && (await apiKeys.verify(key))) return;
    reply.header('www-authenticate', 'Bearer realm="lmas"');
    throw new LmasError('UNAUTHENTICATED', undefined, { remedy: 'Send `Authorization: Bearer <API key>`.' });
  });
}
