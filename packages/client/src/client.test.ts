import assert from 'node:assert/strict';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { createLmasClient } from './client.ts';
import { LmasApiError, LmasConnectionError } from './errors.ts';
import { testServer } from './testing.ts';

test('it sends the key, the body and the idempotency key, and answers with the record', async () => {
  const seen: unknown[] = [];
  await using server = await testServer(async (request, response) => {
    const chunks = await Array.fromAsync(request);
    seen.push([request.method, request.url, request.headers.authorization, request.headers['idempotency-key']]);
    seen.push(JSON.parse(Buffer.concat(chunks).toString()));
    response.writeHead(202, { 'content-type': 'application/json' }).end('{"id":"m_1"}');
  });
  const client = createLmasClient({ baseUrl: `${server.baseUrl}/`, apiKey: 'secret' });
  const body = { vm: 'web-1', source: 'a', destination: 'b' };
  assert.equal((await client.createMigration(body, { idempotencyKey: 'once' })).id, 'm_1');
  assert.deepEqual(seen, [['POST', '/v1/migrations', 'Bearer secret', 'once'], body]);
});

test('all pages are read, each with the cursor of the one before', async () => {
  const urls: string[] = [];
  await using server = await testServer((request, response) => {
    urls.push(request.url ?? '');
    const page = request.url?.includes('cursor=')
      ? { items: [{ id: 'm_2' }], nextCursor: null }
      : { items: [{ id: 'm_1' }], nextCursor: 'c=1' };
    response.end(JSON.stringify(page));
  });
  const client = createLmasClient({ baseUrl: server.baseUrl, apiKey: 'k' });
  const ids = (await Array.fromAsync(client.eachMigration({ phase: 'failed' }))).map(({ id }) => id);
  assert.deepEqual(ids, ['m_1', 'm_2']);
  assert.deepEqual(urls, ['/v1/migrations?phase=failed', '/v1/migrations?phase=failed&cursor=c%3D1']);
});

test('a problem becomes an LmasApiError with everything it says', async () => {
  await using server = await testServer((_, response) => {
    response.writeHead(422, { 'content-type': 'application/problem+json', 'retry-after': '3' });
    response.end(
      JSON.stringify({
        type: 'about:blank',
        title: 'Not valid.',
        status: 422,
        code: 'INVALID_OPTIONS',
        detail: 'multifd must be a number',
        errors: [{ path: 'options.multifd', message: 'must be a number' }, { nonsense: true }],
      }),
    );
  });
  const client = createLmasClient({ baseUrl: server.baseUrl, apiKey: 'k' });
  await assert.rejects(client.listSites(), (error) => {
    assert.ok(error instanceof LmasApiError);
    assert.deepEqual(
      { ...error, message: error.message },
      {
        name: 'LmasApiError',
        message: 'Not valid. multifd must be a number',
        code: 'INVALID_OPTIONS',
        status: 422,
        title: 'Not valid.',
        detail: 'multifd must be a number',
        errors: [{ path: 'options.multifd', message: 'must be a number' }],
        retryAfterMs: 3_000,
      },
    );
    return true;
  });
});

test('a refusal of a proxy has a code of its own', async () => {
  await using server = await testServer((_, response) => void response.writeHead(502).end('<html>bad gateway'));
  const client = createLmasClient({ baseUrl: server.baseUrl, apiKey: 'k' });
  await assert.rejects(client.listSites(), (error) => error instanceof LmasApiError && error.code === 'HTTP_502');
});

test('a deletion answers with nothing, and readiness is an answer even when it is no', async () => {
  await using server = await testServer((request, response) => {
    if (request.method === 'DELETE') response.writeHead(204).end();
    else
      response
        .writeHead(503)
        .end(JSON.stringify({ ready: false, checks: [{ name: 'redis', ok: false, detail: 'away' }] }));
  });
  const client = createLmasClient({ baseUrl: server.baseUrl, apiKey: 'k' });
  assert.equal(await client.deleteSite('a'), undefined);
  assert.equal((await client.getReadiness()).ready, false);
});

const code = (wanted: string, text?: RegExp) => (error: unknown) => {
  assert.ok(error instanceof LmasConnectionError, String(error));
  assert.equal(error.code, wanted, error.message);
  if (text !== undefined) assert.match(error.message, text);
  return true;
};

test('each fault of the network has its own sentence', { timeout: 20_000 }, async (t) => {
  const call = (baseUrl: string) => createLmasClient({ baseUrl, apiKey: 'k' }).listSites();

  await t.test('nobody listens', async () => {
    const server = await testServer(() => {});
    await server.stop();
    await assert.rejects(
      call(server.baseUrl),
      code('UNREACHABLE', /^Nothing listens at 127\.0\.0\.1:\d+ \(connection refused\)\.$/),
    );
  });
  await t.test('no such name', async () => {
    await assert.rejects(call('http://nowhere.invalid:7070'), code('UNREACHABLE', /nowhere\.invalid/));
  });
  await t.test('closed before the answer', async () => {
    await using server = await testServer((request) => void request.socket.destroy());
    await assert.rejects(call(server.baseUrl), code('CONNECTION_LOST', /closed the connection before it had answered/));
  });
  await t.test('closed in the middle of the answer', async () => {
    await using server = await testServer((_, response) => {
      response.writeHead(200, { 'content-length': '1000' });
      response.write('{"items":', () => response.destroy());
    });
    await assert.rejects(call(server.baseUrl), code('CONNECTION_LOST'));
  });
  await t.test('something that is not JSON', async () => {
    await using server = await testServer((_, response) => void response.end('<html>welcome</html>'));
    await assert.rejects(call(server.baseUrl), code('NOT_LMAS', /not JSON/));
  });
  await t.test('a redirect is not followed with the key', async () => {
    await using server = await testServer(
      (_, response) => void response.writeHead(301, { location: 'https://x/' }).end(),
    );
    await assert.rejects(call(server.baseUrl), code('NOT_LMAS', /redirect to https:\/\/x\//));
  });
  await t.test('TLS spoken to a plain server', async () => {
    await using server = await testServer(() => {});
    await assert.rejects(call(server.baseUrl.replace('http:', 'https:')), code('NOT_LMAS', /try http:/));
  });
  await t.test('another protocol', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => socket.destroy());
      socket.end('SSH-2.0-OpenSSH_9.2\r\n');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    try {
      await assert.rejects(call(`http://127.0.0.1:${port}`), code('NOT_LMAS', /does not speak HTTP/));
    } finally {
      server.close();
    }
  });
});

test('an abort passes through unchanged', async () => {
  await using server = await testServer(() => {});
  const controller = new AbortController();
  const call = createLmasClient({ baseUrl: server.baseUrl, apiKey: 'k' }).listSites({ signal: controller.signal });
  const reason = new Error('enough');
  controller.abort(reason);
  await assert.rejects(call, reason);
});

test('a base URL that cannot be one is refused before anything is sent', () => {
  for (const baseUrl of ['localhost:7070', 'ftp://x', 'http://user:pw@x', 'http://x/?a=b', '']) {
    assert.throws(() => createLmasClient({ baseUrl, apiKey: 'k' }), code('INVALID_URL'), baseUrl);
  }
  assert.equal(createLmasClient({ baseUrl: 'https://x/lmas//', apiKey: 'k' }).baseUrl, 'https://x/lmas');
});
