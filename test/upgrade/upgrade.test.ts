/**
 * What earlier builds kept in Redis, taken over by this one: all of it is read, what waited and what was under way comes to its
 * end, and what is written is what this build writes.
 */
import assert from 'node:assert/strict';
import { globSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { serveWorld } from '@lmas/plugin-simulated/world';
import { Redis } from 'ioredis';
import type { Orchestrator } from '../../apps/orchestrator/src/main.ts';
import type { Migration } from '../../apps/orchestrator/src/migrations/record.ts';
import { PairWorld } from '../simulated/world.ts';
import { Api, startInProcess, temporaryDirectory } from '../workflow/harness.ts';
import { RedisServers } from '../workflow/redis-servers.ts';
import { loadStore, type OldStore, readStore } from './load-store.ts';

const STORES = globSync('*.json', { cwd: path.join(import.meta.dirname, 'stores') })
  .map((file) => path.basename(file, '.json'))
  .sort();

/** The worlds that the store's endpoints are in, with their VMs still at the source. */
async function serveWorlds({ vms }: OldStore, directory: string) {
  const worlds = new Map<string, PairWorld>();
  const stack = new AsyncDisposableStack();
  for (const [id, { name }] of Object.entries(vms)) {
    const world = new PairWorld();
    world.addVm('source', { id, name });
    stack.use(await serveWorld(world, path.join(directory, `${name}.sock`), world.answerGatewayCall));
    worlds.set(id, world);
  }
  return { worlds, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

for (const name of STORES) {
  describe(`the store of ${name}`, () => {
    const stack = new AsyncDisposableStack();
    let store: OldStore;
    let orchestrator: Orchestrator;
    let api: Api;
    let worlds: Map<string, PairWorld>;
    after(() => stack.disposeAsync());
    before(async () => {
      const directory = stack.use(await temporaryDirectory()).path;
      const servers = stack.use(new RedisServers(directory));
      const port = await servers.start();
      store = readStore(name, directory);
      const redis = new Redis(port, '127.0.0.1');
      await loadStore(redis, store);
      redis.disconnect();
      const served = stack.use(await serveWorlds(store, directory));
      worlds = served.worlds;
      const dataDir = path.join(directory, 'data');
      mkdirSync(dataDir, { mode: 0o700 });
      const keyFile = path.join(directory, 'master-key');
      // Before it could be kept elsewhere, it was in the data directory.
      writeFileSync(keyFile, store.files['secret-key'] ?? store.masterKey, { mode: 0o600 });
      writeFileSync(path.join(dataDir, 'api-key'), store.files['api-key'] ?? '', { mode: 0o600 });
      orchestrator = await startInProcess(dataDir, {
        ...{ REDIS_URL: `redis://127.0.0.1:${port}`, LMAS_MASTER_KEY_FILE: keyFile },
      });
      stack.defer(() => orchestrator.stop());
      api = await Api.of(orchestrator);
    });

    test('every record is read, and lists find them as before', async () => {
      const ids = Object.values(store.migrations);
      const { items } = await api.must<{ items: Migration[] }>('GET', '/v1/migrations');
      assert.deepEqual(items.map(({ id }) => id).sort(), [...new Set(ids)].sort());
      for (const phase of ['succeeded', 'failed', 'cancelled'] as const) {
        assert.equal((await api.migration(store.migrations[phase])).phase, phase);
      }
      const labelled = await api.must<{ items: Migration[] }>('GET', '/v1/migrations?label=team%3Dpayments');
      assert.deepEqual(
        labelled.items.map(({ id }) => id),
        [store.migrations.succeeded],
      );
      const response = await fetch(`${orchestrator.url}/v1/migrations/${store.migrations.failed}/events`, {
        headers: { authorization: `Bearer ${api.key}`, accept: 'text/event-stream' },
      });
      assert.match(await response.text(), /"type":"end"/);
      for (const list of ['sites', 'endpoints', 'credentials', 'projects', 'webhooks', 'api-keys', 'audit', 'links']) {
        const { items } = await api.must<{ items: unknown[] }>('GET', `/v1/${list}`);
        assert.ok(items.length > 0, list);
      }
    });

    test('what was under way is recovered, and comes to a truthful end', async () => {
      const ended = await api.ended(store.migrations.running);
      const whole = await api.until(ended.id, ({ teardown }) => teardown === 'complete');
      assert.ok(whole.runs >= 2, JSON.stringify(whole));
      assert.equal(whole.where, 'source');
      for (const world of worlds.values()) assert.deepEqual(world.violations, []);
    });

    test('what waited is run when the queue is resumed, with the credentials of then', async () => {
      await api.call('PATCH', '/v1/queue', { paused: false }, { 'if-match': '*' });
      const ended = await api.ended(store.migrations.queued);
      assert.equal(ended.phase, 'succeeded', JSON.stringify(ended.error));
    });

    test('what failed is tried again with the request of then', async () => {
      const again = await api.must<Migration>('POST', `/v1/migrations/${store.migrations.failed}/retry`);
      const ended = await api.ended(again.id);
      assert.equal(ended.phase, 'succeeded', JSON.stringify(ended.error));
    });
  });
}
