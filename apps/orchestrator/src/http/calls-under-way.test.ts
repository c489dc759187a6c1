/** Over a real server and real sockets: who is waited for when it is about to end, and who is not. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import Fastify from 'fastify';
import { followCalls, WorkOfCalls } from './calls-under-way.ts';

async function serve(listener: RequestListener, { limitMs = 60_000 } = {}) {
  const stopping = new AbortController();
  const server = createServer(listener);
  const calls = followCalls(server, stopping.signal, { limitMs });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const close = async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  };
  return { calls, port, url: `http://127.0.0.1:${port}`, stop: () => stopping.abort(), [Symbol.asyncDispose]: close };
}

test('what is under way is waited for, and told that its connection ends; a connection without a call is not', async () => {
  const reached = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  await using server = await serve(async ({ url }, response) => {
    if (url === '/slow') {
      reached.resolve();
      await held.promise;
    }
    response.end('answer');
  });
  const idle = await fetch(server.url);
  assert.deepEqual([await idle.text(), idle.headers.get('connection')], ['answer', 'keep-alive']);
  const slow = fetch(`${server.url}/slow`);
  await reached.promise;
  server.stop();
  const late = await fetch(server.url);
  assert.deepEqual([await late.text(), late.headers.get('connection')], ['answer', 'close']);
  let answered = false;
  const waited = server.calls.answered().then(() => {
    answered = true;
  });
  await turn();
  assert.equal(answered, false);
  held.resolve();
  await waited;
  const { headers } = await slow;
  assert.equal(headers.get('connection'), 'close');
});

test('a call that is never answered is waited for no longer than calls have', async () => {
  const reached = Promise.withResolvers<void>();
  let call: Promise<unknown>;
  {
    await using server = await serve(() => reached.resolve(), { limitMs: 50 });
    call = fetch(server.url).then(
      () => 'answered',
      () => 'cut off',
    );
    await reached.promise;
    server.stop();
    await server.calls.answered();
  }
  assert.equal(await call, 'cut off');
});

test('a reader of a stream who takes nothing is let go at once', async () => {
  const full = Promise.withResolvers<void>();
  await using server = await serve((_, response) => {
    response.setHeader('content-type', 'text/event-stream');
    const fill = (): void => {
      while (response.write(':'.repeat(65_536)));
      // What goes into the kernel's buffers is taken off at once; the reader takes none.
      setTimeout(() => (response.writableNeedDrain ? full.resolve() : undefined), 200);
      response.once('drain', fill);
    };
    fill();
  });
  const reader = connect(server.port, '127.0.0.1').pause();
  reader.on('error', () => undefined);
  reader.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await full.promise;
  server.stop();
  await server.calls.answered();
  reader.destroy();
});

test('what is done for a call whose caller was cut off is waited for, and what is written down of it then', async () => {
  const work = new WorkOfCalls();
  const [reached, cleared, written] = [1, 2, 3].map(() => Promise.withResolvers<void>());
  const app = Fastify({ forceCloseConnections: true });
  work.followRoutes(app);
  app.addHook('onSend', async (_request, _reply, payload) => {
    await work.follow(written?.promise ?? assert.fail());
    return payload;
  });
  app.get('/', async () => {
    reached?.resolve();
    await cleared?.promise;
    return 'nobody waits for that';
  });
  const call = fetch(await app.listen({ host: '127.0.0.1', port: 0 })).then(
    () => 'answered',
    () => 'cut off',
  );
  await reached?.promise;
  await app.close();
  assert.equal(await call, 'cut off');
  let isOver = false;
  const ended = work.ended().then(() => {
    isOver = true;
  });
  for (const { resolve } of [cleared, written].filter((each) => each !== undefined)) {
    for (let time = 0; time < 10; time++) await turn();
    assert.equal(isOver, false);
    resolve();
  }
  await ended;
});

test('what never ends is waited for no longer than it has', async () => {
  const work = new WorkOfCalls();
  void work.follow(new Promise(() => undefined));
  await work.ended({ limitMs: 20 });
});

test('who has connected and never begins with TLS, or connects while it closes, does not hold the end up', async () => {
  const server = createTlsServer();
  const calls = followCalls(server, AbortSignal.abort());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const silent = () => connect(port, '127.0.0.1').on('error', () => undefined); // a reset is an end, too
  const arrived = once(server, 'connection');
  const early = silent();
  await arrived;
  await calls.answered();
  calls.hangUp();
  const late = silent();
  await Promise.all([early, late].map((socket) => once(socket, 'close')));
  server.close();
  await once(server, 'close');
});
