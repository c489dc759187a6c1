/**
 * Tells somebody of every call that was answered: which operation, with which status, how long it took.
 */
import type { FastifyInstance } from 'fastify';
import type { Call } from '../observability/metrics.ts';
import { operationOf } from './access.ts';
import { ROUTE_ACCESS } from './route-access.ts';

export type CallObserver = (call: Call) => void;

/** What the OpenAPI document does not have. */
const NONE = 'none';
/** Every one that calls are told with. */
export const OPERATIONS: readonly string[] = [...Object.keys(ROUTE_ACCESS), NONE];

export function observeCalls(app: { addHook: FastifyInstance['addHook'] }, onCall: CallObserver): void {
  app.addHook('onResponse', async (request, reply) => {
    const isStream = reply.getHeader('content-type') === 'text/event-stream';
    onCall({
      operation: operationOf(request) ?? NONE,
      status: reply.statusCode,
      durationMs: isStream ? null : reply.elapsedTime,
    });
  });
}
