import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { identitySchema, problemSchema, statusSchema } from '@lmas/gateway-api';
import { silentLog } from '../log.ts';
import { makeIdentity } from '../security/certificate.ts';
import { makeGateway } from '../testing/support.ts';
import { ControlServer } from './server.ts';

interface Answer {
  status: number;
  type: string;
  body: unknown;
}

function call(socketPath: string, method: string, url: string, token?: string, body?: unknown): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = token === undefined ? {} : { 'lmas-fencing-token': token };
    const request = http.request({ socketPath, method, path: url, headers, agent: false }, (response) => {
      let text = '';
      response.on('data', (chunk) => {
        text += String(chunk);
      });
      response.on('end', () => {
        const type = response.headers['content-type'] ?? '';
        resolve({ status: response.statusCode ?? 0, type, body: text === '' ? null : JSON.parse(text) });
      });
    });
    request.once('error', reject);
    request.end(body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body));
  });
}

async function withServer(
  t: TestContext,
  body: (socketPath: string, shutdowns: () => number) => Promise<void>,
): Promise<void> {
  const directory = mkdtempSync(path.join(tmpdir(), 'lmas-gateway-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const socketPath = path.join(directory, 'private', 'control.sock');
  let shutdowns = 0;
  const gateway = makeGateway(t, makeIdentity(1));
  const server = new ControlServer(socketPath, gateway, silentLog, () => {
    shutdowns += 1;
  });
  await server.listen();
  try {
    await body(socketPath, () => shutdowns);
  } finally {
    gateway.shutdown();
    await server.close();
    assert.ok(!existsSync(socketPath), 'the socket file is gone');
  }
}

const peer = makeIdentity(1).certificatePem;
const session = {
  sessionId: '7b1c5c0e-5f0e-4f63-9d3a-2f5d3c1a9e10',
  protocolVersion: 1,
  suite: 'aes-256-gcm',
  peerCertificate: peer,
  role: { kind: 'listen', address: '127.0.0.1', port: 0 },
  subflows: 2,
  maxWindowBytes: 1 << 20,
  bandwidthBytesPerSec: null,
  graceMs: 1000,
};

test('identity and status are what the contract says, and the socket is private', async (t) => {
  await withServer(t, async (socketPath) => {
    assert.equal(statSync(socketPath).mode & 0o777, 0o600);
    assert.equal(statSync(path.dirname(socketPath)).mode & 0o777, 0o700);
    identitySchema.parse((await call(socketPath, 'GET', '/v1/identity')).body);
    await call(socketPath, 'PUT', '/v1/session', '1', session);
    const { body } = await call(socketPath, 'GET', '/v1/status');
    assert.equal(statusSchema.parse(body).session?.state, 'listening');
    assert.ok(!JSON.stringify(body).includes('PRIVATE'));
  });
});

test('changing calls are fenced: none, smaller, equal, larger', async (t) => {
  await withServer(t, async (socketPath) => {
    const lease = (token?: string) => call(socketPath, 'POST', '/v1/lease', token, { leaseMs: 5_000 });
    const code = (answer: Answer) => problemSchema.parse(answer.body).code;
    assert.equal(code(await lease()), 'TOKEN_REQUIRED');
    assert.equal(code(await lease('-1')), 'TOKEN_REQUIRED');
    assert.equal((await lease('7')).status, 200);
    const stale = await lease('6');
    assert.deepEqual([stale.status, stale.type, code(stale)], [409, 'application/problem+json', 'STALE_TOKEN']);
    assert.equal((await lease('7')).status, 200);
    assert.equal((await lease('99999999999999999999')).status, 200);
    assert.equal(code(await call(socketPath, 'POST', '/v1/shutdown', '8')), 'STALE_TOKEN');
  });
});

test('PUT and DELETE can be said again; another body is a conflict', async (t) => {
  await withServer(t, async (socketPath) => {
    const put = (url: string, body: unknown) => call(socketPath, 'PUT', url, '1', body);
    const first = await put('/v1/session', session);
    assert.equal(first.status, 200);
    assert.deepEqual((await put('/v1/session', session)).body, first.body);
    assert.equal((await put('/v1/session', { ...session, graceMs: 2000 })).status, 409);
    const route = {
      kind: 'listen',
      address: '127.0.0.1',
      port: 0,
      allowFrom: ['127.0.0.1'],
      maxStreams: 1,
      priority: 'bulk',
    };
    const bound = await put('/v1/routes/main', route);
    assert.deepEqual((await put('/v1/routes/main', route)).body, bound.body);
    assert.equal((await put('/v1/routes/main', { ...route, maxStreams: 2 })).status, 409);
    assert.equal((await call(socketPath, 'DELETE', '/v1/routes/main', '1')).status, 204);
    assert.equal((await call(socketPath, 'DELETE', '/v1/routes/main', '1')).status, 204);
  });
});

test('what is wrong is said as a problem', async (t) => {
  await withServer(t, async (socketPath, shutdowns) => {
    const cases: [string, string, unknown, string, number][] = [
      ['PUT', '/v1/session', { ...session, extra: 1 }, 'INVALID_REQUEST', 400],
      ['PUT', '/v1/session', '{', 'INVALID_REQUEST', 400],
      ['PUT', '/v1/session', 'x'.repeat(300_000), 'INVALID_REQUEST', 400],
      ['PUT', '/v1/session', { ...session, peerCertificate: 'no' }, 'CERTIFICATE_INVALID', 422],
      ['PUT', '/v1/routes/UP', {}, 'INVALID_REQUEST', 400],
      ['POST', '/v1/probe', { durationMs: 0 }, 'NO_SESSION', 409],
      ['PUT', '/v1/limits', { bandwidthBytesPerSec: 5 }, 'NO_SESSION', 409],
      ['POST', '/v1/nothing', {}, 'NOT_FOUND', 404],
    ];
    for (const [method, url, body, code, status] of cases) {
      const answer = await call(socketPath, method, url, '1', body);
      assert.deepEqual([answer.status, problemSchema.parse(answer.body).code], [status, code], `${method} ${url}`);
    }
    assert.equal((await call(socketPath, 'POST', '/v1/shutdown', '1')).status, 200);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(shutdowns(), 1);
  });
});
