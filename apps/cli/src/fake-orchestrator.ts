/**
 * For tests: a real HTTP server that answers as an orchestrator would. Every answer passes the API's own schema, handed in
 * by the test, before it is sent, so the fake cannot lie about a shape. Replies can be lost and streams broken on command.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Migration, MigrationEvent } from '@lmas/client';

/** A zod schema, as far as it is needed. */
export interface Shape {
  parse(value: unknown): unknown;
}

export interface Call {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: unknown;
}

/** Answers one call; `response` is for those who break off. */
export type Handler = (call: Call, response: ServerResponse) => void;

export interface FakeOrchestrator extends AsyncDisposable {
  readonly url: string;
  readonly calls: Call[];
  /** `GET /v1/sites` → handler; the query does not count. */
  on(route: string, handler: Handler): void;
}

export async function fakeOrchestrator(): Promise<FakeOrchestrator> {
  const handlers = new Map<string, Handler>();
  const calls: Call[] = [];
  const server = createServer(async (request, response) => {
    const text = Buffer.concat(await Array.fromAsync(request)).toString();
    const url = request.url ?? '';
    const call: Call = {
      method: request.method ?? '',
      url,
      headers: request.headers,
      body: text === '' ? undefined : JSON.parse(text),
    };
    calls.push(call);
    const handler = handlers.get(`${call.method} ${url.split('?')[0]}`);
    if (handler === undefined) problem(404, 'NOT_FOUND', `no ${call.method} ${url}`)(call, response);
    else handler(call, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    on: (route, handler) => void handlers.set(route, handler),
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Answers with a body of that shape. */
export function answer(status: number, shape: Shape, body: unknown): Handler {
  const checked = JSON.stringify(shape.parse(body));
  return (_, response) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(checked);
  };
}

export function problem(
  status: number,
  code: string,
  title: string,
  errors?: { path: string; message: string }[],
): Handler {
  const body = JSON.stringify({ type: 'about:blank', title, status, code, detail: 'Do something.', errors });
  return (_, response) => {
    response.writeHead(status, { 'content-type': 'application/problem+json' }).end(body);
  };
}

/** A stream of events that goes on from Last-Event-ID; breaks off after so many events of one connection. */
export function eventStream(
  shape: Shape,
  events: readonly MigrationEvent[],
  { breakAfter = events.length } = {},
): Handler {
  const lines = events.map((event, index) => `id: ${index + 1}\ndata: ${JSON.stringify(shape.parse(event))}\n\n`);
  return ({ headers }, response) => {
    const from = Number(headers['last-event-id'] ?? 0);
    const part = lines.slice(from, from + breakAfter).join('');
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    if (from + breakAfter >= lines.length) response.end(part);
    else response.write(part, () => response.destroy());
  };
}

export const MIGRATION_ID = 'm_0198c9d4-5a1f-7c55-b1d2-5d3c7c1f9a10';

export function sampleMigration(changes: Partial<Migration> = {}): Migration {
  return {
    id: MIGRATION_ID,
    project: null,
    plugin: 'kvm',
    purpose: 'move',
    vm: { id: '5f0e', name: 'web-1' },
    source: { endpoint: 'host-a', site: 'a' },
    destination: { endpoint: 'host-b', site: 'b' },
    request: {
      vm: 'web-1',
      source: 'host-a',
      destination: 'host-b',
      transport: 'tunnel',
      tunnel: { suite: 'aes-256-gcm', subflows: 'auto', compression: 'never' },
      drill: null,
      powerState: 'running',
      networkMap: {},
      diskMap: {},
      mayReplace: [],
      allowCordoned: false,
      maxDowntimeMs: null,
      convergence: 'balanced',
      bandwidthBytesPerSec: null,
      priority: 50,
      timeouts: {
        queueMs: 86_400_000,
        checkingMs: 60_000,
        provisioningMs: 180_000,
        preparingMs: 120_000,
        noProgressMs: 300_000,
        totalMs: 43_200_000,
      },
      options: {},
      labels: {},
      correlationId: null,
      retries: { max: 2, backOffMs: 10_000 },
    },
    changes: {},
    phase: 'queued',
    waiting: null,
    bandwidthShareBytesPerSec: null,
    where: 'unknown',
    teardown: 'not-needed',
    leftovers: [],
    givenUp: null,
    createdAt: '2026-01-01T00:00:00.000Z',
    startedAt: null,
    endedAt: null,
    timeline: [{ phase: 'queued', startedAt: '2026-01-01T00:00:00.000Z' }],
    waits: [],
    cancelRequestedAt: null,
    pointOfNoReturnAt: null,
    retryOf: null,
    failedAttempts: [],
    runs: 1,
    findings: [],
    progress: null,
    tunnel: null,
    drill: null,
    error: null,
    byHand: null,
    doneByHand: null,
    report: null,
    ...changes,
  };
}

export function eventOf(
  type: MigrationEvent['type'],
  message: string,
  changes: Partial<Migration> = {},
): MigrationEvent {
  return { at: '2026-01-01T00:00:10.000Z', type, message, migration: sampleMigration(changes) };
}
