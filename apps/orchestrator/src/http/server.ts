/**
 * The HTTP server: validation, the OpenAPI document, access, and the routes. It owns nothing but the listening socket;
 * everything it answers with comes from the services it is given.
 */
import helmet from '@fastify/helmet';
import rateLimit from '@fastify/rate-limit';
import type { FastifyInstance } from 'fastify';
import { isTracing } from '../tracing/spans.ts';
import { guardRoutes } from './access.ts';
import { type AppSettings, createApp } from './app.ts';
import { auditCalls } from './audit.ts';
import { type CallObserver, observeCalls } from './call-observer.ts';
import { traceCalls } from './call-spans.ts';
import type { WorkOfCalls } from './calls-under-way.ts';
import { type DashboardSettings, installDashboard } from './dashboard.ts';
import { installDocument } from './document.ts';
import { createLimits, type LimitSettings } from './limits.ts';
import { apiKeyRoutes } from './routes/api-keys.ts';
import { auditRoutes } from './routes/audit.ts';
import { balancingRoutes } from './routes/balancing.ts';
import { checkRoutes } from './routes/checks.ts';
import { credentialRoutes } from './routes/credentials.ts';
import { diagnosisRoutes } from './routes/diagnosis.ts';
import { endpointRoutes } from './routes/endpoints.ts';
import { eventRoutes } from './routes/events.ts';
import { gatewayRoutes } from './routes/gateways.ts';
import { hostKeyRoutes } from './routes/host-keys.ts';
import { linkRoutes } from './routes/links.ts';
import { masterKeyRoutes } from './routes/master-key.ts';
import { metricsRoute } from './routes/metrics.ts';
import { migrationRoutes } from './routes/migrations.ts';
import { planRunRoutes } from './routes/plan-runs.ts';
import { planRoutes } from './routes/plans.ts';
import { projectRoutes } from './routes/projects.ts';
import { queueRoutes } from './routes/queue.ts';
import { scheduleRoutes } from './routes/schedules.ts';
import { documentRoute, probeRoutes, versionRoute } from './routes/service.ts';
import { siteRoutes } from './routes/sites.ts';
import { timetableRoutes } from './routes/timetables.ts';
import { webhookRoutes } from './routes/webhooks.ts';
import type { Services } from './services.ts';
import { refuseSurplus } from './surplus.ts';
import { refuseIllFormed } from './well-formed.ts';

export type Server = ReturnType<typeof buildServer>;

export interface ServerSettings extends AppSettings {
  readonly limits?: LimitSettings;
  readonly onCall?: CallObserver;
  /** Follows what is done for the calls. */
  readonly work?: WorkOfCalls;
  /** Without it there is no web page. */
  readonly dashboard?: DashboardSettings;
}

/** As long as the process lives, by whatever watches over it; the service door (service-door.ts) answers the same. */
const ANSWERED_TO_THE_END: ReadonlySet<string | undefined> = new Set(['/healthz', '/readyz', '/metrics']);

const NO_LIMITS: LimitSettings = { requestsPerMinute: null, failedLoginsPerMinute: null };

export function buildServer(
  services: Services,
  { limits = NO_LIMITS, onCall, work, dashboard, ...settings }: ServerSettings,
) {
  const app = createApp(settings);
  work?.followRoutes(app as unknown as FastifyInstance);
  takeEmptyBodies(app as unknown as FastifyInstance);
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id);
  });
  if (isTracing()) traceCalls(app as unknown as FastifyInstance);
  if (onCall !== undefined) observeCalls(app as unknown as FastifyInstance, onCall);
  // What is served here is data. The pages beside it (document.ts, dashboard.ts) set a policy of their own, in a hook.
  app.register(helmet, {
    contentSecurityPolicy: {
      useDefaults: false,
      directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
    },
    strictTransportSecurity: settings.tls !== undefined,
  });
  app.register(rateLimit, { global: false });
  app.addHook('onRequest', async ({ routeOptions: { url } }) => {
    if (!ANSWERED_TO_THE_END.has(url)) services.stopping.throwIfAborted();
  });
  installDocument(app as unknown as FastifyInstance);
  app.register(async (api) => {
    guardRoutes(api, { ...services, limits: createLimits(api, limits) });
    auditCalls(api, services);
    refuseIllFormed(api);
    refuseSurplus(api);
    await api.register(auditRoutes, services);
    await api.register(masterKeyRoutes, services);
    await api.register(versionRoute);
    await api.register(metricsRoute, services);
    await api.register(diagnosisRoutes, services);
    await api.register(apiKeyRoutes, services);
    await api.register(projectRoutes, services);
    await api.register(credentialRoutes, services);
    await api.register(siteRoutes, services);
    await api.register(endpointRoutes, services);
    await api.register(hostKeyRoutes, services);
    await api.register(migrationRoutes, services);
    await api.register(eventRoutes, services);
    await api.register(checkRoutes, services);
    await api.register(linkRoutes, services);
    await api.register(timetableRoutes, services);
    await api.register(queueRoutes, services);
    await api.register(gatewayRoutes, services);
    await api.register(scheduleRoutes, services);
    await api.register(planRoutes, services);
    await api.register(planRunRoutes, services);
    await api.register(balancingRoutes, services);
    await api.register(webhookRoutes, services);
  });
  app.register(probeRoutes, services);
  app.register(documentRoute);
  if (dashboard !== undefined) installDashboard(app as unknown as FastifyInstance, dashboard);
  return app;
}

/** Many clients say that they send JSON also where they send nothing. What needs a body says so by its schema. */
function takeEmptyBodies(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  app.removeContentTypeParser('text/plain'); // Fastify's own; there is JSON, and nothing else
  app.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '') done(null, undefined);
    else parse(request, body, done);
  });
}
