/**
 * Answers in the place of the API where there is none: while Redis is waited for, and in a process that only works or
 * schedules. It tells whether the process lives and whether it is ready, shows its metrics to whoever may see them, and
 * sends everybody else away. It owns its server, and gives the address back when it is disposed of.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Authenticator } from '../access/authenticator.ts';
import { LmasError } from '../errors.ts';
import type { Metrics } from '../observability/metrics.ts';
import { authorise, loginOf, nothingSent } from './access.ts';
import { followCalls } from './calls-under-way.ts';
import { PROBLEM_MEDIA_TYPE, toProblem } from './problems.ts';

const RETRY_AFTER_S = '5';
/** Data, for whoever asked, and not for a cache on the way. */
const HEADERS = { 'x-content-type-options': 'nosniff', 'cache-control': 'no-store' };

export interface ReadinessCheck {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

export interface ServiceDoorOptions {
  readonly host: string;
  readonly port: number;
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  readonly readiness: () => Promise<readonly ReadinessCheck[]>;
  /** Why there is no API here, in words, at this moment. */
  readonly refusal: () => string;
  /** Aborts when the process begins to end. */
  readonly stopping: AbortSignal;
  /** Not while Redis is waited for: nobody can be told from a stranger then. */
  readonly metrics?: { readonly authenticator: Authenticator; readonly exposition: Metrics['exposition'] };
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

export interface ServiceDoor extends AsyncDisposable {
  readonly url: string;
}

/** @throws what `listen` throws: EADDRINUSE … */
export async function openServiceDoor(options: ServiceDoorOptions): Promise<ServiceDoor> {
  const { host, port, tls, readiness, refusal, metrics, stopping } = options;
  const answer = async ({ url, headers }: IncomingMessage): Promise<Answer> => {
    const type = 'application/json';
    if (url === '/healthz') return { status: 200, type, body: JSON.stringify({ status: 'ok' }) };
    if (url === '/readyz') {
      const checks = await readiness();
      const ready = checks.every(({ ok }) => ok);
      return { status: ready ? 200 : 503, type, body: JSON.stringify({ ready, checks }) };
    }
    if (url !== '/metrics' || metrics === undefined) throw new LmasError('UNAVAILABLE', refusal());
    const login = loginOf({ headers });
    if (login === undefined) throw nothingSent();
    authorise(await metrics.authenticator.authenticate(login), 'getMetrics');
    const { contentType, text } = await metrics.exposition();
    return { status: 200, type: contentType, body: text };
  };
  const listener: RequestListener = (request, response) => {
    void answer(request)
      .catch(refuse)
      .then(({ status, type, body }) => {
        const headers = {
          ...HEADERS,
          'content-type': type,
          ...(status === 503 ? { 'retry-after': RETRY_AFTER_S } : {}),
        };
        response.writeHead(status, headers).end(body);
      });
  };
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  const calls = followCalls(server, stopping);
  server.listen(port, host);
  await once(server, 'listening');
  const { address, family, port: actual } = server.address() as AddressInfo;
  const name = family === 'IPv6' ? `[${address}]` : address;
  return {
    url: `${tls === undefined ? 'http' : 'https'}://${name}:${actual}`,
    async [Symbol.asyncDispose]() {
      if (stopping.aborted) await calls.answered();
      calls.hangUp();
      server.close();
      await once(server, 'close');
    },
  };
}

function refuse(error: unknown): Answer {
  const problem = toProblem(error);
  return { status: problem.status, type: PROBLEM_MEDIA_TYPE, body: JSON.stringify(problem) };
}
