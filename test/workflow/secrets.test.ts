/**
 * Marks every secret that can go in, uses them all, well and badly, and looks for them in everything that comes out:
 * answers, events, webhooks, traces, logs at the finest level, the files of Redis, command lines, children's environments, and the
 * report of a crash.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Issuer } from '../../apps/orchestrator/src/testing/oidc-issuer.ts';
import { sshdMissing, startSshd } from '../../packages/ssh/src/testing/sshd.ts';
import { receiveTraces } from '../support/trace-receiver.ts';
import { receiveWebhooks } from '../support/webhook-receiver.ts';
import { type Answer, Api, SHORT, setStage, temporaryDirectory } from './harness.ts';

const MAIN = fileURLToPath(new URL('../../apps/orchestrator/src/main.ts', import.meta.url));

/** Everything that came out, by where it came from. */
class Outputs {
  readonly texts: { where: string; text: string }[] = [];

  add(where: string, text: string): void {
    this.texts.push({ where, text });
  }

  async addFiles(directory: string, isMeant: (name: string) => boolean): Promise<void> {
    const files = await readdir(directory, { recursive: true, withFileTypes: true });
    for (const file of files.filter((entry) => entry.isFile() && !isMeant(entry.name))) {
      const path = join(file.parentPath, file.name);
      this.add(path, await readFile(path, 'latin1'));
    }
  }
}

/** A caller that keeps every answer, but for those that show a new secret on purpose. */
class RecordingApi extends Api {
  readonly #outputs: Outputs;

  constructor(url: string, key: string, outputs: Outputs) {
    super(url, key);
    this.#outputs = outputs;
  }

  as(key: string): RecordingApi {
    return new RecordingApi(this.url, key, this.#outputs);
  }

  override async call(...[method, path, body, headers]: Parameters<Api['call']>): Promise<Answer> {
    const answer = await super.call(method, path, body, headers);
    const { key: _, secret: __, ...shown } = answer.body;
    this.#outputs.add(`${method} ${path}`, JSON.stringify([[...answer.headers], shown]));
    return answer;
  }
}

/** The command lines of all processes, looked at again and again. */
async function watchCommandLines(outputs: Outputs, signal: AbortSignal): Promise<void> {
  const seen = new Set<string>();
  while (!signal.aborted) {
    for (const pid of await readdir('/proc')) {
      if (/^\d+$/.test(pid)) seen.add(await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '')); // it has ended
    }
    await sleep(25);
  }
  outputs.add('command lines', [...seen].join('\n'));
}

test('a secret that goes in never comes out', { timeout: 120_000, skip: sshdMissing() }, async () => {
  await using directory = await temporaryDirectory();
  await using sshd = await startSshd();
  await using receiver = await receiveWebhooks();
  await using collector = await receiveTraces();
  const [dataDir, reports, oidcFile] = [
    join(directory.path, 'data'),
    join(directory.path, 'r'),
    join(directory.path, 'o'),
  ];
  await mkdir(reports);
  const issuer = new Issuer();
  await issuer.listen();
  await issuer.addKey('k1');
  const grants = [{ claim: 'groups', value: 'ops', role: 'operator', project: null }];
  await writeFile(oidcFile, JSON.stringify({ issuer: issuer.url, audience: 'lmas', grants }));

  const outputs = new Outputs();
  const secrets = new Map<string, string>();
  const mark = (name: string, text = `MARKER-${randomUUID()}`): string => {
    secrets.set(name, text);
    return text;
  };
  const masterKey = mark('master key', randomBytes(32).toString('base64'));
  secrets.set('master key, in hexadecimal', Buffer.from(masterKey, 'base64').toString('hex'));
  const watching = new AbortController();
  const commandLines = watchCommandLines(outputs, watching.signal);

  const report = ['--report-on-signal', '--report-signal=SIGUSR2', `--report-directory=${reports}`];
  const child = spawn(process.execPath, [...report, MAIN], {
    env: {
      ...{ ...process.env, ...SHORT, LMAS_DATA_DIR: dataDir, LMAS_LOG_LEVEL: 'debug', LMAS_MASTER_KEY: masterKey },
      ...{ LMAS_PLUGINS: '@lmas/plugin-kvm,@lmas/plugin-simulated', LMAS_OIDC_FILE: oidcFile },
      ...{ LMAS_WEBHOOK_ALLOW: '127.0.0.0/8' },
      ...{ OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint, OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' },
      OTEL_EXPORTER_OTLP_HEADERS: `x-key=${mark('key of the collector')}`,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  try {
    let log = '';
    child.stderr.on('data', (chunk) => {
      log += String(chunk);
    });
    const url = await new Promise<string>((resolve, reject) => {
      child.once('exit', () => reject(new Error(log)));
      createInterface({ input: child.stdout }).on('line', (line) => {
        log += `${line}\n`;
        if (line.includes('"msg":"ready"')) resolve(String(JSON.parse(line).url));
      });
    });
    const key = mark('first API key', (await readFile(join(dataDir, 'api-key'), 'utf8')).trim());
    const api = new RecordingApi(url, key, outputs);

    // Logins: good, former, revoked, wrong, in the wrong place.
    const made =
      (await api.must<{ id: string; key: string }>('POST', '/v1/api-keys', { name: 'n', role: 'admin' })) ?? {};
    mark('API key', made.key);
    const rotated = await api.must<{ key: string }>('POST', `/v1/api-keys/${made.id}/rotate`, { graceMs: 0 });
    mark('rotated API key', rotated.key);
    await api.as(rotated.key).must('GET', '/v1/caller');
    await api.as(made.key).call('GET', '/v1/caller');
    await api.as(mark('wrong login')).call('GET', '/v1/caller');
    await api
      .as(mark('well-formed wrong key', `lmas_${'a'.repeat(12)}_${randomBytes(32).toString('base64url')}`))
      .call('POST', '/v1/sites', { id: 'x' });
    const basic = Buffer.from(`user:${mark('basic login')}`).toString('base64');
    await api.call('GET', '/v1/caller', undefined, { authorization: `Basic ${mark('basic header', basic)}` });
    await api.call('GET', `/v1/sites?api_key=${mark('key in the address')}`);
    await api.call('GET', `/nowhere?api_key=${mark('key in a wrong address')}`);
    await api.as(mark('token', await issuer.token())).must('GET', '/v1/caller');
    await api.as(mark('expired token', await issuer.token({}, { expiresInS: -600 }))).call('GET', '/v1/caller');
    await api.as(mark('poor token', await issuer.token({ groups: [] }))).call('GET', '/v1/caller');

    // Credentials of every kind, accepted and refused.
    const lineOf = (pem: string): string => pem.split('\n')[3] ?? assert.fail('a key has more lines');
    const password = { id: 'pw', kind: 'password', username: 'u', password: mark('password') };
    await api.must('POST', '/v1/credentials', password);
    await api.call('POST', '/v1/credentials', password);
    await api.call('POST', '/v1/credentials', { ...password, id: 'pw2', password: [mark('password in a list')] });
    await api.call('POST', '/v1/credentials', { ...password, unknown: mark('password in an unknown field') });
    mark('private key', lineOf(sshd.strangerKey));
    mark('encrypted private key', lineOf(sshd.encryptedKey));
    const passphrase = mark('passphrase', sshd.passphrase);
    const ssh = { kind: 'ssh-key', username: sshd.username };
    await api.must('POST', '/v1/credentials', { ...ssh, id: 'stranger', privateKey: sshd.strangerKey });
    await api.must('POST', '/v1/credentials', { ...ssh, id: 'locked', privateKey: sshd.encryptedKey, passphrase });
    for (const wrong of [mark('wrong passphrase'), undefined]) {
      const body = { ...ssh, id: 'wrong', privateKey: sshd.encryptedKey, passphrase: wrong };
      assert.equal((await api.call('POST', '/v1/credentials', body)).status, 422);
    }
    await api.call('POST', '/v1/credentials', { ...ssh, id: 'wrong', privateKey: mark('what is no key') });
    const broken = await fetch(`${url}/v1/credentials`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: `{"id":"x","password": ${mark('password in broken JSON')}`,
    });
    outputs.add('broken JSON', await broken.text());

    // All of them in use: logins that are refused, that succeed and find nothing, and a migration.
    const config = {
      host: sshd.host,
      port: sshd.port,
      hostKeys: [sshd.hostKeys.ed25519],
      migrationAddress: '192.0.2.1',
    };
    await api.must('POST', '/v1/sites', { id: 's' });
    for (const credential of ['stranger', 'locked', 'pw']) {
      await api.must('POST', '/v1/endpoints', { id: credential, site: 's', plugin: 'kvm', credential, config });
      await api.call('GET', `/v1/endpoints/${credential}/inventory`);
    }
    const hook = await api.must<{ secret: string }>('POST', '/v1/webhooks', { id: 'hook', url: receiver.url });
    mark('webhook secret', hook.secret);
    mark('webhook secret without its prefix', hook.secret.replace('whsec_', ''));
    await api.call('POST', '/v1/webhooks/hook/test');
    await using stage = await setStage(() => api, directory.path);
    mark('password of the stage', `secret-${stage.source.replace('-source', '')}`);
    const migration = await stage.submit({ transport: 'direct' });
    const events = await fetch(`${url}/v1/migrations/${migration.id}/events`, {
      headers: { authorization: `Bearer ${key}` },
    });
    outputs.add('events', await events.text());
    assert.equal((await api.migration(migration.id)).phase, 'succeeded');
    await api.must('POST', '/v1/master-key/rotate');
    const paths = [
      'credentials',
      'api-keys',
      'audit?limit=200',
      'audit?strangers=true',
      'endpoints',
      'sites',
      'webhooks',
    ];
    for (const path of [...paths, 'migrations', 'webhooks/hook/deliveries', 'master-key', 'projects']) {
      await api.must('GET', `/v1/${path}`);
    }

    // What is left behind: a report as of a crash, the children's environments, the log, and what Redis has on disk.
    child.kill('SIGUSR2');
    const deadline = performance.now() + 20_000;
    while ((await readdir(reports)).length === 0) {
      assert.ok(performance.now() < deadline, 'no report');
      await sleep(50);
    }
    await sleep(500); // it is being written
    await outputs.addFiles(reports, () => false);
    const redisPid = (await readFile(join(dataDir, 'redis', 'redis.pid'), 'utf8')).trim();
    outputs.add('environment of redis-server', await readFile(`/proc/${redisPid}/environ`, 'latin1'));
    await outputs.addFiles(dataDir, (name) => name === 'api-key');
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    await exited;
    outputs.add('log', log);
    await outputs.addFiles(dataDir, (name) => name === 'api-key');
    outputs.add('traces', collector.posts.map(({ body }) => body.toString('utf8')).join('\n'));
    outputs.add('webhooks', JSON.stringify(receiver.received ?? []));
  } finally {
    child.kill('SIGKILL');
    issuer.close();
    watching.abort();
    await commandLines;
  }

  // The search itself is shown to work: this is known to be there.
  const all = outputs.texts.map(({ text }) => text).join('\n');
  for (const known of [
    'INVALID_CREDENTIAL',
    'audit',
    '"level":20',
    'redis-server',
    'javascriptStack',
    'pw',
    'stage performing',
  ]) {
    assert.ok(all.includes(known), `${known} should be in what was searched`);
  }
  for (const [name, secret] of secrets) {
    const forms = [secret, Buffer.from(secret).toString('base64').replace(/=+$/, ''), encodeURIComponent(secret)];
    for (const { where, text } of outputs.texts) {
      for (const form of forms) {
        const at = text.indexOf(form);
        const around = text.slice(Math.max(0, at - 120), at);
        assert.equal(at, -1, `${name} is in ${where}, after: ${around}`);
      }
    }
  }
});
