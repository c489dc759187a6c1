/**
 * The orchestrator as people start it, with a Redis that is not there, comes late, falls silent, takes no writes, or is killed for good:
 * what is wrong is said in words at once, no call hangs, and SIGTERM always ends it.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLog } from '../../apps/orchestrator/src/log.ts';
import { connect } from '../../apps/orchestrator/src/redis/connect.ts';
import { keys } from '../../apps/orchestrator/src/redis/keys.ts';
import { startPrivateRedis } from '../../apps/orchestrator/src/redis/private-server.ts';
import { startSilentProxy } from '../../apps/orchestrator/src/testing/silent-proxy.ts';
import { receiveWebhooks } from '../support/webhook-receiver.ts';
import { OrchestratorProcess } from './child.ts';
import { Api, freePort, setStage, startInProcess, temporaryDirectory } from './harness.ts';
import { OrchestratorCommand as Orchestrator, status } from './orchestrator-command.ts';
import { RedisServers } from './redis-servers.ts';

test('a Redis that cannot be reached is told at once, in the log and by /readyz; when it comes, all goes on', async () => {
  await using directory = await temporaryDirectory();
  const [redisPort, port] = [await freePort(), await freePort()];
  await using orchestrator = new Orchestrator({
    REDIS_URL: `redis://:hidden-word@127.0.0.1:${redisPort}`,
    LMAS_DATA_DIR: directory.path,
    LMAS_PORT: String(port),
    LMAS_RUN_LEASE: '1000',
  });
  await orchestrator.says(/LMAS_RUN_LEASE is no setting; did you mean LMAS_RUN_LEASE_MS\?/);
  await orchestrator.says(new RegExp(`Redis \\(redis://127.0.0.1:${redisPort}\\) cannot be used: .*ECONNREFUSED`));
  const url = `http://127.0.0.1:${port}`;
  await orchestrator.until(async () => (await status(`${url}/readyz`)).status === 503);
  assert.match((await status(`${url}/readyz`)).body, /"ready":false.*ECONNREFUSED/);
  assert.equal((await status(`${url}/healthz`)).status, 200);
  const refused = await status(`${url}/v1/migrations`);
  assert.deepEqual([refused.status, JSON.parse(refused.body).code], [503, 'UNAVAILABLE']);

  const durable = ['--save', '', '--appendonly', 'yes', '--appendfsync', 'always', '--dir', directory.path];
  const where = ['--bind', '127.0.0.1', '--port', String(redisPort), '--requirepass', 'hidden-word'];
  const redis = spawn('redis-server', [...where, ...durable], { stdio: 'ignore' });
  try {
    await orchestrator.until(async () => (await status(`${url}/readyz`)).status === 200);
    assert.equal((await orchestrator.terminate()).code, 0);
    assert.ok(!orchestrator.lines.join().includes('hidden-word'), 'the password is nobody’s to read');
  } finally {
    redis.kill('SIGKILL');
    await once(redis, 'exit');
  }
});

test('SIGTERM ends one that still waits for its Redis', async () => {
  await using directory = await temporaryDirectory();
  await using orchestrator = new Orchestrator({
    REDIS_URL: `redis://127.0.0.1:${await freePort()}`,
    LMAS_DATA_DIR: directory.path,
    LMAS_PORT: String(await freePort()),
  });
  await orchestrator.says(/cannot be used/);
  const { code, ms } = await orchestrator.terminate();
  assert.equal(code, 0);
  assert.ok(ms < 5_000, `${ms} ms`);
});

test('SIGTERM ends one whose private Redis was killed for good, and it says what happened', async () => {
  await using directory = await temporaryDirectory();
  const program = join(directory.path, 'redis-server');
  await symlink('/usr/bin/redis-server', program);
  const port = await freePort();
  await using orchestrator = new Orchestrator({
    LMAS_REDIS_SERVER: program,
    LMAS_DATA_DIR: directory.path,
    LMAS_PORT: String(port),
  });
  await orchestrator.says(/"ready"/);
  await rm(program);
  process.kill(Number(await readFile(join(directory.path, 'redis/redis.pid'), 'utf8')), 'SIGKILL');
  await orchestrator.says(/the private Redis does not start/);
  const readiness = await status(`http://127.0.0.1:${port}/readyz`);
  assert.equal(readiness.status, 503);
  assert.match(readiness.body, /cannot be used: Cannot run .*\. Install redis-server\. Nothing works without it/);
  const { code, ms } = await orchestrator.terminate();
  assert.equal(code, 0);
  assert.ok(ms < 30_000, `${ms} ms`);
  await orchestrator.says(/Redis does not answer: ending without it/);
});

test('a Redis that stands still is told everywhere within seconds, no call hangs on it, and all goes on when it goes on', async () => {
  await using directory = await temporaryDirectory();
  await using servers = new RedisServers(directory.path);
  const redisPort = await servers.start();
  const keyFile = join(directory.path, 'key');
  await writeFile(keyFile, randomBytes(32).toString('base64'), { mode: 0o600 });
  const start = async (role: string) => {
    const port = String(await freePort());
    const settings = {
      ...{ REDIS_URL: `redis://127.0.0.1:${redisPort}`, LMAS_REDIS_SILENCE_MS: '1000', LMAS_ROLE: role },
      ...{ LMAS_MASTER_KEY_FILE: keyFile, LMAS_DATA_DIR: join(directory.path, role), LMAS_PORT: port },
    };
    return Object.assign(new Orchestrator(settings), { url: `http://127.0.0.1:${port}` });
  };
  await using api = await start('api');
  await api.says(/"ready"/);
  await using worker = await start('worker');
  await using scheduler = await start('scheduler');
  const processes = [api, worker, scheduler];
  for (const { url } of processes) await api.until(async () => (await status(`${url}/readyz`)).status === 200);
  const key = (await readFile(join(directory.path, 'api/api-key'), 'utf8')).trim();
  const caller = new Api(api.url, key);

  servers.signal(redisPort, 'SIGSTOP');
  const credential = { id: 'c', kind: 'password', username: 'u', password: 'p' };
  const calls = await Promise.all([
    caller.call('GET', '/v1/migrations'),
    caller.call('POST', '/v1/credentials', credential),
    caller.call('GET', '/metrics'),
  ]);
  for (const { status: code, body, headers } of calls) {
    assert.deepEqual([code, body.code, headers.get('retry-after')], [503, 'UNAVAILABLE', '5'], JSON.stringify(body));
    assert.match(String(body.detail), /Redis went away in the middle.*look first.*Idempotency-Key/);
  }
  for (const orchestrator of processes) {
    await orchestrator.says(/Redis \(redis:.*\) cannot be used: no answer for 1000 ms/);
    const { status: code, body } = await status(`${orchestrator.url}/readyz`);
    assert.equal(code, 503);
    assert.match(body, /"ready":false.*cannot be used/);
  }
  const refused = await caller.call('GET', '/v1/migrations');
  assert.deepEqual([refused.status, refused.body.code], [503, 'UNAVAILABLE']);
  assert.match(String(refused.body.detail), /Redis \(redis:.*cannot be used.*Try again in a moment.*\/readyz/);

  const { code: exitCode, ms } = await scheduler.terminate();
  assert.equal(exitCode, 0);
  assert.ok(ms < 30_000, `${ms} ms`);

  servers.signal(redisPort, 'SIGCONT');
  for (const { url } of [api, worker]) await api.until(async () => (await status(`${url}/readyz`)).status === 200);
  await api.says(/Redis \(redis:.*\) answers/);
  assert.equal((await caller.call('GET', '/v1/migrations')).status, 200);
  // Those bytes were in the kernel's hands: whether it was made is what nobody could say, and is looked up.
  const made = (await caller.call('GET', '/v1/credentials/c')).status === 200;
  assert.equal((await caller.call('POST', '/v1/credentials', credential)).status, made ? 409 : 201);
  for (const orchestrator of [api, worker]) assert.equal((await orchestrator.terminate()).code, 0);
});

test('connections that fall silent are replaced: runs, cancels, events and submissions go on, and nothing is doubled', async () => {
  await using directory = await temporaryDirectory();
  const redisDir = join(directory.path, 'r');
  await mkdir(redisDir);
  const server = await startPrivateRedis('redis-server', redisDir, createLog('silent'));
  await using _server = { [Symbol.asyncDispose]: () => server.stop() };
  await using proxy = await startSilentProxy(server.socketPath);
  const orchestrator = await startInProcess(join(directory.path, 'o'), {
    ...{ REDIS_URL: `redis://127.0.0.1:${proxy.port}`, LMAS_REDIS_SILENCE_MS: '500', LMAS_RUN_LEASE_MS: '6000' },
  });
  await using _orchestrator = { [Symbol.asyncDispose]: () => orchestrator.stop() };
  const api = await Api.of(orchestrator);
  const until = async (ok: boolean) => {
    while ((await status(`${api.url}/readyz`)).status !== (ok ? 200 : 503)) await sleep(20);
  };
  await using stage = await setStage(() => api, directory.path);
  await using other = await setStage(() => api, directory.path);
  const hold = stage.world.faults.arm('source.perform', 'hold-before');
  const { id } = await stage.submit();
  await hold.reached;
  const headers = { authorization: `Bearer ${api.key}` };
  const events = await fetch(`${api.url}/v1/migrations/${id}/events`, { headers });
  const heard: string[] = [];
  const reading = (async () => {
    for await (const chunk of events.body ?? []) heard.push(Buffer.from(chunk).toString('utf8'));
  })();
  while (!heard.join('').includes('performing')) await sleep(20);

  const request = { source: other.source, destination: other.destination, vm: other.vmId };
  const submit = () => api.call('POST', '/v1/migrations', request, { 'idempotency-key': 'once' });
  proxy.fallSilent();
  const [lost] = await Promise.all([submit(), until(false)]);
  assert.deepEqual([lost.status, lost.body.code], [503, 'UNAVAILABLE']);
  proxy.speakAgain();
  await until(true);
  const [first, second] = await Promise.all([submit(), submit()]);
  assert.deepEqual([first.status, second.status, second.body.id], [202, 202, first.body.id]);
  const { items } = await api.must<{ items: unknown[] }>('GET', '/v1/migrations');
  assert.equal(items.length, 2);
  other.assertClean(await api.ended(String(first.body.id)));

  assert.equal((await api.call('POST', `/v1/migrations/${id}/cancel`)).status, 202);
  hold.release();
  const ended = await api.ended(id);
  assert.deepEqual([ended.phase, ended.runs], ['cancelled', 1], 'the run kept its lease');
  stage.assertClean(ended);
  await reading;
  assert.match(heard.join(''), /"type":"cancel-requested"[\s\S]*"type":"end"/, 'the stream went on');
});

test('an orchestrator on a Redis of others that is killed and started again takes its migrations up at once', async () => {
  await using directory = await temporaryDirectory();
  await using servers = new RedisServers(directory.path);
  const keyFile = join(directory.path, 'master-key');
  await writeFile(keyFile, randomBytes(32).toString('base64'), { mode: 0o600 });
  const lease = { LMAS_RUN_LEASE_MS: '600000', LMAS_REDIS_SILENCE_MS: '1000' };
  await using orchestrator = new OrchestratorProcess(join(directory.path, 'o'), {
    ...{ ...lease, REDIS_URL: `redis://127.0.0.1:${await servers.start()}`, LMAS_MASTER_KEY_FILE: keyFile },
  });
  await orchestrator.start();
  await using stage = await setStage(() => orchestrator.api, directory.path);
  const hold = stage.world.faults.arm('source.perform', 'hold-before');
  const { id } = await stage.submit();
  await hold.reached;
  await orchestrator.end('SIGKILL');
  await orchestrator.start();
  hold.release();
  const ended = await orchestrator.api.ended(id, 30_000);
  assert.equal(ended.runs, 2);
  stage.assertClean(ended);
});

test('a call that breaks off between its steps leaves nothing half-done: what it has begun comes to its end, or is not there', async () => {
  await using directory = await temporaryDirectory();
  const redisDir = join(directory.path, 'r');
  await mkdir(redisDir);
  const server = await startPrivateRedis('redis-server', redisDir, createLog('silent'));
  await using _server = { [Symbol.asyncDispose]: () => server.stop() };
  const direct = connect(server, createLog('silent'));
  using _direct = { [Symbol.dispose]: () => direct.disconnect() };
  await using proxy = await startSilentProxy(server.socketPath);
  const orchestrator = await startInProcess(join(directory.path, 'o'), {
    ...{ REDIS_URL: `redis://127.0.0.1:${proxy.port}`, LMAS_REDIS_SILENCE_MS: '500', LMAS_RUN_LEASE_MS: '6000' },
    LMAS_WEBHOOK_ALLOW: '127.0.0.0/8',
  });
  await using _orchestrator = { [Symbol.asyncDispose]: () => orchestrator.stop() };
  const api = await Api.of(orchestrator);
  await using stage = await setStage(() => api, directory.path);
  await using other = await setStage(() => api, directory.path);
  await using receiver = await receiveWebhooks();
  /** The call, of whose commands this one is the last that Redis gets. */
  const breakOff = async (last: RegExp, method: string, path: string, body?: unknown): Promise<void> => {
    proxy.fallSilentAfter(last);
    const answer = await api.call(method, path, body);
    assert.deepEqual([answer.status, answer.body.code], [503, 'UNAVAILABLE'], JSON.stringify(answer.body));
    proxy.speakAgain();
    while ((await status(`${api.url}/readyz`)).status !== 200) await sleep(20);
  };
  await api.must('POST', '/v1/webhooks', { id: 'hook', url: receiver.url, events: ['migration.confirming'] });
  const { id: message } = await api.must<{ id: string }>('POST', '/v1/webhooks/hook/test');
  await receiver.until(1);
  await api.must('PATCH', '/v1/queue', { paused: true });
  // So that Redis knows the scripts, which are then sent by their digests alone.
  const { id: former } = await other.submit();
  await api.must('PATCH', `/v1/migrations/${former}`, { bandwidthBytesPerSec: 8_000_000 });
  await api.must('POST', `/v1/migrations/${former}/cancel`);
  assert.equal((await api.ended(former)).phase, 'cancelled');

  const { id } = await stage.submit();
  const change = { bandwidthBytesPerSec: 9_000_000 };
  await breakOff(/evalsha.*\{lmas\}:changes/s, 'PATCH', `/v1/migrations/${id}`, change);
  assert.deepEqual((await api.migration(id)).changes, change);
  assert.equal(await direct.hget(keys.bandwidth, id), '9000000', 'what the record says was changed is changed');

  await breakOff(/evalsha.*cancel-requested/s, 'POST', `/v1/migrations/${id}/cancel`);
  assert.equal((await api.ended(id)).phase, 'cancelled', 'the next look at what is overdue ends it');

  await breakOff(/evalsha.*"status":"pending"/s, 'POST', `/v1/webhooks/hook/deliveries/${message}/redeliver`);
  await breakOff(/evalsha.*"status":"pending"/s, 'POST', '/v1/webhooks/hook/test');
  const abandoned = await direct.zrange(keys.webhooksPending, 0, -1);
  assert.ok(abandoned.length === 2 && abandoned.includes(message), String(abandoned));
  const longAgo = Date.now() - 60_000; // nobody waits here until it is
  await direct.zadd(keys.webhooksPending, 'XX', ...abandoned.flatMap((each) => [longAgo, each]));
  await receiver.until(3);
  while ((await direct.zcard(keys.webhooksPending)) > 0) await sleep(20);
  const { items } = await api.must<{ items: { status: string }[] }>('GET', '/v1/webhooks/hook/deliveries');
  assert.deepEqual(
    items.map((delivery) => delivery.status),
    ['delivered', 'delivered'],
  );
});

/** An orchestrator over a Redis of its own that can be told anything; `refusals` are calls that change nothing, with their answers. */
async function overRedis(directory: string, servers: RedisServers) {
  const redisPort = await servers.start();
  const port = String(await freePort());
  const settings = { REDIS_URL: `redis://127.0.0.1:${redisPort}`, LMAS_DATA_DIR: directory, LMAS_PORT: port };
  const orchestrator = new Orchestrator(settings);
  await orchestrator.says(/"ready"/);
  const url = `http://127.0.0.1:${port}`;
  const key = (await readFile(join(directory, 'api-key'), 'utf8')).trim();
  const tell = (...command: string[]) => servers.command(redisPort, command);
  const ready = async () => {
    const { status: code, body } = await status(`${url}/readyz`);
    return { code, body };
  };
  return { orchestrator, api: new Api(url, key), tell, ready };
}

const REFUSALS = [
  { method: 'POST', path: '/v1/sites', body: { nonsense: true }, expected: 400 },
  { method: 'DELETE', path: '/v1/sites/not-there', expected: 404 },
  { method: 'DELETE', path: '/v1/sites/not-there', login: 'nobody', expected: 401 },
  { method: 'GET', path: '/v1/sites', login: '', expected: 401 },
];
const SITE = { id: 'a', description: 'one' };

/** Every answer is a problem with its own status, and has nothing of what Redis said. */
async function assertProblems(api: Api): Promise<void> {
  for (const { method, path, body, login, expected } of REFUSALS) {
    const headers = login === undefined ? {} : { authorization: `Bearer ${login}` };
    const answer = await api.call(method, path, body, headers);
    assertProblem(answer, expected);
  }
}

function assertProblem(answer: Awaited<ReturnType<Api['call']>>, expected: number): void {
  const said = JSON.stringify(answer.body);
  assert.equal(answer.headers.get('content-type'), 'application/problem+json', said);
  assert.deepEqual([answer.status, answer.body.status], [expected, expected], said);
  assert.doesNotMatch(said, /command not allowed|maxmemory|script:|Stream isn|WRONGTYPE|READONLY/);
}

test('a Redis whose memory is full is not ready, and every answer stays a problem in our words', async () => {
  await using directory = await temporaryDirectory();
  await using servers = new RedisServers(directory.path);
  const { orchestrator, api, tell, ready } = await overRedis(join(directory.path, 'o'), servers);
  await using _orchestrator = orchestrator;
  assert.equal((await ready()).code, 200);
  await tell('CONFIG', 'SET', 'maxmemory', '1mb');
  await assertProblems(api);
  const refused = await api.call('POST', '/v1/sites', SITE);
  assertProblem(refused, 503);
  assert.match(String(refused.body.detail), /Redis takes no writes now/);
  await orchestrator.says(/"audit":\{.*"status":503.*this entry is not in the audit log/);

  await orchestrator.until(async () => (await ready()).code === 503, 5_000);
  assert.match((await ready()).body, /"ready":false.*its memory is full \(OOM\)\. Raise its `maxmemory`/);
  await tell('CONFIG', 'SET', 'maxmemory', '0');
  await orchestrator.until(async () => (await ready()).code === 200, 5_000);
  assert.equal((await api.call('POST', '/v1/sites', SITE)).status, 201);
  assert.equal((await orchestrator.terminate()).code, 0);
});

test('a master that has become a replica is not ready, and every answer stays a problem in our words', async () => {
  await using directory = await temporaryDirectory();
  await using servers = new RedisServers(directory.path);
  const { orchestrator, api, tell, ready } = await overRedis(join(directory.path, 'o'), servers);
  await using _orchestrator = orchestrator;
  await tell('REPLICAOF', '127.0.0.1', String(await freePort()));
  for (let i = 0; i < 20; i++) {
    const answer = await api.call('POST', '/v1/sites', SITE);
    assertProblem(answer, 503);
  }
  await orchestrator.until(async () => /it is a replica \(READONLY\)/.test((await ready()).body), 5_000);
  assert.equal((await ready()).code, 503);
  await tell('REPLICAOF', 'NO', 'ONE');
  await orchestrator.until(async () => (await ready()).code === 200, 5_000);
  assert.equal((await orchestrator.terminate()).code, 0);
});

test('where only the audit entry fails, the caller has the true answer, and the entry is kept in the log and counted', async () => {
  await using directory = await temporaryDirectory();
  await using servers = new RedisServers(directory.path);
  const { orchestrator, api, tell } = await overRedis(join(directory.path, 'o'), servers);
  await using _orchestrator = orchestrator;
  for (const key of [keys.audit, keys.auditStrangers]) {
    await tell('DEL', key);
    await tell('SET', key, 'no stream');
  }
  const made = await api.call('POST', '/v1/sites', SITE);
  assert.deepEqual([made.status, made.body.id], [201, 'a'], JSON.stringify(made.body));
  await assertProblems(api);
  const lines = orchestrator.lines.filter((line) => /this entry is not in the audit log/.test(line));
  const entries = lines.map(
    (line) => JSON.parse(line) as { level: unknown; audit: { operation: string; status: number } },
  );
  assert.deepEqual(
    entries.map(({ audit }) => [audit.operation, audit.status]),
    [
      ['createSite', 201],
      ['createSite', 400],
      ['deleteSite', 404],
      ['deleteSite', 401],
      ['listSites', 401],
    ],
  );
  assert.ok(
    lines.every((line) => /"level":(50|"error")/.test(line)),
    String(lines[0]),
  );
  const metrics = await fetch(`${api.url}/metrics`, { headers: { authorization: `Bearer ${api.key}` } });
  assert.match(await metrics.text(), /^lmas_audit_entries_lost_total 5$/m);
  const { checks } = await api.must<{ checks: { name: string; status: string; found: string }[] }>(
    'GET',
    '/v1/diagnosis',
  );
  const check = checks.find(({ name }) => name === 'audit log');
  assert.deepEqual([check?.status, check?.found.slice(0, 10)], ['failed', '5 entries ']);
  assert.equal((await orchestrator.terminate()).code, 0);
});
