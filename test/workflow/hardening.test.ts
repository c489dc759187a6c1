/** What stands between the API and strangers: TLS, listening, limits, headers; and the log of who did what. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { request } from 'node:https';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import type { Orchestrator } from '../../apps/orchestrator/src/main.ts';
import { Api, startInProcess, temporaryDirectory } from './harness.ts';

const LIMIT = 5;
const directory = await temporaryDirectory();
let orchestrator: Orchestrator;
let api: Api;
before(async () => {
  orchestrator = await startInProcess(directory.path, {
    LMAS_FAILED_LOGINS_PER_MINUTE: String(LIMIT),
    LMAS_REQUESTS_PER_MINUTE: '60',
    LMAS_TRUSTED_PROXIES: '127.0.0.1',
    LMAS_AUDIT_MAX_ENTRIES: '20',
  });
  api = await Api.of(orchestrator);
});
after(async () => {
  await orchestrator.stop();
  await directory[Symbol.asyncDispose]();
});

interface AuditList {
  readonly items: Record<string, unknown>[];
  readonly nextCursor: string | null;
  readonly kept: { readonly entries: number; readonly maxEntries: number; readonly oldestAt: string };
}
const auditOf = (query: string) => api.must<AuditList>('GET', `/v1/audit?${query}`);
const from = (address: string) => ({ 'x-forwarded-for': address });

test('no cache on the way keeps an answer, least of all one with a secret in it', async () => {
  const webhook = { id: 'hook', url: 'https://portal.example.org/hook' };
  for (const [method, path, body] of [
    ['GET', '/v1/sites'],
    ['GET', '/v1/sites/not-there'],
    ['POST', '/v1/webhooks', webhook],
    ['POST', '/v1/webhooks/hook/rotate-secret'],
    ['POST', '/v1/api-keys', { name: 'n', role: 'viewer' }],
  ] as const) {
    const { headers } = await api.call(method, path, body);
    assert.equal(headers.get('cache-control'), 'no-store', path);
    assert.equal(headers.get('x-content-type-options'), 'nosniff', path);
  }
});

describe('limits', () => {
  test('failed logins are counted by address; a valid login is served all the same', async () => {
    const stranger = new Api(api.url, 'lmas_wrong');
    for (let i = 0; i < LIMIT; i++) {
      assert.equal((await stranger.call('GET', '/v1/sites', undefined, from('192.0.2.7'))).status, 401);
    }
    const refused = await stranger.call('GET', '/v1/sites', undefined, from('192.0.2.7'));
    assert.deepEqual([refused.status, refused.body.code], [429, 'RATE_LIMITED']);
    const seconds = Number(refused.headers.get('retry-after'));
    assert.ok(seconds > 0 && seconds <= 60);
    assert.equal((await stranger.call('GET', '/v1/sites', undefined, from('192.0.2.8'))).status, 401);
    assert.equal((await api.call('GET', '/v1/sites', undefined, from('192.0.2.7'))).status, 200);
    const { items } = await auditOf('strangers=true');
    const theirs = items.filter(({ address }) => address === '192.0.2.7');
    assert.equal(theirs.length, LIMIT);
    assert.deepEqual([theirs[0]?.caller, theirs[0]?.code], [null, 'UNAUTHENTICATED']);
  });

  test('a caller who calls too often is told when to come back; others go on', async () => {
    const { key } = await api.must<{ key: string }>('POST', '/v1/api-keys', { name: 'busy', role: 'viewer' });
    const busy = new Api(api.url, key);
    for (let i = 0; i < 60; i++) await busy.must('GET', '/v1/caller');
    const refused = await busy.call('GET', '/v1/caller');
    assert.equal(refused.status, 429);
    assert.equal(refused.body.code, 'RATE_LIMITED');
    assert.ok(Number(refused.headers.get('retry-after')) > 0);
    await api.must('GET', '/v1/caller');
  });
});

test('headers: nothing is sniffed, framed, cached by a page; every answer has an id of its own', async () => {
  const answers = [await api.call('GET', '/v1/sites'), await api.call('GET', '/healthz'), await api.call('GET', '/no')];
  for (const { headers } of answers) {
    assert.equal(headers.get('x-content-type-options'), 'nosniff');
    assert.match(headers.get('content-security-policy') ?? '', /default-src 'none'/);
    assert.equal(headers.get('strict-transport-security'), null, 'this is plain HTTP');
  }
  assert.equal(new Set(answers.map(({ headers }) => headers.get('x-request-id'))).size, answers.length);
});

describe('audit', () => {
  test('who, what, on what, from where, how it went; and no body', async () => {
    const made = await api.call('POST', '/v1/sites', { id: 'audited', description: 'MARKER' }, from('192.0.2.9'));
    const [entry] = (await auditOf('operation=createSite&limit=1')).items;
    const { id } = await api.must<{ id: string }>('GET', '/v1/caller');
    assert.deepEqual(
      { ...entry, id: '', at: '', userAgent: '' },
      {
        ...{ id: '', at: '', userAgent: '', requestId: made.headers.get('x-request-id') },
        caller: { kind: 'api-key', id, name: 'first', role: 'admin', project: null },
        ...{ operation: 'createSite', method: 'POST', target: '/v1/sites/audited' },
        ...{ outcome: 'done', status: 201, code: null, address: '192.0.2.9' },
      },
    );
    await api.call('POST', '/v1/sites', { id: 'audited' });
    await api.call('DELETE', '/v1/sites/none');
    const [second, first] = (await auditOf('outcome=refused&limit=2')).items;
    assert.deepEqual([first?.code, first?.target, second?.code], ['ALREADY_EXISTS', '/v1/sites', 'SITE_NOT_FOUND']);
    assert.ok(!JSON.stringify(await auditOf('limit=200')).includes('MARKER'));
    assert.deepEqual((await auditOf('target=/v1/sites/audited')).items.length, 1);
    assert.deepEqual((await auditOf(`since=${new Date(Date.now() + 60_000).toISOString()}`)).items, []);
    assert.deepEqual((await auditOf('until=2020-01-01T00:00:00Z')).items, []);
  });

  test('what only looks is not in it; being refused a look is', async () => {
    const { key, id } = await api.must<{ key: string; id: string }>('POST', '/v1/api-keys', {
      name: 'v',
      role: 'viewer',
    });
    await new Api(api.url, key).call('GET', '/v1/sites');
    await new Api(api.url, key).call('GET', '/v1/api-keys');
    const { items } = await auditOf(`caller=${id}`);
    assert.deepEqual(
      items.map(({ operation, code }) => [operation, code]),
      [['listApiKeys', 'FORBIDDEN']],
    );
  });

  test('it is bounded and says so; pages go on where they stopped; strangers push nothing out', async () => {
    for (let i = 0; i < 22; i++) await api.call('DELETE', '/v1/sites/none');
    for (let i = 0; i < 25; i++) {
      await new Api(api.url, 'x').call('GET', '/v1/sites', undefined, from(`198.51.100.${i}`));
    }
    const whole = await auditOf('limit=200');
    assert.deepEqual([whole.items.length, whole.kept.entries, whole.kept.maxEntries], [20, 20, 20]);
    assert.equal(whole.kept.oldestAt, whole.items.at(-1)?.at);
    const ids: unknown[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const page: AuditList = await auditOf(`limit=7${cursor === '' ? '' : `&cursor=${cursor}`}`);
      ids.push(...page.items.map(({ id }) => id));
      cursor = page.nextCursor;
    }
    assert.deepEqual(
      ids,
      whole.items.map(({ id }) => id),
    );
  });

  test('admins of a project see what callers of that project did, and no strangers', async () => {
    await api.must('POST', '/v1/projects', { id: 'p' });
    const { key } = await api.must<{ key: string }>('POST', '/v1/api-keys', { name: 'n', role: 'admin', project: 'p' });
    const theirs = new Api(api.url, key);
    await theirs.call('DELETE', '/v1/credentials/none');
    const { items } = await theirs.must<AuditList>('GET', '/v1/audit');
    assert.deepEqual(
      items.map(({ operation }) => operation),
      ['deleteCredential'],
    );
    assert.equal((await theirs.call('GET', '/v1/audit?strangers=true')).status, 403);
  });
});

describe('listening', () => {
  test('beyond this machine only with TLS, or when a setting says so in so many words', async () => {
    await using own = await temporaryDirectory();
    await assert.rejects(startInProcess(own.path, { LMAS_HOST: '0.0.0.0' }), { code: 'INVALID_CONFIG' });
    const open = await startInProcess(own.path, { LMAS_HOST: '0.0.0.0', LMAS_ALLOW_PLAIN_HTTP: 'true' });
    await open.stop();
  });

  test('TLS by certificate files', async () => {
    await using own = await temporaryDirectory();
    const [certFile, keyFile] = [join(own.path, 'cert.pem'), join(own.path, 'key.pem')];
    const words = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=localhost'.split(
      ' ',
    );
    execFileSync('openssl', [...words, '-keyout', keyFile, '-out', certFile], { stdio: 'ignore' });
    await assert.rejects(startInProcess(own.path, { LMAS_TLS_CERT_FILE: certFile }), { code: 'INVALID_CONFIG' });
    const served = await startInProcess(own.path, { LMAS_TLS_CERT_FILE: certFile, LMAS_TLS_KEY_FILE: keyFile });
    try {
      assert.match(served.url, /^https:/);
      const key = (await readFile(served.apiKeyFile, 'utf8')).trim();
      const headers = { authorization: `Bearer ${key}` };
      const ca = await readFile(certFile);
      const { status, hsts, body } = await new Promise<{ status?: number; hsts?: string; body: string }>(
        (resolve, reject) => {
          const call = request(`${served.url}/v1/caller`, { ca, headers, servername: 'localhost' }, async (answer) => {
            const hsts = answer.headers['strict-transport-security'];
            resolve({ status: answer.statusCode ?? 0, ...(hsts ? { hsts } : {}), body: await text(answer) });
          });
          call.on('error', reject).end();
        },
      );
      assert.equal(status, 200, body);
      assert.match(hsts ?? '', /max-age=/);
    } finally {
      await served.stop();
    }
  });
});
