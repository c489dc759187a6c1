import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import Fastify from 'fastify';
import type { Principal } from '../access/principal.ts';
import { LmasError } from '../errors.ts';
import { callerOf, guardRoutes, whileWelcome } from './access.ts';

const HOLDER: Principal = {
  ...{ kind: 'api-key', id: 'k', name: 'n', role: 'viewer', project: null, operations: null },
};
const limits = { countCall: async () => undefined, countFailedLogin: async () => undefined };

test('a long answer ends when the login that it was given to is taken away', async () => {
  let isRevoked = false;
  const authenticate = async () => {
    if (isRevoked) throw new LmasError('UNAUTHENTICATED');
    return HOLDER;
  };
  const app = Fastify();
  guardRoutes(app, { authenticator: { authenticate }, limits, isAvailable: () => true });
  async function* endless() {
    for (let i = 0; i < 500; i++) {
      if (i === 20) isRevoked = true;
      yield `${i}\n`;
      await sleep(5);
    }
  }
  app.get('/v1/x', { schema: { operationId: 'watchMigrations' } }, async (request) =>
    Readable.from(whileWelcome(request, endless(), { recheckMs: 30 })),
  );
  const { body } = await app.inject({ url: '/v1/x', headers: { authorization: 'Bearer x' } });
  const lines = body.trim().split('\n').length;
  assert.ok(lines >= 20 && lines < 100, `${lines} lines`);
  await app.close();
});

test('a login is one word after Bearer; everything else is a stranger', async () => {
  const seen: string[] = [];
  const authenticate = async (login: string) => {
    seen.push(login);
    return HOLDER;
  };
  const app = Fastify();
  guardRoutes(app, { authenticator: { authenticate }, limits, isAvailable: () => true });
  app.get('/v1/x', { schema: { operationId: 'getCaller' } }, async (request) => callerOf(request).id);
  for (const authorization of ['', 'Bearer', 'Bearer ', 'Bearer a b', 'Basic a', `Bearer ${'x'.repeat(8_193)}`]) {
    assert.notEqual((await app.inject({ url: '/v1/x', headers: { authorization } })).statusCode, 200, authorization);
  }
  assert.deepEqual(seen, []);
  assert.equal((await app.inject({ url: '/v1/x', headers: { authorization: 'bearer a' } })).body, 'k');
  await app.close();
});
