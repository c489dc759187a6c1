/**
 * One span for each call of the API, in the trace that its caller began, with the names of OpenTelemetry's conventions for
 * HTTP. Installed only where somebody wants spans. What only asks how the service is makes none.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { noteFailure, type OpenSpan, openSpan, SpanKind } from '../tracing/spans.ts';
import { operationOf } from './access.ts';
import { toProblem } from './problems.ts';

const UNTRACED: ReadonlySet<string | undefined> = new Set(['getHealth', 'getReadiness', 'getMetrics']);

interface Call extends OpenSpan {
  error?: unknown;
}

export function traceCalls(app: { addHook: FastifyInstance['addHook'] }): void {
  const calls = new WeakMap<FastifyRequest, Call>();
  app.addHook('onRequest', (request, reply, done) => {
    if (UNTRACED.has(operationOf(request))) return done();
    const call: Call = begin(request);
    calls.set(request, call);
    // Not `onResponse`: nobody hears that of a caller who hangs up, as readers of event streams do.
    reply.raw.once('close', () => end(call, reply));
    call.within(done);
  });
  // A body is read in the socket's context, not in ours: the handler is brought back into it.
  app.addHook('preHandler', (request, _, done) => {
    const call = calls.get(request);
    if (call === undefined) return done();
    call.within(done);
  });
  app.addHook('onError', (request, _, error, done) => {
    const call = calls.get(request);
    if (call !== undefined) call.error = error;
    done();
  });
}

function begin(request: FastifyRequest): OpenSpan {
  const { method, headers, routeOptions, ip } = request;
  const route = routeOptions.url;
  const attributes = {
    'http.request.method': method,
    'url.scheme': request.protocol,
    // Without the query: that is where a key lands that somebody put into the address by mistake.
    'url.path': request.url.split('?')[0] ?? '',
    'client.address': ip,
    'lmas.request.id': request.id,
    ...(route === undefined ? {} : { 'http.route': route, 'lmas.operation': operationOf(request) ?? 'none' }),
  };
  const { traceparent, tracestate } = headers;
  const name = route === undefined ? method : `${method} ${route}`;
  return openSpan(name, { kind: SpanKind.SERVER, attributes }, { traceparent, tracestate });
}

function end({ span, error }: Call, { raw, statusCode: status }: FastifyReply): void {
  if (raw.headersSent) span.setAttribute('http.response.status_code', status);
  if (!raw.writableFinished) span.setAttribute('lmas.hung_up', true);
  const problem = error === undefined ? undefined : toProblem(error);
  if (problem !== undefined) span.setAttribute('lmas.error.code', problem.code);
  // A caller's mistake is no error of the server, say the conventions.
  if (status >= 500) noteFailure(span, problem?.code ?? String(status), problem?.title ?? '');
  span.end();
}
