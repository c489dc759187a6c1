/**
 * What the servers of a process have in common, the API and the service door: how a request is taken, and that every failure is a problem
 * in our words. Hooks and routes are added by whoever asked for it, who owns it.
 */
import { randomUUID } from 'node:crypto';
import Fastify, { type FastifyInstance, LogController } from 'fastify';
import { serializerCompiler, validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod';
import type { Logger } from '../log.ts';
import { answerBrokenRequest, answerFrameworkError, installProblems } from './problems.ts';
import type { TlsPair } from './tls.ts';

const BODY_LIMIT_BYTES = 256 * 1024;

export interface AppSettings {
  readonly log: Logger;
  readonly tls?: TlsPair | undefined;
  /** Addresses of proxies whose X-Forwarded-For is believed. */
  readonly trustedProxies?: readonly string[];
}

export function createApp({ log, tls, trustedProxies = [] }: AppSettings, { logsCalls = true } = {}) {
  const options = {
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: !logsCalls }),
    bodyLimit: BODY_LIMIT_BYTES,
    forceCloseConnections: true, // those that nobody calls on would hold the end up for ever
    exposeHeadRoutes: false,
    requestTimeout: 30_000,
    frameworkErrors: answerFrameworkError,
    clientErrorHandler: answerBrokenRequest,
    routerOptions: { maxParamLength: 256, ignoreTrailingSlash: false },
    genReqId: () => randomUUID(),
    trustProxy: trustedProxies.length === 0 ? false : [...trustedProxies],
  };
  // Which kind of server it is makes no difference to any route, so its type does not say.
  const app = Fastify(
    tls === undefined ? options : ({ ...options, https: tls } as typeof options),
  ).withTypeProvider<ZodTypeProvider>();
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  installProblems(app as unknown as FastifyInstance);
  return app;
}
