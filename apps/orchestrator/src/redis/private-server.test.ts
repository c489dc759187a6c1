/** The private Redis with a real redis-server: what it keeps, and what becomes of one that was left behind. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { errorCode } from '../errors.ts';
import { createLog } from '../log.ts';
import { connect } from './connect.ts';
import { checkDurability } from './durability.ts';
import { startPrivateRedis } from './private-server.ts';
import { identify } from './processes.ts';

const log = createLog('silent');
const directory = await mkdtemp(join(tmpdir(), 'lmas-redis-'));
after(() => rm(directory, { recursive: true, force: true }));
const here = (file: string) => JSON.stringify(new URL(file, import.meta.url).href);
const OWNER = `
  const { startPrivateRedis } = await import(${here('private-server.ts')});
  const { createLog } = await import(${here('../log.ts')});
  await startPrivateRedis('redis-server', ${JSON.stringify(directory)}, createLog('silent'));
  console.log('started');
  setInterval(() => {}, 1000);
`;
const pidOf = async () => Number(await readFile(join(directory, 'redis/redis.pid'), 'utf8'));

test('it is durable, and is started again when it is killed', async () => {
  const server = await startPrivateRedis('redis-server', directory, log);
  const redis = connect(server, log);
  await checkDurability(redis, { kind: 'server', log, allowUnsafe: false });
  assert.deepEqual(await redis.config('GET', 'appendfsync'), ['appendfsync', 'always']);
  await redis.set('kept', 'yes');
  const killed = await pidOf();
  process.kill(killed, 'SIGKILL');
  assert.equal(await redis.get('kept'), 'yes', 'the client came back to it by itself');
  assert.notEqual(await pidOf(), killed);
  redis.disconnect();
  await server.stop();
});

test('one that was left behind by a killed orchestrator is ended before another opens its files', async () => {
  const owner = spawn(process.execPath, ['--input-type=module', '-e', OWNER], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(owner.stdout, 'data');
  owner.kill('SIGKILL');
  await once(owner, 'exit');
  const orphan = await pidOf();
  assert.notEqual(await identify(orphan), undefined, 'it has outlived its owner');

  const server = await startPrivateRedis('redis-server', directory, log);
  assert.equal(await identify(orphan), undefined);
  const redis = connect(server, log);
  assert.equal(await redis.get('kept'), 'yes');
  redis.disconnect();
  const pid = await pidOf();
  await server.stop();
  assert.equal(await identify(pid), undefined);
});

test('a server that forgets is refused in words', async () => {
  const socketPath = join(directory, 'volatile.sock');
  const child = spawn('redis-server', ['--port', '0', '--unixsocket', socketPath, '--save', '', '--dir', directory], {
    stdio: 'ignore',
  });
  const redis = new Redis({ path: socketPath });
  redis.on('error', () => undefined); // until it listens
  try {
    await redis.config('SET', 'maxmemory-policy', 'allkeys-lru');
    await assert.rejects(
      checkDurability(redis, { kind: 'server', log, allowUnsafe: false }),
      (error) =>
        errorCode(error) === 'REDIS_UNSUITABLE' &&
        error instanceof Error &&
        /appendonly yes/.test(error.message) &&
        /noeviction/.test(error.message),
    );
    await checkDurability(redis, { kind: 'server', log, allowUnsafe: true });
  } finally {
    redis.disconnect();
    child.kill();
  }
});

test('one that does not start names the whole path of its log', async (t) => {
  const other = await mkdtemp(join(tmpdir(), 'lmas-redis-'));
  t.after(() => rm(other, { recursive: true }));
  await assert.rejects(startPrivateRedis('false', relative('.', other), log), (error: Error) => {
    assert.equal(errorCode(error), 'REDIS_START_FAILED');
    return error.message.includes(`see ${other}/redis/redis.log.`);
  });
});

test('a program that is not there is said to be missing', async () => {
  const other = await mkdtemp(join(tmpdir(), 'lmas-redis-'));
  await assert.rejects(
    startPrivateRedis('/nowhere/redis-server', other, log),
    (error) => errorCode(error) === 'REDIS_START_FAILED',
  );
  await rm(other, { recursive: true });
});

test('one that ended for want of room says so, and is started again when there is some', async (t) => {
  const other = await mkdtemp(join(tmpdir(), 'lmas-redis-'));
  t.after(() => rm(other, { recursive: true, force: true }));
  const told: string[] = [];
  const ear = { info: () => undefined, error: (facts: object) => void told.push(JSON.stringify(facts)) } as never;
  const server = await startPrivateRedis('redis-server', other, ear);
  t.after(() => server.stop());
  assert.equal(server.trouble(), undefined);
  await symlink('/dev/full', join(other, 'redis/room')); // whoever writes there is answered ENOSPC; it is removed after one look
  process.kill(Number(await readFile(join(other, 'redis/redis.pid'), 'utf8')), 'SIGKILL');
  while (!server.trouble()?.includes('room')) await sleep(5);
  assert.equal(
    server.trouble(),
    `${other}/redis has no room for its files (ENOSPC). Make some on that disk: it is started again within seconds, by itself.`,
  );
  while (server.trouble() !== undefined) await sleep(5);
  assert.deepEqual([told.length, told[0]], [2, '{"how":"SIGKILL"}']);
  assert.match(told[1] ?? '', /ENOSPC/);
});

test('one that ends as often as it is started is started after growing pauses, and told of once', async (t) => {
  const other = await mkdtemp(join(tmpdir(), 'lmas-redis-'));
  t.after(() => rm(other, { recursive: true, force: true }));
  const told: object[] = [];
  const ear = { info: () => undefined, error: (facts: object) => void told.push(facts) } as never;
  const server = await startPrivateRedis('redis-server', other, ear);
  t.after(() => server.stop());
  const killed = new Set<number>();
  for (const until = performance.now() + 3_000; performance.now() < until; await sleep(5)) {
    const pid = Number(await readFile(join(other, 'redis/redis.pid'), 'utf8').catch(() => '0'));
    if (pid === 0 || killed.has(pid) || server.trouble() !== undefined) continue;
    killed.add(pid);
    process.kill(pid, 'SIGKILL');
  }
  assert.ok(killed.size >= 2 && killed.size <= 4, `${killed.size} in 3 s`);
  assert.deepEqual(told, [{ how: 'SIGKILL' }]);
});
