/** The plugin as somebody uses it who only has its configuration: worlds inside this process. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MigrationProgress } from '@lmas/plugin-api';
import { simulatedPlugin as plugin } from './plugin.ts';

const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const context = { log, credential: { kind: 'password', username: 'u', password: 'p' } } as const;
const signal = AbortSignal.timeout(20_000);

const connect = (config: object) => plugin.connect(plugin.configSchema.parse(config), context, { signal });

async function migration(world: string, source: object, destination: object, options: object = {}) {
  const ends = {
    source: await connect({ world, host: 'a', ...source }),
    destination: await connect({ world, host: 'b', ...destination }),
  };
  const vm = await ends.source.findVm('web', { signal });
  const request = {
    migrationId: 'm_1',
    vm,
    options: plugin.optionsSchema.parse(options),
    networkMap: {},
    diskMap: {},
    maxDowntimeMs: null,
    convergence: 'balanced' as const,
    bandwidthBytesPerSec: null,
    tunnelled: false,
  };
  const nothing = async () => undefined;
  const driver = plugin.migration(ends, request, { log, recordIntent: nothing, assertCurrent: nothing });
  return { ends, driver, vm };
}

const vms = [{ name: 'web', memoryBytes: 10_000_000, dirtyRateBytesPerSec: 1_000_000 }];

test('a VM that the configuration names runs, moves by the rules of pre-copy, and stays moved', async () => {
  const { driver, vm, ends } = await migration('first', { vms, rateBytesPerSec: 50_000_000 }, {});
  const progress: MigrationProgress[] = [];
  const prepared = await driver.prepare({ signal });
  const options = {
    signal,
    onProgress: (one: MigrationProgress) => progress.push(one),
    onPointOfNoReturn: async () => {},
  };
  await driver.perform(prepared, {}, options);
  const report = await driver.confirm(prepared, { signal });
  assert.equal((await driver.locate({ signal })).where, 'destination');
  assert.ok((report.bytesTransferred ?? 0) >= 10_000_000);
  assert.ok(progress.length > 0);
  await connect({ world: 'first', host: 'a', vms, rateBytesPerSec: 1_000_000 });
  await assert.rejects(ends.source.findVm(vm.id, { signal }), { code: 'VM_NOT_FOUND' }, 'it is not started again');
});

test('a bandwidth limit slows it down while it runs', async () => {
  const big = [{ name: 'web', memoryBytes: 1_000_000_000, dirtyRateBytesPerSec: 0 }];
  const { driver } = await migration('slow', { vms: big, rateBytesPerSec: 1_000_000_000 }, {});
  const prepared = await driver.prepare({ signal });
  const mind = new AbortController();
  const rates: (number | null)[] = [];
  const performing = driver.perform(
    prepared,
    {},
    {
      signal: mind.signal,
      onPointOfNoReturn: async () => undefined,
      onProgress: ({ rateBytesPerSec }) => {
        rates.push(rateBytesPerSec);
        if (rates.length === 1) void driver.setBandwidth(5_000_000, { signal });
        if (rateBytesPerSec === 5_000_000) mind.abort();
      },
    },
  );
  await assert.rejects(performing, { code: 'ABORTED' });
  assert.deepEqual([rates[0], rates.at(-1)], [1_000_000_000, 5_000_000]);
  assert.equal((await driver.abort({ signal })).where, 'source');
});

test('delays and faults by configuration: of one call, of one VM, so often', async () => {
  const faults = [
    { call: 'prepare', kind: 'before', code: 'INCOMPATIBLE', vm: 'web' },
    { call: 'presence', kind: 'reply-lost', times: null, vm: 'nobody' },
  ];
  const { driver } = await migration('faulty', { vms }, { faults, delaysMs: { finish: 120 } }, { durationMs: 1 });
  await assert.rejects(driver.prepare({ signal }), { code: 'INCOMPATIBLE' });
  const prepared = await driver.prepare({ signal });
  await driver.perform(prepared, {}, { signal, onProgress: () => undefined, onPointOfNoReturn: async () => undefined });
  const before = performance.now();
  await driver.confirm(prepared, { signal });
  assert.ok(performance.now() - before > 100);
});

test('the inventory has the host, and the storage that the configuration names', async () => {
  const storage = [{ name: 'shelf', capacityBytes: 100, freeBytes: 40 }];
  const session = await connect({ world: 'with-storage', host: 'a', vms, cpus: 4, memoryBytes: 50_000_000, storage });
  const inventory = await session.inventory({ signal });
  const numbers = { cpus: 4, memoryBytes: 50_000_000, memoryFreeBytes: 40_000_000 };
  assert.deepEqual(inventory.hosts, [{ name: 'a', cluster: null, state: 'connected', ...numbers }]);
  assert.deepEqual(inventory.storage, [
    { name: 'shelf', usable: true, capacityBytes: 100, freeBytes: 40, shared: false },
  ]);
});

test('two worlds have no way between them', async () => {
  await assert.rejects(migration('here', { vms }, { world: 'there' }), { code: 'INVALID_CONFIG' });
});
