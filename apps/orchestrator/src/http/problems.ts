/**
 * Every error answer is problem+json (RFC 9457), whatever went wrong and wherever: this is the one place that makes them.
 */
import { maxHeaderSize, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { ConnectionError, FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { describeError, LmasError, type OrchestratorErrorCode } from '../errors.ts';
import { isRedisAway, writeRefusal } from '../redis/away.ts';
import type { problemSchema } from '../schemas/problem.ts';

/** For people who write requests: what is not there was not "received as undefined". */
z.config({
  customError: ({ code, input }) => (code === 'invalid_type' && input === undefined ? 'is required' : undefined),
});

type Problem = z.infer<typeof problemSchema>;

/** What to do about an outage of Redis. */
export const RETRY_LATER =
  'Try again in a moment. If it lasts: does the server run, and can the orchestrator reach it? GET /readyz says when it is back.';
const WENT_AWAY =
  'Redis went away in the middle of this call; if it was to change something, that may have been done or not.';
const TAKES_NO_WRITES =
  'Redis takes no writes now; if this call was to change something, that was not done, or only in part. GET /readyz says why.';
const LOOK_FIRST =
  'Try again in a moment, but look first what was done; with the same Idempotency-Key it is safe anyway.';
/** In the place of Fastify's own words, which hold all of it. */
const TOO_LONG = 'A part of this path is longer than any name or id there is.';
const RETRY_AFTER_S = 5;

export const PROBLEM_MEDIA_TYPE = 'application/problem+json';
/** Stable: a problem is known by it as well as by its code. */
export const problemType = (code: string): string => `urn:lmas:problem:${code.toLowerCase().replaceAll('_', '-')}`;

/** What Fastify refuses by itself, before our code is asked. */
const FRAMEWORK_CODES: Readonly<Record<string, OrchestratorErrorCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'BODY_TOO_LARGE',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'UNSUPPORTED_MEDIA_TYPE',
  FST_STATIC_FORBIDDEN_PATH: 'NOT_FOUND',
};

/** What the server of files refuses. A path that it does not take leads nowhere; why not is nobody's business. */
const FILE_CODES: Readonly<Record<number, OrchestratorErrorCode>> = {
  412: 'PRECONDITION_FAILED',
  416: 'INVALID_REQUEST',
};

export function toProblem(error: unknown): Problem {
  const { code, meaning, message, remedy, httpStatus } = describeError(translate(error));
  const issues = error instanceof LmasError ? error.issues : validationIssues(error);
  const detail = [message === meaning ? null : message, remedy].filter((text) => text !== null).join(' ');
  return {
    type: problemType(code),
    title: meaning,
    status: httpStatus,
    code,
    ...(detail === '' ? {} : { detail }),
    ...(issues === undefined ? {} : { errors: issues.map((issue) => ({ ...issue })) }),
  };
}

/** Framework errors in our own words, and those of the connection to Redis; ours and the plugins' as they are. */
function translate(error: unknown): unknown {
  if (isRedisAway(error)) {
    const message = writeRefusal(error.message) === undefined ? WENT_AWAY : TAKES_NO_WRITES;
    return new LmasError('UNAVAILABLE', message, { cause: error, remedy: LOOK_FIRST });
  }
  if (validationIssues(error) !== undefined) return new LmasError('INVALID_REQUEST', undefined, { cause: error });
  if (isFileRefusal(error))
    return new LmasError(FILE_CODES[error.statusCode] ?? 'NOT_FOUND', undefined, { cause: error });
  if (!isFrameworkError(error)) return error;
  const code = FRAMEWORK_CODES[error.code];
  if (code !== undefined) return new LmasError(code, undefined, { cause: error });
  if (error.code === 'FST_ERR_MAX_PARAM_LENGTH') return new LmasError('INVALID_REQUEST', TOO_LONG, { cause: error });
  const isClientFault = (error.statusCode ?? 500) < 500;
  return isClientFault ? new LmasError('INVALID_REQUEST', error.message, { cause: error }) : error;
}

const isFrameworkError = (error: unknown): error is FastifyError =>
  error instanceof Error && 'code' in error && String(error.code).startsWith('FST_');

/** An error of http-errors, which @fastify/send makes: `expose` is its mark. */
const isFileRefusal = (error: unknown): error is Error & { readonly statusCode: number } =>
  error instanceof Error &&
  'expose' in error &&
  'statusCode' in error &&
  typeof error.statusCode === 'number' &&
  error.statusCode >= 400 &&
  error.statusCode < 500;

function validationIssues(error: unknown): { path: string; message: string }[] | undefined {
  if (!hasZodFastifySchemaValidationErrors(error)) return undefined;
  return error.validation.map(({ instancePath, message }) => ({
    path: instancePath.split('/').filter(Boolean).join('.'),
    message: message ?? 'invalid',
  }));
}

export function sendProblem(reply: FastifyReply, error: unknown): FastifyReply {
  const problem = toProblem(error);
  if (problem.code === 'UNAVAILABLE') reply.header('retry-after', RETRY_AFTER_S);
  return reply.code(problem.status).type(PROBLEM_MEDIA_TYPE).serializer(JSON.stringify).send(problem);
}

const failedOnce = new WeakSet<object>();

/**
 * For every scope: whatever failed in it, also in a hook on the way out, when there was an answer already. An answer that fails once
 * more goes onto the wire past all hooks: else Fastify's own fallback would send what it is that failed, as it is.
 */
function answerFailure(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const { code } = toProblem(error);
  if (code === 'INTERNAL') request.log.error({ err: error }, 'request failed');
  else request.log.debug({ code }, 'request refused');
  const send = failedOnce.has(request) ? sendPastHooks : sendProblem;
  failedOnce.add(request); // before it is sent: that may fail at once
  send(reply, error);
}

function sendPastHooks(reply: FastifyReply, error: unknown): void {
  const { raw } = reply.hijack();
  if (raw.headersSent) {
    raw.destroy();
    return;
  }
  const problem = toProblem(error);
  const body = JSON.stringify(problem);
  for (const [name, value] of Object.entries(reply.getHeaders())) if (value !== undefined) raw.setHeader(name, value);
  const own = { 'content-type': PROBLEM_MEDIA_TYPE, 'content-length': Buffer.byteLength(body) };
  raw.writeHead(problem.status, own).end(body);
}

/** A request that Fastify refuses before it has a route: an address that cannot be decoded, a path too long. */
export function answerFrameworkError(error: FastifyError, _request: unknown, reply: unknown): void {
  sendProblem(reply as FastifyReply, error);
}

/** Bytes that Node's HTTP parser refuses: there is no request to answer yet, so the answer goes onto the bare socket. */
export function answerBrokenRequest(error: ConnectionError, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const isTooLong = error.code === 'HPE_HEADER_OVERFLOW';
  const why = isTooLong
    ? `The headers are too long: all together at most ${maxHeaderSize / 1024} KiB, key or token included.`
    : 'This is not HTTP that the server understands.';
  const problem = { ...toProblem(new LmasError('INVALID_REQUEST', why)) };
  if (isTooLong) problem.status = 431;
  const body = JSON.stringify(problem);
  const head = [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`,
    `Content-Type: ${PROBLEM_MEDIA_TYPE}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}

/**
 * Makes every error of this server a problem, those of unknown addresses and methods included. Install it before the
 * routes are registered.
 */
export function installProblems(app: FastifyInstance): void {
  const routes: { readonly pattern: RegExp; readonly method: string }[] = [];
  app.addHook('onRoute', ({ url, method }) => {
    const pattern = new RegExp(`^${url.replaceAll(/:[A-Za-z]+/g, '[^/]+')}/?$`);
    for (const name of [method].flat()) routes.push({ pattern, method: name });
  });
  app.setErrorHandler(answerFailure);
  // Of a scope's own handler, the one of the scope around it is the next: with one alone, Fastify's fallback is.
  app.addHook('onRegister', (scope) => void scope.setErrorHandler(answerFailure));
  app.setNotFoundHandler((request: FastifyRequest, reply) => {
    const path = request.url.split('?')[0] ?? '/';
    const allowed = routes.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method);
    if (allowed.length === 0) return sendProblem(reply, new LmasError('NOT_FOUND'));
    return sendProblem(reply.header('allow', [...new Set(allowed)].join(', ')), new LmasError('METHOD_NOT_ALLOWED'));
  });
}
