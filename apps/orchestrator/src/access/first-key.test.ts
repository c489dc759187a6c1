/** The first key, with a real Redis. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { createLog } from '../log.ts';
import { keys } from '../redis/keys.ts';
import { startTestRedis, type TestRedis } from '../testing/test-redis.ts';
import { type ApiKeys, createApiKeys, generateApiKey } from './api-keys.ts';
import { ensureAdminKey } from './first-key.ts';

let directory: string;
let server: TestRedis;
let apiKeys: ApiKeys;
let shown: string[];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lmas-first-key-'));
  server = await startTestRedis();
  apiKeys = createApiKeys(server.redis);
  shown = [];
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

const log = createLog('silent');
const show = (key: string): void => void shown.push(key);
const pathOf = (name: string): string => join(directory, name);
const ensure = (name: string, { claimMs = 10_000, of = apiKeys } = {}) =>
  ensureAdminKey(server.redis, of, pathOf(name), { otherWaysIn: false, log, show, claimMs });

async function assertOneKey(name: string): Promise<void> {
  const path = pathOf(name);
  const key = (await readFile(path, 'utf8')).trim();
  assert.deepEqual(shown, [key]);
  assert.equal((await stat(path)).mode & 0o077, 0);
  assert.deepEqual(await readdir(directory), [name]);
  assert.equal((await apiKeys.list(null)).length, 1);
  assert.equal((await apiKeys.verify(key))?.role, 'admin');
  assert.equal(await server.redis.hget(keys.firstKey, 'claim'), null);
}

test('the first key is made once, left in a private file, and shown once to whoever sits there', async () => {
  await ensure('api-key');
  await ensure('api-key');
  await assertOneKey('api-key');
});

test('of several that start at once on one Redis, one makes the key', async () => {
  await Promise.all(Array.from({ length: 8 }, (_, i) => ensure(`api-key-${i}`)));
  const [name = '', ...others] = await readdir(directory);
  assert.deepEqual(others, []);
  await assertOneKey(name);
});

test('whoever died while it made the key holds nobody up for ever', async () => {
  await server.redis.hset(keys.firstKey, 'claim', 'of somebody who died');
  const started = performance.now();
  await Promise.all(['a', 'b', 'c'].map((name) => ensure(name, { claimMs: 300 })));
  assert.ok(performance.now() - started > 300, 'it may have been alive');
  const [name = ''] = await readdir(directory);
  await assertOneKey(name);
});

test('whoever slept past its time registers nothing, and leaves no file', async () => {
  const asleep = Promise.withResolvers<void>();
  const awake = Promise.withResolvers<void>();
  const sleeper: ApiKeys = {
    ...apiKeys,
    async register(...args) {
      asleep.resolve();
      await awake.promise;
      return await apiKeys.register(...args);
    },
  };
  const first = ensure('sleeper', { of: sleeper });
  await asleep.promise;
  await ensure('other', { claimMs: 200 });
  awake.resolve();
  await first;
  await assertOneKey('other');
});

test('whoever slept past its time leaves the key that somebody has put into the file', async () => {
  const given = `${generateApiKey()}\n`;
  await writeFile(pathOf('sleeper'), given);
  const sleeper: ApiKeys = {
    ...apiKeys,
    async register(...args) {
      await ensure('other', { claimMs: 200 });
      return await apiKeys.register(...args);
    },
  };
  await ensure('sleeper', { of: sleeper });
  assert.equal(await readFile(pathOf('sleeper'), 'utf8'), given);
});

test('a key that is in the file already is the one that opens', async () => {
  await ensure('api-key');
  await server.redis.del(keys.apiKeys);
  await ensure('api-key');
  await assertOneKey('api-key');
});
