/** The door of a process without an API: its metrics are shown to whoever may see them, and to nobody else. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AuditEntry, AuditLog } from '../access/audit.ts';
import type { Authenticator } from '../access/authenticator.ts';
import { LmasError } from '../errors.ts';
import { createLog } from '../log.ts';
import { openServiceDoor } from './service-door.ts';

const authenticator: Authenticator = {
  async authenticate(login) {
    if (login === 'stranger') throw new LmasError('UNAUTHENTICATED');
    const project = login === 'tenant' ? 'p' : null;
    return { kind: 'api-key', id: 'k', name: 'n', role: 'viewer', project, operations: null, expiresAt: null };
  },
};
const options = {
  ...{ host: '127.0.0.1', port: 0, tls: undefined, readiness: async () => [], refusal: () => 'not here' },
  log: createLog('silent'),
  stopping: new AbortController().signal,
};
const exposition = async () => ({ contentType: 'text/plain; version=0.0.4', text: 'lmas_build_info 1\n' });
const noAudit = { record: async () => undefined } as unknown as AuditLog;
const guarded = {
  ...{ authenticator, metrics: { exposition }, audit: noAudit, outage: () => undefined },
  limits: { requestsPerMinute: null, failedLoginsPerMinute: null },
};

async function ask(url: string, path: string, login?: string): Promise<{ status: number; text: string }> {
  const headers: Record<string, string> = login === undefined ? {} : { authorization: `Bearer ${login}` };
  const response = await fetch(url + path, { headers });
  return { status: response.status, text: await response.text() };
}

test('metrics ask for a login of the whole installation', async () => {
  await using door = await openServiceDoor({ ...options, guarded });
  assert.deepEqual(await ask(door.url, '/metrics', 'viewer'), { status: 200, text: 'lmas_build_info 1\n' });
  const { headers } = await fetch(`${door.url}/metrics`);
  assert.deepEqual([headers.get('cache-control'), headers.get('x-content-type-options')], ['no-store', 'nosniff']);
  assert.equal((await ask(door.url, '/metrics')).status, 401);
  assert.equal((await ask(door.url, '/metrics', 'stranger')).status, 401);
  assert.equal((await ask(door.url, '/metrics', 'tenant')).status, 403);
  assert.equal((await ask(door.url, '/readyz')).status, 200);
  assert.equal((await ask(door.url, '/v1/migrations', 'viewer')).status, 503);
});

test('attempts at the metrics are limited and recorded as those at the API are', async () => {
  const recorded: Omit<AuditEntry, 'id'>[] = [];
  const audit = { ...noAudit, record: async (entry: Omit<AuditEntry, 'id'>) => void recorded.push(entry) };
  const limits = { requestsPerMinute: 4, failedLoginsPerMinute: 2 };
  await using door = await openServiceDoor({ ...options, guarded: { ...guarded, audit, limits } });
  const statuses = async (count: number, login?: string) => {
    const answers = [];
    for (let i = 0; i < count; i++) answers.push((await ask(door.url, '/metrics', login)).status);
    return answers;
  };
  assert.deepEqual([...(await statuses(1)), ...(await statuses(2, 'stranger'))], [401, 401, 429]);
  assert.deepEqual(await statuses(5, 'viewer'), [200, 200, 200, 200, 429]);
  const told = recorded.map(({ operation, code, caller, address }) => [operation, code, caller, address]);
  const attempt = ['getMetrics', 'UNAUTHENTICATED', null, '127.0.0.1'];
  assert.deepEqual(told, [attempt, attempt]);
});

test('while Redis is waited for there are no metrics, and it says so', async () => {
  await using door = await openServiceDoor(options);
  const { status, text } = await ask(door.url, '/metrics', 'viewer');
  assert.equal(status, 503);
  assert.match(text, /not here/);
});

test('a scrape that is under way when the process begins to end is answered', async () => {
  const stopping = new AbortController();
  const reached = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  const slow = async () => {
    reached.resolve();
    await held.promise;
    return await exposition();
  };
  const door = await openServiceDoor({
    ...options,
    stopping: stopping.signal,
    guarded: { ...guarded, metrics: { exposition: slow } },
  });
  const answer = fetch(`${door.url}/metrics`, { headers: { authorization: 'Bearer viewer' } });
  await reached.promise;
  stopping.abort();
  const closed = door[Symbol.asyncDispose]();
  held.resolve();
  const { status, headers } = await answer;
  assert.deepEqual([status, headers.get('connection')], [200, 'close']);
  await closed;
});
