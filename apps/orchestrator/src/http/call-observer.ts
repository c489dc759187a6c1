/**
 * Tells somebody of every call that was answered: which operation, with which status, how long it took.
 */
import type { FastifyInstance } from 'fastify';
import type { Call } from '../observability/metrics.ts';
import { operationOf } from './access.ts';

export type CallObserver = (call: Call) => void;

export function observeCalls(app: { addHook: FastifyInstance['addHook'] }, onCall: CallObserver): void {
  app.addHook('onResponse', async (request, reply) => {
    const isStream = reply.getHeader('content-type') === 'text/event-stream';
    onCall({
      operation: operationOf(request) ?? 'none',
      status: reply.statusCode,
      durationMs: isStream ? null : reply.elapsedTime,
    });
  });
}
