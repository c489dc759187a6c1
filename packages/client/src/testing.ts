/** For tests: a real HTTP server on a free loopback port, and the least record that types as a migration. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Migration, MigrationEvent } from './types.ts';

export interface TestServer extends AsyncDisposable {
  readonly baseUrl: string;
  readonly server: Server;
  /** Ends it and every connection. */
  stop(): Promise<void>;
  /** Listens again on the same port. */
  start(): Promise<void>;
}

export async function testServer(
  handle: (request: IncomingMessage, response: ServerResponse) => void | Promise<void>,
): Promise<TestServer> {
  const server = createServer((request, response) => void handle(request, response));
  let port = 0;
  const start = () =>
    new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '127.0.0.1', () => {
        server.off('error', reject);
        port = (server.address() as AddressInfo).port;
        resolve();
      });
    });
  const stop = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  await start();
  return {
    baseUrl: `http://127.0.0.1:${port}`,
    server,
    start,
    stop,
    [Symbol.asyncDispose]: async () => {
      if (server.listening) await stop();
    },
  };
}

export function sse(id: number, event: MigrationEvent): string {
  return `id: ${id}\ndata: ${JSON.stringify(event)}\n\n`;
}

export function eventOf(type: MigrationEvent['type'], phase: Migration['phase']): MigrationEvent {
  const migration = { id: 'm_1', phase } as Migration;
  return { at: '2026-01-01T00:00:00.000Z', type, message: phase, migration };
}
