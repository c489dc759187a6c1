/**
 * Answers in the place of the API while there is no Redis: that the process lives, what it waits for, and to come back
 * later. It owns its server, and gives the address back before the API takes it.
 */
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { LmasError } from '../errors.ts';
import { PROBLEM_MEDIA_TYPE, toProblem } from './problems.ts';

const RETRY_AFTER_S = '5';

export interface WaitingRoomOptions {
  readonly host: string;
  readonly port: number;
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  /** What is waited for, in words, at this moment. */
  readonly reason: () => string;
}

/** @throws what `listen` throws: EADDRINUSE … */
export async function openWaitingRoom({ host, port, tls, reason }: WaitingRoomOptions): Promise<AsyncDisposable> {
  const answer: RequestListener = (request, response) => {
    const send = (status: number, type: string, body: object) =>
      response.writeHead(status, { 'content-type': type, 'retry-after': RETRY_AFTER_S }).end(JSON.stringify(body));
    if (request.url === '/healthz') return send(200, 'application/json', { status: 'ok' });
    if (request.url === '/readyz') {
      const checks = [{ name: 'redis', ok: false, detail: reason() }];
      return send(503, 'application/json', { ready: false, checks });
    }
    return send(503, PROBLEM_MEDIA_TYPE, toProblem(new LmasError('UNAVAILABLE', reason())));
  };
  const server = tls === undefined ? createServer(answer) : createTlsServer(tls, answer);
  server.listen(port, host);
  await once(server, 'listening');
  return {
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
