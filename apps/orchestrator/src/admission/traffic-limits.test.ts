/** Limits that are changed over a connection which Redis leaves right after the change: everybody hears of it all the same. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createBandwidthLimits } from '../links/bandwidth-limits.ts';
import { createLog } from '../log.ts';
import { createChanges } from '../migrations/changes.ts';
import { isRedisAway } from '../redis/away.ts';
import { connect } from '../redis/connect.ts';
import { keys } from '../redis/keys.ts';
import { startPrivateRedis } from '../redis/private-server.ts';
import { startSilentProxy } from '../testing/silent-proxy.ts';
import { createAdmission } from './admission.ts';
import { changeTraffic } from './traffic-limits.ts';

const log = createLog('silent');
const directory = await mkdtemp(join(tmpdir(), 'lmas-limits-'));
const server = await startPrivateRedis('redis-server', directory, log);
const direct = connect(server, log);
const subscriber = connect(server, log);
const heard: string[] = [];
subscriber.on('message', (_channel: string, message: string) => heard.push(message));
await subscriber.subscribe(keys.admissionChannel);
for (const id of ['m_1', 'm_2']) {
  await direct.hset(keys.migration(id), 'phase', 'performing'); // as far as a change looks
  await direct.sadd(keys.live, id);
}
after(async () => {
  for (const redis of [direct, subscriber]) redis.disconnect();
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});

const traffic = (redis: typeof direct) => {
  const [admission, bandwidth] = [createAdmission(redis), createBandwidthLimits(redis)];
  return { redis, admission, bandwidth };
};
type Change = (redis: typeof direct, value: number) => Promise<unknown>;
const CHANGES: Record<string, Change> = {
  'a limit of bandwidth': (redis, value) => traffic(redis).bandwidth.set('total', value),
  'a limit of places': (redis, value) => traffic(redis).admission.setLimit('site:a', value),
  'both of a link': (redis, value) =>
    changeTraffic(traffic(redis), 'link:a~b', { maxMigrations: value, bandwidthBytesPerSec: value }, async () => []),
  'one of a migration': (redis, value) => createChanges(redis).merge('m_1', { bandwidthBytesPerSec: value }),
};
for (const [name, change] of Object.entries(CHANGES)) {
  test(`${name}: changed and announced in one step`, async () => {
    await change(direct, 1_000_000); // Redis knows the script from now on
    await using proxy = await startSilentProxy(server.socketPath);
    const nodes = [{ host: '127.0.0.1', port: proxy.port }] as const;
    const redis = connect({ kind: 'server', nodes, db: 0, tls: false }, log, { silenceMs: 300, patience: 'brief' });
    try {
      await new Promise((resolve) => redis.once('ready', resolve));
      const before = heard.length;
      proxy.fallSilentAfter(/evalsha|hset/);
      await change(redis, 2_000_000).catch((error: unknown) => assert.ok(isRedisAway(error), String(error)));
      await direct.publish(keys.admissionChannel, 'the last');
      while (heard.at(-1) !== 'the last') await new Promise((resolve) => setImmediate(resolve));
      assert.deepEqual(heard.slice(before), ['', 'the last']);
    } finally {
      redis.disconnect();
    }
  });
}

test('what was asked of a migration and its limit are never two', async () => {
  const changes = createChanges(direct);
  await Promise.all([1, 2, 3, 4].map((i) => changes.merge('m_2', { bandwidthBytesPerSec: i * 1_000_000 })));
  await changes.merge('m_2', { convergence: 'must-finish' });
  const { bandwidthBytesPerSec, convergence } = await changes.get('m_2');
  assert.equal(convergence, 'must-finish');
  assert.equal(await direct.hget(keys.bandwidth, 'm_2'), String(bandwidthBytesPerSec));
  await changes.merge('m_2', { bandwidthBytesPerSec: null });
  assert.equal(await direct.hexists(keys.bandwidth, 'm_2'), 0);
});
