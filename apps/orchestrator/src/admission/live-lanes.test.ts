/** What the books are rebuilt from, with a real Redis in which some records are broken. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LmasError } from '../errors.ts';
import { createLog } from '../log.ts';
import { newMigrationId, newRecord } from '../migrations/record.ts';
import { createMigrationStore } from '../migrations/store.ts';
import { keys } from '../redis/keys.ts';
import { migrationInputSchema } from '../schemas/migration.ts';
import { startTestRedis } from '../testing/test-redis.ts';
import { createAdmission } from './admission.ts';
import { laneOf } from './groups.ts';
import type { LaneFinder } from './lanes.ts';
import { liveLanes } from './live-lanes.ts';

const log = createLog('silent');
const plain = { transparent: false, direct: false, need: null };

test('one record that is not to be read, or whose endpoint is gone, keeps its place and holds up no other', async () => {
  await using server = await startTestRedis();
  const { redis } = server;
  const store = createMigrationStore(redis);
  const admission = createAdmission(redis);
  const submit = async (vm: string, source = 'a'): Promise<string> => {
    const request = migrationInputSchema.parse({ vm, source, destination: 'b' });
    const record = newRecord(newMigrationId(), request, { source: 'x', destination: 'y' }, [keys.vmByName(source, vm)]);
    await store.create(record, laneOf(record.migration, plain));
    return record.migration.id;
  };
  const [broken, homeless] = [await submit('broken'), await submit('homeless', 'gone')];
  const others = [await submit('one'), await submit('two')];
  await redis.hset(keys.migration(broken), 'record', '{"migration":{}}');
  const waiting = [broken, homeless, ...others].sort();
  const inOrder = async () => (await admission.order(0, 10)).sort();
  assert.deepEqual(await inOrder(), waiting);

  // A fail-over has forgotten that two of them wait.
  for (const id of others) {
    const entry = await redis.hget(keys.waitingEntries, id);
    await redis.hdel(keys.waitingEntries, id);
    await redis.zrem(keys.waiting, id);
    await redis.zrem(keys.waitingLanes, entry ?? '');
  }
  const finder: LaneFinder = async (migration) => {
    if (migration.source.endpoint === 'gone') throw new LmasError('ENDPOINT_NOT_FOUND');
    return laneOf(migration, plain);
  };
  await admission.rebuild(liveLanes(store, finder, log));
  assert.deepEqual(await inOrder(), waiting);
});

test('a Redis that is away is no broken record: nothing is left out then', async () => {
  const away = async () => Promise.reject(new Error('Connection is closed.'));
  const store = { live: async () => ['m_1'], getMany: away, needs: async () => [] };
  await assert.rejects(liveLanes(store, async () => '', log).next(), /Connection is closed/);
});
