import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLmasClient } from './client.ts';
import { LmasApiError, LmasConnectionError } from './errors.ts';
import { eventOf, sse, testServer } from './testing.ts';
import type { WatchOptions } from './watch.ts';

const STREAM = { 'content-type': 'text/event-stream' };
const SCRIPT = [
  eventOf('phase', 'queued'),
  eventOf('phase', 'checking'),
  eventOf('phase', 'performing'),
  eventOf('end', 'succeeded'),
];

async function collect(baseUrl: string, options: WatchOptions = {}): Promise<string[]> {
  const client = createLmasClient({ baseUrl, apiKey: 'k' });
  const ids: string[] = [];
  for await (const { id, event } of client.watchMigration('m_1', options)) ids.push(`${id}:${event.message}`);
  return ids;
}

const ALL = ['1:queued', '2:checking', '3:performing', '4:succeeded'];

test('every event comes once and in order, although the connection drops after each', { timeout: 20_000 }, async () => {
  const resumedFrom: (string | undefined)[] = [];
  await using server = await testServer((request, response) => {
    const from = request.headers['last-event-id'] as string | undefined;
    resumedFrom.push(from);
    const next = Number(from ?? 0);
    const event = SCRIPT[next];
    response.writeHead(200, STREAM);
    // Half of the following event is on its way when the connection breaks: it must not be taken for whole.
    const torn =
      SCRIPT[next + 1] === undefined ? '' : sse(next + 2, SCRIPT[next + 1] ?? eventOf('end', 'failed')).slice(0, 40);
    if (event !== undefined) response.write(sse(next + 1, event) + torn, () => response.destroy());
  });
  const lost: number[] = [];
  assert.deepEqual(await collect(server.baseUrl, { onConnectionLost: (_, delayMs) => lost.push(delayMs) }), ALL);
  assert.deepEqual(resumedFrom, [undefined, '1', '2', '3']);
  assert.equal(lost.length, 3);
  assert.ok(
    lost.every((delayMs) => delayMs < 500),
    'waiting starts afresh after each event',
  );
});

test('an orchestrator that is restarted meanwhile is found again', { timeout: 20_000 }, async () => {
  let connections = 0;
  await using server = await testServer((request, response) => {
    connections += 1;
    response.writeHead(200, STREAM);
    const from = Number(request.headers['last-event-id'] ?? 0);
    const until = connections === 1 ? 2 : SCRIPT.length;
    for (let i = from; i < until; i += 1) response.write(sse(i + 1, SCRIPT[i] ?? eventOf('log', 'queued')));
    if (until === SCRIPT.length) response.end();
  });
  const client = createLmasClient({ baseUrl: server.baseUrl, apiKey: 'k' });
  const seen: string[] = [];
  let refused = 0;
  const options: WatchOptions = {
    onConnectionLost: (error) => {
      if (error.code !== 'UNREACHABLE') return;
      refused += 1;
      if (refused === 2) void server.start();
    },
  };
  for await (const { id, event } of client.watchMigration('m_1', options)) {
    seen.push(`${id}:${event.message}`);
    if (id === '2') await server.stop();
  }
  assert.deepEqual(seen, ALL);
  assert.equal(refused, 2);
});

test('a silent connection is given up and taken up again', { timeout: 20_000 }, async () => {
  let connections = 0;
  await using server = await testServer((_, response) => {
    connections += 1;
    response.writeHead(200, STREAM);
    response.flushHeaders();
    if (connections === 2) response.end(sse(4, eventOf('end', 'succeeded')));
  });
  const reasons: string[] = [];
  const ids = await collect(server.baseUrl, { idleTimeoutMs: 100, onConnectionLost: ({ code }) => reasons.push(code) });
  assert.deepEqual(ids, ['4:succeeded']);
  assert.deepEqual(reasons, ['CONNECTION_LOST']);
});

test('a comment keeps a connection alive', { timeout: 20_000 }, async () => {
  let connections = 0;
  await using server = await testServer((_, response) => {
    connections += 1;
    response.writeHead(200, STREAM);
    let comments = 0;
    const timer = setInterval(() => {
      comments += 1;
      if (comments < 8) response.write(': keep-alive\n\n');
      else {
        clearInterval(timer);
        response.end(sse(4, eventOf('end', 'succeeded')));
      }
    }, 50);
  });
  await collect(server.baseUrl, { idleTimeoutMs: 250 });
  assert.equal(connections, 1);
});

test('what the orchestrator refuses is not tried again', async () => {
  let connections = 0;
  await using server = await testServer((_, response) => {
    connections += 1;
    response.writeHead(404, { 'content-type': 'application/problem+json' });
    response.end(JSON.stringify({ type: 'about:blank', title: 'Gone', status: 404, code: 'MIGRATION_NOT_FOUND' }));
  });
  await assert.rejects(
    collect(server.baseUrl),
    (error) => error instanceof LmasApiError && error.code === 'MIGRATION_NOT_FOUND',
  );
  assert.equal(connections, 1);
});

test('an overloaded orchestrator is asked again, not before it said', { timeout: 20_000 }, async () => {
  let connections = 0;
  await using server = await testServer((_, response) => {
    connections += 1;
    if (connections === 1) response.writeHead(503, { 'retry-after': '1' }).end('{}');
    else response.writeHead(200, STREAM).end(sse(4, eventOf('end', 'succeeded')));
  });
  const delays: number[] = [];
  await collect(server.baseUrl, { onConnectionLost: (_, delayMs) => delays.push(delayMs) });
  assert.deepEqual(delays, [1_000]);
});

test('it gives up when nobody was there for so long', { timeout: 20_000 }, async () => {
  const server = await testServer(() => {});
  await server.stop();
  await assert.rejects(
    collect(server.baseUrl, { giveUpAfterMs: 600 }),
    (error) => error instanceof LmasConnectionError && error.code === 'UNREACHABLE',
  );
});

test('an abort ends it at once, connected or waiting, with the signal’s own reason', { timeout: 20_000 }, async () => {
  const reason = new Error('enough');
  await using server = await testServer((_, response) => {
    response.writeHead(200, STREAM);
    response.flushHeaders();
  });
  const connected = new AbortController();
  await assert.rejects(
    collect(server.baseUrl, { signal: connected.signal, onConnected: () => connected.abort(reason) }),
    reason,
  );
  await server.stop();
  const waiting = new AbortController();
  await assert.rejects(
    collect(server.baseUrl, { signal: waiting.signal, onConnectionLost: () => waiting.abort(reason) }),
    reason,
  );
});

test('leaving the loop closes the connection', { timeout: 20_000 }, async () => {
  const closed = Promise.withResolvers<void>();
  await using server = await testServer((request, response) => {
    request.socket.once('close', () => closed.resolve());
    response.writeHead(200, STREAM);
    response.write(sse(1, eventOf('phase', 'queued')));
  });
  const client = createLmasClient({ baseUrl: server.baseUrl, apiKey: 'k' });
  for await (const { id } of client.watchMigration('m_1')) {
    assert.equal(id, '1');
    break;
  }
  await closed.promise;
});

test('a page of something else is no event stream', async () => {
  await using server = await testServer((_, response) => {
    response.writeHead(200, { 'content-type': 'text/html' }).end('<html>');
  });
  await assert.rejects(
    collect(server.baseUrl),
    (error) => error instanceof LmasConnectionError && error.code === 'NOT_LMAS',
  );
});

test('the notices of everything come through, also those of things that are not known here yet', {
  timeout: 20_000,
}, async () => {
  const at = '2026-01-01T00:00:00.000Z';
  const told = [
    { at, type: 'phase', message: 'checking', migration: { id: 'm_1', phase: 'checking' } },
    { at, type: 'schedule', message: 'started', schedule: { id: 'nightly' } },
    { at, type: 'plan-run', message: 'waits', planRun: { id: 'r_1' } },
    { at, type: 'of-tomorrow', message: 'who knows' },
  ];
  await using server = await testServer((_, response) => {
    response.writeHead(200, STREAM);
    for (const [i, notice] of told.entries()) response.write(`id: ${i + 1}\ndata: ${JSON.stringify(notice)}\n\n`);
  });
  const client = createLmasClient({ baseUrl: server.baseUrl, apiKey: 'k' });
  const heard: string[] = [];
  for await (const { event } of client.watchNotices()) {
    heard.push(event.message);
    if (heard.length === told.length) break;
  }
  assert.deepEqual(heard, ['checking', 'started', 'waits', 'who knows']);
});

test('who heard nothing before the connection was lost goes on from where that began', {
  timeout: 20_000,
}, async () => {
  const at = '2026-01-01T00:00:00.000Z';
  const asked: unknown[] = [];
  await using server = await testServer((request, response) => {
    asked.push(request.headers['last-event-id']);
    response.writeHead(200, STREAM);
    // What is cut off was not heard.
    if (asked.length === 1) response.end('id: 5\n\nid: 6\ndata: {"at":');
    else response.write(`id: 7\ndata: ${JSON.stringify({ at, type: 'phase', message: 'queued', migration: {} })}\n\n`);
  });
  const client = createLmasClient({ baseUrl: server.baseUrl, apiKey: 'k' });
  for await (const { id } of client.watchNotices()) {
    assert.equal(id, '7');
    break;
  }
  assert.deepEqual(asked, [undefined, '5']);
});

test('who comes back too late for some of it is told, and goes on', async () => {
  const at = '2026-01-01T00:00:00.000Z';
  await using server = await testServer((_, response) => {
    response.writeHead(200, STREAM);
    for (const told of ['{}', '{"missed":null}', '{"missed":17}']) response.write(`event: missed\ndata: ${told}\n\n`);
    response.write(`id: 7\ndata: ${JSON.stringify({ at, type: 'phase', message: 'queued', migration: {} })}\n\n`);
  });
  const client = createLmasClient({ baseUrl: server.baseUrl, apiKey: 'k' });
  const heard: unknown[] = [];
  for await (const { event } of client.watchNotices({ lastEventId: '1', onMissed: (count) => heard.push(count) })) {
    heard.push(event.message);
    break;
  }
  assert.deepEqual(heard, [null, null, 17, 'queued']);
});
