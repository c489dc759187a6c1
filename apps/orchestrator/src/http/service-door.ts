/**
 * Answers in the place of the API where there is none: while Redis is waited for, and in a process that only works or
 * schedules. It tells whether the process lives and whether it is ready, and sends everybody else away. It owns its
 * server, and gives the address back when it is disposed of.
 */
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { LmasError } from '../errors.ts';
import { PROBLEM_MEDIA_TYPE, toProblem } from './problems.ts';

const RETRY_AFTER_S = '5';

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
}

export interface ServiceDoor extends AsyncDisposable {
  readonly url: string;
}

/** @throws what `listen` throws: EADDRINUSE … */
export async function openServiceDoor(options: ServiceDoorOptions): Promise<ServiceDoor> {
  const { host, port, tls, readiness, refusal } = options;
  const answer = async (path: string | undefined): Promise<{ status: number; type: string; body: object }> => {
    const type = 'application/json';
    if (path === '/healthz') return { status: 200, type, body: { status: 'ok' } };
    if (path !== '/readyz') {
      return { status: 503, type: PROBLEM_MEDIA_TYPE, body: toProblem(new LmasError('UNAVAILABLE', refusal())) };
    }
    const checks = await readiness();
    const ready = checks.every(({ ok }) => ok);
    return { status: ready ? 200 : 503, type, body: { ready, checks } };
  };
  const listener: RequestListener = (request, response) => {
    void answer(request.url).then(({ status, type, body }) => {
      const headers = { 'content-type': type, ...(status === 503 ? { 'retry-after': RETRY_AFTER_S } : {}) };
      response.writeHead(status, headers).end(JSON.stringify(body));
    });
  };
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  server.listen(port, host);
  await once(server, 'listening');
  const { address, family, port: actual } = server.address() as AddressInfo;
  const name = family === 'IPv6' ? `[${address}]` : address;
  return {
    url: `${tls === undefined ? 'http' : 'https'}://${name}:${actual}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
