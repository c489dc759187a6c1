/** `lmas doctor` at a real orchestrator, in good order and with one thing after the other broken. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Orchestrator } from '../../apps/orchestrator/src/main.ts';
import { type Ended, lmas } from '../support/lmas.ts';
import { Api, freePort, setStage, startInProcess, temporaryDirectory } from './harness.ts';
import { RedisServers } from './redis-servers.ts';

const directory = await temporaryDirectory();
let orchestrator: Orchestrator;
let api: Api;
before(async () => {
  orchestrator = await startInProcess(directory.path);
  api = await Api.of(orchestrator);
});
after(async () => {
  await orchestrator.stop();
  await directory[Symbol.asyncDispose]();
});

const doctor = (env: Record<string, string> = {}, ...flags: string[]): Promise<Ended> =>
  lmas(['doctor', ...flags], { LMAS_URL: orchestrator.url, LMAS_API_KEY: api.key, ...env });

interface Check {
  readonly name: string;
  readonly status: string;
  readonly found: string;
  readonly remedy: string | null;
}

async function checks(env: Record<string, string> = {}): Promise<{ code: number; of: (name: string) => Check }> {
  const { code, out, err } = await doctor(env, '--json');
  const report: { checks: Check[]; summary: Record<string, number> } = JSON.parse(out);
  assert.equal(err, '');
  for (const status of ['ok', 'warning', 'failed', 'skipped']) {
    assert.equal(report.summary[status], report.checks.filter((each) => each.status === status).length);
  }
  const of = (name: string): Check =>
    report.checks.find((each) => each.name === name) ?? assert.fail(`no ${name} in ${out}`);
  return { code, of };
}

test('an installation in good order: every step is named, and nothing but a measurement is missing', async () => {
  await using stage = await setStage(() => api, directory.path);
  const { code, out } = await doctor();
  assert.equal(code, 0, out);
  const names = ['configuration', 'connection', 'orchestrator', 'login', 'version', 'clock', 'redis settings', 'queue'];
  const more = ['processes', 'certificate of the API', 'teardowns', 'webhooks', 'API keys', 'master key'];
  for (const name of [...names, ...more, `endpoint ${stage.source}`, `site ${stage.destination}: SSH`]) {
    assert.match(out, new RegExp(`^ok +${name} `, 'm'), name);
  }
  assert.match(
    out,
    new RegExp(`^WARNING +link ${stage.destination}~${stage.source} +was never measured\n +→ lmas link test`, 'm'),
  );
  assert.doesNotMatch(out, /FAILED/);
});

test('what is wrong is said with what to do, and ends with 1', async () => {
  const stage = await setStage(() => api, directory.path);
  await api.must('PATCH', '/v1/queue', { paused: true });
  await api.must('POST', '/v1/webhooks', { id: 'dead', url: 'https://dead.example.org/hook' });
  await api.must('PATCH', '/v1/webhooks/dead', { enabled: false }, { 'if-match': '*' });
  const soon = new Date(Date.now() + 24 * 3_600_000).toISOString();
  await api.must('POST', '/v1/api-keys', { name: 'ends tomorrow', role: 'viewer', expiresAt: soon });
  await stage[Symbol.asyncDispose](); // the hypervisors and the gateway machines of this world are gone
  try {
    const { code, of } = await checks();
    assert.equal(code, 1);
    assert.equal(of('queue').status, 'warning');
    assert.match(of('queue').found, /^paused since 2/);
    assert.equal(of('queue').remedy, 'lmas queue resume');
    assert.match(of('webhook dead').found, /switched off/);
    assert.match(of('API keys').found, /^about to expire: [a-z0-9]{12} \(ends tomorrow\)/);
    const endpoint = of(`endpoint ${stage.source}`);
    assert.deepEqual([endpoint.status, endpoint.found.split(':')[0]], ['failed', 'UNREACHABLE']);
    const machine = of(`site ${stage.source}: SSH`);
    assert.deepEqual([machine.status, machine.found.split(':')[0]], ['failed', 'GATEWAY_UNREACHABLE']);
  } finally {
    await api.must('PATCH', '/v1/queue', { paused: false });
    for (const id of [stage.source, stage.destination]) {
      await api.must('DELETE', `/v1/endpoints/${id}`);
      await api.must('DELETE', `/v1/sites/${id}`);
    }
  }
});

test('whoever may see less is told what was left out', async () => {
  await using stage = await setStage(() => api, directory.path);
  const { key } = await api.must<{ key: string }>('POST', '/v1/api-keys', { name: 'looks', role: 'viewer' });
  const { code, of } = await checks({ LMAS_API_KEY: key });
  assert.equal(code, 0);
  assert.equal(of('queue').status, 'ok');
  for (const name of ['API keys', 'master key', `site ${stage.source}`, `endpoint ${stage.source}`]) {
    assert.equal(of(name).status, 'skipped', name);
    assert.match(of(name).found, /role (admin|operator)/, name);
  }
});

test('an API that nobody works for says so', async () => {
  await using servers = new RedisServers(directory.path);
  const settings = { REDIS_URL: `redis://127.0.0.1:${await servers.start()}`, LMAS_ROLE: 'api' };
  const alone = await startInProcess(join(directory.path, 'api'), settings);
  try {
    const { code, of } = await checks({ LMAS_URL: alone.url, LMAS_API_KEY: (await Api.of(alone)).key });
    assert.equal(code, 1);
    assert.match(of('processes').found, /^0 that run migrations/);
    assert.equal(of('redis settings').status, 'ok');
  } finally {
    await alone.stop();
  }
});

test('the certificate is looked at from both sides', async () => {
  const [certFile, keyFile] = [join(directory.path, 'cert.pem'), join(directory.path, 'key.pem')];
  const words = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '5'];
  const name = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  execFileSync('openssl', [...words, ...name, '-keyout', keyFile, '-out', certFile], { stdio: 'ignore' });
  const settings = { LMAS_TLS_CERT_FILE: certFile, LMAS_TLS_KEY_FILE: keyFile };
  const secure = await startInProcess(join(directory.path, 'tls'), settings);
  try {
    const LMAS_URL = secure.url.replace('127.0.0.1', 'localhost');
    const { key } = await Api.of(secure);
    const { code, of } = await checks({ LMAS_URL, LMAS_API_KEY: key, NODE_EXTRA_CA_CERTS: certFile });
    assert.equal(code, 0);
    for (const side of ['certificate seen here', 'certificate of the API']) {
      assert.equal(of(side).status, 'warning', side);
      assert.match(of(side).found, /^(valid until|expires on) 2\d{3}-\d\d-\d\d$/);
    }
    const untrusting = await checks({ LMAS_URL, LMAS_API_KEY: key });
    assert.equal(untrusting.code, 3);
    assert.match(untrusting.of('connection').found, /^UNTRUSTED: /);
  } finally {
    await secure.stop();
  }
});

test('how far it came is in the exit code', async () => {
  const away = await checks({ LMAS_URL: `http://127.0.0.1:${await freePort()}` });
  assert.equal(away.code, 3);
  assert.match(away.of('connection').found, /^UNREACHABLE: Nothing listens/);
  assert.match(away.of('connection').remedy ?? '', /Is the orchestrator running/);
  assert.equal(away.of('everything else').status, 'skipped');
  const stranger = await checks({ LMAS_API_KEY: 'wrong' });
  assert.deepEqual([stranger.code, stranger.of('login').status], [4, 'failed']);
  const { code, out } = await doctor({ LMAS_API_KEY: '', LMAS_DATA_DIR: '/nonexistent' });
  assert.equal(code, 2);
  assert.match(out, /^FAILED +configuration +NO_API_KEY: /m);
});
