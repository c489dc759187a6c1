/** Which versions work on which records: one that is older than the store, one that is newer, and two on one Redis. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ISOLATED_NETWORK } from '@lmas/plugin-simulated/world';
import { Redis } from 'ioredis';
import type { z } from 'zod';
import { storedMigrationSchema } from '../../apps/orchestrator/src/migrations/record.ts';
import { keys } from '../../apps/orchestrator/src/redis/keys.ts';
import { DRILLS_SINCE, STORE_VERSION } from '../../apps/orchestrator/src/redis/record-versions.ts';
import { storedScheduleSchema } from '../../apps/orchestrator/src/schedules/record.ts';
import { Api, setStage, startInProcess, temporaryDirectory } from '../workflow/harness.ts';
import { RedisServers } from '../workflow/redis-servers.ts';
import { loadStore, readStore } from './load-store.ts';

const OLDEST = '0.1.0-dev.1';

describe('versions of the records', () => {
  const stack = new AsyncDisposableStack();
  let directory: string;
  let servers: RedisServers;
  after(() => stack.disposeAsync());
  before(async () => {
    directory = stack.use(await temporaryDirectory()).path;
    servers = stack.use(new RedisServers(directory));
  });

  /** A Redis of its own, and a start on it with this master key. */
  async function stand(name: string) {
    const port = await servers.start();
    const redis = new Redis(port, '127.0.0.1');
    stack.defer(() => redis.disconnect());
    const keyFile = path.join(directory, `${name}.key`);
    const start = async (masterKey: string) => {
      writeFileSync(keyFile, masterKey, { mode: 0o600 });
      const dataDir = path.join(directory, name);
      mkdirSync(dataDir, { recursive: true, mode: 0o700 });
      return await startInProcess(dataDir, {
        ...{ REDIS_URL: `redis://127.0.0.1:${port}`, LMAS_MASTER_KEY_FILE: keyFile },
      });
    };
    return { redis, start, versionNow: () => redis.hget(keys.store, 'version') };
  }
  const someKey = `${Buffer.alloc(32, 9).toString('base64')}\n`;

  test('a fresh store is of this version; one that a later version made unreadable is left alone', async () => {
    const { redis, start, versionNow } = await stand('fresh');
    await (await start(someKey)).stop();
    assert.equal(await versionNow(), String(STORE_VERSION));
    // A later version that this one can work with stays what it is.
    await redis.hset(keys.store, { version: STORE_VERSION + 1, readableFrom: STORE_VERSION, writtenBy: '9.0.0' });
    await (await start(someKey)).stop();
    assert.equal(await versionNow(), String(STORE_VERSION + 1));
    await redis.hset(keys.store, { readableFrom: STORE_VERSION + 1 });
    const before = await redis.dbsize();
    await assert.rejects(start(someKey), { code: 'STORE_TOO_NEW', message: /written by LMAS 9\.0\.0/ });
    assert.equal(await redis.dbsize(), before);
  });

  test('a step that cannot be taken leaves the store as it was, and is taken by the next start', async () => {
    const { redis, start, versionNow } = await stand('sealed');
    const store = readStore(OLDEST, directory);
    await loadStore(redis, store);
    const sealed = () => redis.hgetall(keys.credentials);
    const before = await sealed();
    await assert.rejects(start(someKey), { code: 'MASTER_KEY_INVALID', remedy: /further line/ });
    assert.deepEqual([await versionNow(), await sealed()], [null, before]);
    // The former key as a further line, as when keys were changed meanwhile.
    const both = `${someKey}${store.files['secret-key']}`;
    await (await start(both)).stop();
    assert.equal(await versionNow(), String(STORE_VERSION));
    const after = await sealed();
    for (const json of Object.values(after)) assert.match(JSON.parse(json).sealed, /^sealed:2:/);
    // Taken once, it is not taken again.
    await (await start(both)).stop();
    assert.deepEqual(await sealed(), after);
  });

  test('who cannot read the store any more cannot after a later step either', async () => {
    const { redis, start } = await stand('raised');
    await redis.hset(keys.store, { version: STORE_VERSION - 1, readableFrom: STORE_VERSION, writtenBy: '0.1.0' });
    await (await start(someKey)).stop();
    const found = await redis.hmget(keys.store, 'version', 'readableFrom');
    assert.deepEqual(found, [String(STORE_VERSION), String(STORE_VERSION)]);
  });

  test('a version without drills that runs still can read no drill, nor a schedule of one: it would move the VM', async () => {
    const { redis, start } = await stand('drills');
    const orchestrator = await start(someKey);
    stack.defer(() => orchestrator.stop());
    const api = await Api.of(orchestrator);
    const stage = stack.use(await setStage(() => api, directory));
    const readableFrom = () => redis.hget(keys.store, 'readableFrom');
    // Whatever such a version looks for stands where it stands in a move.
    const asBefore = async (key: string, schema: z.ZodType) =>
      schema.safeParse(JSON.parse((await redis.hget(key, 'record')) ?? '')).success;
    const migration = { vm: stage.vmId, source: stage.source, destination: stage.destination };
    const drill = { networkMap: { default: ISOLATED_NETWORK }, drill: { keepMs: 0 } };
    const trigger = { kind: 'cron', expression: '0 3 * * *' };
    const nightly = keys.versioned('schedule').record('nightly');
    await api.must('POST', '/v1/schedules', {
      ...{ id: 'nightly', trigger, action: { kind: 'migration', migration } },
    });
    assert.deepEqual([await readableFrom(), await asBefore(nightly, storedScheduleSchema)], ['2', true]);
    const rehearsed = { action: { kind: 'migration', migration: { ...migration, ...drill } } };
    const change = await api.call('PATCH', '/v1/schedules/nightly', rehearsed, { 'if-match': '*' });
    assert.equal(change.status, 200, JSON.stringify(change.body));
    await api.must('POST', '/v1/schedules/nightly/pause');
    const from = String(DRILLS_SINCE);
    assert.deepEqual([await readableFrom(), await asBefore(nightly, storedScheduleSchema)], [from, false]);

    const { id } = await stage.submit(drill);
    assert.equal(await asBefore(keys.migration(id), storedMigrationSchema), false);
    const ended = await api.ended(id);
    assert.deepEqual([ended.phase, ended.purpose], ['succeeded', 'drill'], JSON.stringify(ended.error));
    assert.equal(await asBefore(keys.migration(id), storedMigrationSchema), false);
  });

  test('what a later version on the same Redis wrote into records is not shown, and stays', async () => {
    const { redis, start } = await stand('two');
    const orchestrator = await start(someKey);
    stack.defer(() => orchestrator.stop());
    const api = await Api.of(orchestrator);
    const stage = stack.use(await setStage(() => api, directory));
    await api.call('PATCH', '/v1/queue', { paused: true }, { 'if-match': '*' });
    const { id } = await stage.submit();
    const change = async (hash: string, field: string, apply: (record: Later) => unknown): Promise<void> => {
      await redis.hset(hash, field, JSON.stringify(apply(JSON.parse((await redis.hget(hash, field)) ?? ''))));
    };
    const later = { later: { value: 1 } };
    await change(keys.migration(id), 'record', ({ migration, notes }) => ({
      migration: { ...migration, ...later, request: { ...migration?.request, ...later } },
      notes: { ...notes, ...later },
      ...later,
    }));
    await change(keys.sites, stage.source, (site) => ({ ...site, ...later, gateway: { ...site.gateway, ...later } }));
    await change(keys.endpoints, stage.source, (endpoint) => ({ ...endpoint, ...later }));

    await api.call('PATCH', '/v1/queue', { paused: false }, { 'if-match': '*' });
    const ended = await api.ended(id);
    assert.equal(ended.phase, 'succeeded', JSON.stringify(ended.error));
    assert.doesNotMatch(JSON.stringify(ended), /later/);
    await api.must('POST', '/v1/schedules', {
      ...{ id: 'nightly', trigger: { kind: 'cron', expression: '0 3 * * *' } },
      action: {
        kind: 'migration',
        migration: { vm: stage.vmId, source: stage.source, destination: stage.destination },
      },
    });
    const nightly = keys.versioned('schedule').record('nightly');
    await change(nightly, 'record', (schedule) => ({ ...schedule, ...later }));
    await api.must('POST', '/v1/schedules/nightly/pause');
    for (const [path, body] of [
      [`/v1/sites/${stage.source}`, { description: 'Rack 8' }],
      [`/v1/endpoints/${stage.source}`, { credential: stage.vmName }],
    ] as const) {
      const answer = await api.call('PATCH', path, body, { 'if-match': '*' });
      assert.equal(answer.status, 200, JSON.stringify(answer.body));
    }

    const stored = async (hash: string, field: string) => JSON.parse((await redis.hget(hash, field)) ?? '');
    const record = await stored(keys.migration(id), 'record');
    assert.equal(record.migration.phase, 'succeeded');
    for (const part of [record, record.notes, record.migration, record.migration.request]) {
      assert.deepEqual(part.later, later.later);
    }
    const site = await stored(keys.sites, stage.source);
    assert.deepEqual([site.description, site.later, site.gateway.later], ['Rack 8', later.later, later.later]);
    assert.deepEqual((await stored(keys.endpoints, stage.source)).later, later.later);
    const schedule = await stored(nightly, 'record');
    assert.deepEqual([schedule.pausedAt === null, schedule.later], [false, later.later]);
  });
});

/** Any record, as JSON has it. */
interface Later {
  readonly [name: string]: Later;
}
