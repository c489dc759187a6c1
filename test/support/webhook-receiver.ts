/**
 * A receiver of webhooks on loopback, as a portal would have one: it verifies every signature with the library of the
 * standard and keeps what came. What it answers can be told. It owns its socket.
 */
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

export interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface WebhookReceiver extends AsyncDisposable {
  readonly url: string;
  readonly received: Received[];
  /** From now on. Default: 204. */
  answerWith(answer: (response: ServerResponse, received: Received) => void): void;
  /** Resolves when so many have come. */
  until(count: number): Promise<Received[]>;
}

export async function receiveWebhooks(): Promise<WebhookReceiver> {
  const received: Received[] = [];
  const news = new EventEmitter();
  let answer = (response: ServerResponse, _: Received): void => void response.writeHead(204).end();
  const server = createServer(async (request, response) => {
    const message = { headers: request.headers, body: await text(request) };
    received.push(message);
    answer(response, message);
    news.emit('received');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hooks`,
    received,
    answerWith(next) {
      answer = next;
    },
    async until(count) {
      while (received.length < count) {
        await once(news, 'received', { signal: AbortSignal.timeout(20_000) }).catch(() =>
          assert.fail(`${received.length} of ${count} webhooks came`),
        );
      }
      return received.slice(0, count);
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
