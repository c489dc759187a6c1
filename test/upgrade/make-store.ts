/**
 * `node test/upgrade/make-store.ts NAME`, then `npm run format`: what this build keeps in Redis, in stores/NAME.json, for later builds to
 * be tried with: a migration that succeeded, one that failed, one that was cancelled, one that moves, one that waits, and what
 * stands around them. Made once for each release; it uses nothing of the harness that older builds did not have.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import type { Migration } from '../../apps/orchestrator/src/migrations/record.ts';
import { Api, type Stage, setStage, startInProcess, temporaryDirectory } from '../workflow/harness.ts';

/** Whoever loads it is later by years: longer than a request may ask for. */
const LONG_MS = 100 * 365 * 24 * 3_600_000;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  assert.ok(address !== null && typeof address === 'object');
  return address.port;
}

async function startRedis(directory: string) {
  const port = await freePort();
  const settings = ['--appendonly', 'yes', '--save', '', '--maxmemory-policy', 'noeviction', '--dir', directory];
  const server = spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', ...settings], {
    stdio: 'ignore',
  });
  const redis = new Redis(port, '127.0.0.1', { retryStrategy: () => 50, maxRetriesPerRequest: null });
  redis.on('error', () => undefined); // not there yet
  await redis.ping();
  return { url: `redis://127.0.0.1:${port}`, redis, server };
}

/** Ids and by when they have waited too long, in turns. */
const inYears = (deadlines: unknown) =>
  (deadlines as string[]).map((each, index) => (index % 2 === 0 ? each : String(Number(each) + LONG_MS)));

/** A key as the commands that make it again want it. */
async function dump(redis: Redis, key: string) {
  const type = await redis.type(key);
  const read: Record<string, () => Promise<unknown>> = {
    string: () => redis.get(key),
    hash: () => redis.hgetall(key),
    set: async () => (await redis.smembers(key)).sort(),
    zset: () => redis.zrange(key, 0, -1, 'WITHSCORES'),
    list: () => redis.lrange(key, 0, -1),
    stream: () => redis.xrange(key, '-', '+'),
  };
  const value = await read[type]?.();
  assert.ok(value !== undefined, `${key} is a ${type}`);
  return { key, type, value: key === '{lmas}:queue-deadlines' ? inYears(value) : value };
}

async function keysOf(redis: Redis) {
  const keys = (await redis.keys('*')).sort();
  // A lease lasts for seconds: whoever loads this finds a run that is long dead.
  return await Promise.all(keys.filter((key) => !key.includes(':lease:')).map((key) => dump(redis, key)));
}

const [name] = process.argv.slice(2);
assert.ok(name !== undefined, 'Give it a name, such as 0.1.0.');
const directory = await temporaryDirectory();
const { url, redis, server } = await startRedis(directory.path);
const keyFile = join(directory.path, 'key');
writeFileSync(keyFile, `${Buffer.alloc(32, 7).toString('base64')}\n`, { mode: 0o600 });
const dataDir = join(directory.path, 'data');
const orchestrator = await startInProcess(dataDir, { REDIS_URL: url, LMAS_MASTER_KEY_FILE: keyFile });
const api = await Api.of(orchestrator);
const stage = () => setStage(() => api, directory.path);
const submit = ({ vmId: vm, source, destination }: Stage, more: object = {}): Promise<Migration> =>
  api.must('POST', '/v1/migrations', { vm, source, destination, ...more });

const [moved, failed, cancelled, moving, waiting] = [
  await stage(),
  await stage(),
  await stage(),
  await stage(),
  await stage(),
];
const succeeded = await submit(moved, { labels: { team: 'payments' }, correlationId: 'change-4711' });
await api.ended(succeeded.id);
failed.world.faults.arm('source.perform', 'before', { code: 'STREAM_FAILED' });
const failure = await submit(failed);
await api.ended(failure.id);
const holds = [cancelled, moving].map(({ world }) => world.faults.arm('source.perform', 'hold-before'));
const stopped = await submit(cancelled);
const running = await submit(moving);
for (const hold of holds) await hold.reached;
await api.call('POST', `/v1/migrations/${stopped.id}/cancel`);
holds[0]?.release();
await api.ended(stopped.id);
await api.call('PATCH', '/v1/queue', { paused: true }, { 'if-match': '*' });
const queued = await submit(waiting);
await api.call('POST', '/v1/projects', { id: 'red', description: 'tenant', endpoints: null });
await api.call('POST', '/v1/webhooks', { id: 'portal', url: 'https://portal.example.org/hooks' });

const store = {
  migrations: {
    ...{ succeeded: succeeded.id, failed: failure.id, cancelled: stopped.id, running: running.id, queued: queued.id },
  },
  vms: Object.fromEntries(
    [moved, failed, cancelled, moving, waiting].map(({ vmId, vmName, source }) => [vmId, { name: vmName, source }]),
  ),
  files: Object.fromEntries(
    readdirSync(dataDir)
      .filter((file) => /key$/.test(file))
      .map((file) => [file, readFileSync(join(dataDir, file), 'utf8')]),
  ),
  masterKey: readFileSync(keyFile, 'utf8'),
  keys: await keysOf(redis),
};
// What was only true in this directory is put back by whoever loads it.
const hex = Buffer.from(directory.path).toString('hex');
const text = JSON.stringify(store, null, 2)
  .replaceAll(directory.path, '@DIRECTORY@')
  .replaceAll(hex, '@HEX@')
  .replaceAll(/(\\"(?:queueMs|totalMs)\\":)\d+/g, `$1${LONG_MS}`);
writeFileSync(join(import.meta.dirname, 'stores', `${name}.json`), `${text}\n`);
server.kill('SIGKILL');
process.exit(0);
