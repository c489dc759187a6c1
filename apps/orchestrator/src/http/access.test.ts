import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import rateLimit from '@fastify/rate-limit';
import Fastify from 'fastify';
import type { AuditEntry } from '../access/audit.ts';
import type { Principal } from '../access/principal.ts';
import { LmasError, type OrchestratorErrorCode } from '../errors.ts';
import { callerOf, guardRoutes, whileWelcome } from './access.ts';
import { auditCalls } from './audit.ts';
import { createLimits } from './limits.ts';
import { answerBrokenRequest, installProblems } from './problems.ts';

const HOLDER: Principal = {
  ...{ kind: 'api-key', id: 'k', name: 'n', role: 'viewer', project: null, operations: null, expiresAt: null },
};
const limits = { countCall: async () => undefined, countFailedLogin: async () => undefined };

test('a long answer ends when the login that it was given to is taken away', async () => {
  let isRevoked = false;
  const authenticate = async () => {
    if (isRevoked) throw new LmasError('UNAUTHENTICATED');
    return HOLDER;
  };
  const app = Fastify();
  guardRoutes(app, { authenticator: { authenticate }, limits, outage: () => undefined });
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
  guardRoutes(app, { authenticator: { authenticate }, limits, outage: () => undefined });
  app.get('/v1/x', { schema: { operationId: 'getCaller' } }, async (request) => callerOf(request).id);
  for (const authorization of ['', 'Bearer', 'Bearer ', 'Bearer a b', 'Basic a', `Bearer ${'x'.repeat(14_337)}`]) {
    assert.notEqual((await app.inject({ url: '/v1/x', headers: { authorization } })).statusCode, 200, authorization);
  }
  assert.deepEqual(seen, []);
  assert.equal((await app.inject({ url: '/v1/x', headers: { authorization: 'bearer a' } })).body, 'k');
  await app.close();
});

test('a token as long as Node’s headers allow is taken; a longer one is told how much too long it is', async (t) => {
  const app = Fastify({ clientErrorHandler: answerBrokenRequest, forceCloseConnections: true });
  t.after(() => app.close());
  installProblems(app);
  guardRoutes(app, { authenticator: { authenticate: async () => HOLDER }, limits, outage: () => undefined });
  app.get('/v1/x', { schema: { operationId: 'getCaller' } }, async (request) => callerOf(request).id);
  const url = `${await app.listen({ host: '127.0.0.1', port: 0 })}/v1/x`;
  // What browsers and proxies send besides.
  const others = { 'user-agent': 'a'.repeat(200), accept: 'b'.repeat(200), 'x-forwarded-for': 'c'.repeat(600) };
  const answerTo = async (length: number) => {
    const answer = await fetch(url, { headers: { ...others, authorization: `Bearer ${'x'.repeat(length)}` } });
    return { status: answer.status, text: await answer.text() };
  };
  assert.deepEqual(await answerTo(14_336), { status: 200, text: 'k' });
  const refused = await answerTo(14_337);
  assert.equal(refused.status, 401);
  assert.match(JSON.parse(refused.text).detail, /too long: 14337 characters, at most 14336\. .*roles/);
  assert.equal((await answerTo(20_000)).status, 431);
});

test('a change under which Redis goes away is answered 503 and put on record where it can; strangers at the door are not', async () => {
  let outage: string | undefined;
  const recorded: Omit<AuditEntry, 'id'>[] = [];
  const audit = {
    record: async (entry: Omit<AuditEntry, 'id'>) => void recorded.push(entry),
  } as never;
  const app = Fastify();
  installProblems(app);
  guardRoutes(app, { authenticator: { authenticate: async () => HOLDER }, limits, outage: () => outage });
  auditCalls(app, { audit, outage: () => outage });
  app.post('/v1/x', { schema: { operationId: 'getCaller' } }, async () => {
    outage = 'Redis is away.';
    throw new Error('Reached the max retries per request limit (which is 0).');
  });
  const call = { method: 'POST', url: '/v1/x', headers: { authorization: 'Bearer x' } } as const;
  const answer = await app.inject(call);
  assert.deepEqual([answer.statusCode, answer.json().code, answer.headers['retry-after']], [503, 'UNAVAILABLE', '5']);
  assert.match(answer.json().detail, /may have been done or not/);
  const refused = await app.inject(call);
  assert.deepEqual([refused.statusCode, refused.json().detail.slice(0, 14)], [503, 'Redis is away.']);
  assert.deepEqual(
    recorded.map(({ status, code, caller }) => [status, code, caller?.id]),
    [[503, 'UNAVAILABLE', 'k']],
  );
  await app.close();
});

test('whoever is not let in is counted by address and recorded so often, whatever it was that was not accepted', async () => {
  const LIMIT = 3;
  const recorded: Omit<AuditEntry, 'id'>[] = [];
  const audit = {
    record: async (entry: Omit<AuditEntry, 'id'>) => void recorded.push(entry),
  } as never;
  const authenticate = async (login: string) => {
    if (login === 'holder') return HOLDER;
    if (login === 'away') throw new Error('Command timed out');
    throw new LmasError(login as OrchestratorErrorCode);
  };
  const app = Fastify();
  installProblems(app);
  await app.register(rateLimit, { global: false });
  const counted = createLimits(app, { requestsPerMinute: null, failedLoginsPerMinute: LIMIT });
  guardRoutes(app, { authenticator: { authenticate }, limits: counted, outage: () => undefined });
  auditCalls(app, { audit, outage: () => undefined });
  app.post('/v1/x', { schema: { operationId: 'getCaller' } }, async () => 'done');
  const call = (login: string, remoteAddress: string) =>
    app.inject({ method: 'POST', url: '/v1/x', headers: { authorization: `Bearer ${login}` }, remoteAddress });
  const statuses = async (login: string, address: string) => {
    const answers = [];
    for (let i = 0; i < LIMIT + 2; i++) answers.push((await call(login, address)).statusCode);
    return answers;
  };
  for (const [address, code, status] of [
    ['192.0.2.1', 'UNAUTHENTICATED', 401],
    ['192.0.2.2', 'FORBIDDEN', 403], // a good token without a grant, or of a project that is not registered
    ['192.0.2.3', 'UNAVAILABLE', 503], // the provider's keys cannot be had
  ] as const) {
    const { headers } = await call(code, '192.0.2.4');
    assert.equal(headers['www-authenticate'] !== undefined, status === 401, code);
    recorded.length = 0;
    assert.deepEqual(await statuses(code, address), [status, status, status, 429, 429]);
    assert.deepEqual(
      recorded.map((entry) => [entry.code, entry.caller]),
      Array.from({ length: LIMIT }, () => [code, null]),
    );
    assert.equal((await call('holder', address)).statusCode, 200, 'a valid login is served all the same');
  }
  assert.deepEqual(
    new Set(await statuses('away', '192.0.2.5')),
    new Set([503]),
    'Redis is away: nobody failed to log in',
  );
  await app.close();
});
