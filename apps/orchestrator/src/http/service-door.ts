/**
 * Answers in the place of the API where there is none: while Redis is waited for, and in a process that only works or
 * schedules. It tells whether the process lives and whether it is ready, shows its metrics to whoever may see them, by the
 * same rules as the API does, and sends everybody else away. It owns its server, and gives the address back when it is
 * disposed of.
 */
import rateLimit from '@fastify/rate-limit';
import type { FastifyInstance } from 'fastify';
import type { AuditLog } from '../access/audit.ts';
import { LmasError } from '../errors.ts';
import { type Access, guardRoutes } from './access.ts';
import { type AppSettings, createApp } from './app.ts';
import { auditCalls } from './audit.ts';
import { followCalls } from './calls-under-way.ts';
import { createLimits, type LimitSettings } from './limits.ts';
import { metricsRoute } from './routes/metrics.ts';
import { probeRoutes } from './routes/service.ts';
import type { Services } from './services.ts';

/** Data, for whoever asked, and not for a cache on the way. */
const HEADERS = { 'x-content-type-options': 'nosniff', 'cache-control': 'no-store' };

export interface ServiceDoorOptions extends AppSettings {
  readonly host: string;
  readonly port: number;
  readonly readiness: Services['readiness'];
  /** Why there is no API here, in words, at this moment. */
  readonly refusal: () => string;
  /** Aborts when the process begins to end. */
  readonly stopping: AbortSignal;
  /** Not while Redis is waited for: nobody can be told from a stranger then. */
  readonly guarded?: Omit<Access, 'limits'> &
    Pick<Services, 'metrics'> & { readonly audit: AuditLog; readonly limits: LimitSettings };
}

export interface ServiceDoor extends AsyncDisposable {
  readonly url: string;
}

/** @throws what `listen` throws: EADDRINUSE … */
export async function openServiceDoor(options: ServiceDoorOptions): Promise<ServiceDoor> {
  const { host, port, refusal, guarded, stopping } = options;
  const app = createApp(options, { logsCalls: false }); // nearly all are probes
  const calls = followCalls(app.server, stopping);
  app.addHook('onRequest', async ({ routeOptions }, reply) => {
    reply.headers(HEADERS);
    if (routeOptions.url === undefined) throw new LmasError('UNAVAILABLE', refusal());
  });
  await app.register(rateLimit, { global: false });
  await app.register(probeRoutes, options);
  if (guarded !== undefined) await app.register((api) => showMetrics(api as unknown as FastifyInstance, guarded));
  const url = await app.listen({ host, port });
  return {
    url,
    async [Symbol.asyncDispose]() {
      if (stopping.aborted) await calls.answered();
      calls.hangUp();
      await app.close();
    },
  };
}

async function showMetrics(api: FastifyInstance, guarded: NonNullable<ServiceDoorOptions['guarded']>): Promise<void> {
  guardRoutes(api, { ...guarded, limits: createLimits(api, guarded.limits) });
  auditCalls(api, guarded);
  await api.register(metricsRoute, guarded);
}
