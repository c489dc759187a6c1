/**
 * Redis as people run it: behind sentinels, where the master is killed in the middle of migrations; as a cluster; and one
 * Redis that an API, a worker and a scheduler share as processes of their own.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { OrchestratorProcess } from './child.ts';
import { setStage, temporaryDirectory } from './harness.ts';
import { RedisServers, startCluster, startSentinels } from './redis-servers.ts';

/** What processes that share a Redis have in common. */
async function shared(directory: string, redisUrl: string): Promise<Record<string, string>> {
  const keyFile = join(directory, 'key');
  await writeFile(keyFile, randomBytes(32).toString('base64'), { mode: 0o600 });
  return { REDIS_URL: redisUrl, LMAS_MASTER_KEY_FILE: keyFile };
}

test('the master is killed in every phase of a migration: the replica takes over, one VM runs, the record is true', {
  timeout: 120_000,
}, async () => {
  await using directory = await temporaryDirectory();
  await using servers = new RedisServers(directory.path);
  const { url, masterPort, replicaPort } = await startSentinels(servers);
  await using child = new OrchestratorProcess(join(directory.path, 'o'), {
    ...(await shared(directory.path, url)),
    LMAS_LOG_LEVEL: 'warn',
  });
  await child.start();
  await servers.command(replicaPort, ['CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru']);
  const calls = [
    'source.find',
    'gateway.start',
    'destination.prepare',
    'source.perform',
    'destination.finish',
    'gateway.remove',
  ];
  await using stages = new AsyncDisposableStack();
  const cases = [];
  for (const call of calls) {
    for (const kind of ['hold-before', 'hold-after'] as const) {
      const stage = stages.use(await setStage(() => child.api, directory.path));
      const hold = stage.world.faults.arm(call, kind);
      const { id } = await stage.submit({ options: { createVolume: true, durationMs: 30 } });
      cases.push({ name: `${call} ${kind}`, stage, hold, id });
    }
  }
  await Promise.all(cases.map(({ hold }) => hold.reached));
  await servers.kill(masterPort);
  await servers.until(replicaPort, ['ROLE'], /master/);
  for (const { hold } of cases) hold.release();
  for (const { name, stage, id } of cases) {
    await child.api.ended(id, 60_000);
    const ended = await child.api.until(id, ({ teardown }) => teardown === 'complete' || teardown === 'not-needed');
    stage.assertClean(ended);
    assert.equal(ended.where === 'destination', ended.phase === 'succeeded', name);
  }
  await using after = await setStage(() => child.api, directory.path);
  const { id } = await after.submit();
  assert.equal((await child.api.ended(id)).phase, 'succeeded', 'and new ones go on as ever');
  const { items } = await child.api.must<{ items: { msg: string }[] }>('GET', '/v1/process-log');
  const told = items.some(({ msg }) => /^This Redis would lose migrations: it evicts keys .*allkeys-lru/.test(msg));
  assert.ok(told, 'what is wrong with the one that took over is said');
});

test('a master that stands still is left for the replica that takes over, and the run goes on', {
  timeout: 120_000,
}, async () => {
  await using directory = await temporaryDirectory();
  await using servers = new RedisServers(directory.path);
  const { url, masterPort, replicaPort } = await startSentinels(servers);
  await using child = new OrchestratorProcess(join(directory.path, 'o'), {
    ...(await shared(directory.path, url)),
    ...{ LMAS_REDIS_SILENCE_MS: '1000', LMAS_RUN_LEASE_MS: '30000' },
  });
  await child.start();
  await using stage = await setStage(() => child.api, directory.path);
  const hold = stage.world.faults.arm('source.perform', 'hold-after');
  const { id } = await stage.submit();
  await hold.reached;
  // Sentinels that had no processor for a second may have changed the two already.
  const [master, replica] = /^master/.test(await servers.command(masterPort, ['ROLE']))
    ? [masterPort, replicaPort]
    : [replicaPort, masterPort];
  servers.signal(master, 'SIGSTOP');
  const asked = performance.now();
  const { status, body } = await child.api.call('GET', `/v1/migrations/${id}`);
  assert.equal(status, 503, JSON.stringify(body));
  assert.ok(performance.now() - asked < 20_000, 'it did not hang');
  await servers.until(replica, ['ROLE'], /master/);
  hold.release();
  const ended = await child.api.ended(id, 60_000);
  assert.deepEqual([ended.phase, ended.runs], ['succeeded', 1]);
  stage.assertClean(ended);
});

test('a cluster of three: everything of ours lives in one slot; when its server stands still, no call hangs', {
  timeout: 120_000,
}, async () => {
  await using directory = await temporaryDirectory();
  await using servers = new RedisServers(directory.path);
  const { url, ports } = await startCluster(servers);
  await using child = new OrchestratorProcess(join(directory.path, 'o'), {
    ...{ ...(await shared(directory.path, url)), LMAS_REDIS_SILENCE_MS: '1000', LMAS_RUN_LEASE_MS: '2000' },
  });
  await child.start();
  await using first = await setStage(() => child.api, directory.path);
  await using second = await setStage(() => child.api, directory.path);
  const ids = await Promise.all([first.submit({ options: { createVolume: true } }), second.submit()]);
  for (const [index, stage] of [first, second].entries()) {
    const ended = await child.api.ended(ids[index]?.id ?? '');
    assert.equal(ended.phase, 'succeeded', JSON.stringify(ended.error));
    stage.assertClean(ended);
  }
  const { items } = await child.api.must<{ items: unknown[] }>('GET', '/v1/migrations');
  assert.equal(items.length, 2);

  const answers = await Promise.all(
    ports.map((port) => servers.command(port, ['EXISTS', '{lmas}:sites']).catch(String)),
  );
  const owner = ports[answers.findIndex((answer) => answer.trim() === '1')] ?? 0;
  servers.signal(owner, 'SIGSTOP');
  const path = `/v1/migrations/${ids[0]?.id}`;
  for (let i = 0; i < 3; i++) {
    const { status, body } = await child.api.call('GET', path);
    assert.deepEqual([status, body.code], [503, 'UNAVAILABLE'], JSON.stringify(body));
  }
  assert.equal((await fetch(`${child.api.url}/readyz`)).status, 503);
  servers.signal(owner, 'SIGCONT');
  await child.api.ended(ids[0]?.id ?? '');
  const { id } = await first.submit({ source: first.destination, destination: first.source });
  assert.equal((await child.api.ended(id)).phase, 'succeeded', 'back again');
});

test('an API, a worker and a scheduler as processes of their own', { timeout: 120_000 }, async () => {
  await using directory = await temporaryDirectory();
  await using servers = new RedisServers(directory.path);
  // Three processes begin at once: no lease may lapse for want of a processor.
  const settings = {
    ...(await shared(directory.path, `redis://127.0.0.1:${await servers.start()}`)),
    LMAS_RUN_LEASE_MS: '6000',
  };
  const processOf = (role: string, first?: OrchestratorProcess) =>
    new OrchestratorProcess(join(directory.path, role), { ...settings, LMAS_ROLE: role }, first);
  await using api = processOf('api');
  await using worker = processOf('worker', api);
  await using scheduler = processOf('scheduler', api);
  await api.start();
  await using stage = await setStage(() => api.api, directory.path);
  const { id } = await stage.submit({ options: { durationMs: 2_000 } });
  await scheduler.start();
  assert.equal((await api.api.migration(id)).phase, 'queued', 'nobody works yet');
  await worker.start();
  await api.api.until(id, ({ phase }) => phase === 'performing');
  await worker.end('SIGKILL');
  await worker.start(); // the scheduler finds the orphan, the worker takes it up
  const ended = await api.api.ended(id);
  assert.equal(ended.runs, 2);
  stage.assertClean(ended);

  const there = await fetch(`${worker.api.url}/v1/migrations`);
  assert.equal(there.status, 503);
  assert.equal((await fetch(`${worker.api.url}/readyz`)).status, 200);
  assert.match(await there.text(), /role worker/);
});
