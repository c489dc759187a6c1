/**
 * One pool that spans both sites: it has one record of the guest, and only the host in it says where the guest is. Through
 * the tunnel `VM.migrate_send` moves it, for the addresses of `VM.pool_migrate` cannot be changed; straight that one does.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MigrationContext, MigrationDriver, Prepared } from '@lmas/plugin-api';
import { plugin, XenWorld } from '../compliance/xen-world.ts';

const signal = AbortSignal.timeout(120_000);
const silent = () => undefined;
const context: MigrationContext = {
  log: { debug: silent, info: silent, warn: silent, error: silent },
  recordIntent: async () => undefined,
  assertCurrent: async () => undefined,
};

interface Sites {
  readonly source?: readonly string[];
  readonly destination?: readonly string[];
}

async function driverOf(
  world: XenWorld,
  tunnelled: boolean,
  { source = ['alpha-1'], destination = ['alpha-2'] }: Sites = {},
  options: object = {},
): Promise<MigrationDriver> {
  const [from, to] = [source, destination].map((hosts) => world.session(world.source, undefined, undefined, hosts));
  const ends = { source: await from, destination: await to } as Parameters<typeof plugin.migration>[0];
  const request = {
    ...{ migrationId: 'm_1', vm: world.vm, networkMap: {}, diskMap: {}, convergence: 'balanced' as const },
    ...{ maxDowntimeMs: null, bandwidthBytesPerSec: null, tunnelled, options: plugin.optionsSchema.parse(options) },
  };
  return plugin.migration(ends, request, context);
}

/** The routes are the host's own addresses: what a gateway would hand on. */
const perform = (driver: MigrationDriver, prepared: Prepared, stop = signal): Promise<void> =>
  driver.perform(prepared, Object.fromEntries(prepared.flows.map(({ id, host, port }) => [id, { host, port }])), {
    signal: stop,
    onProgress: silent,
    onPointOfNoReturn: async () => undefined,
  });

const hostOf = (world: XenWorld): unknown => {
  const { resident_on: host } = world.source.guest(world.vm.id);
  return world.source.database.get('host', String(host))?.name_label;
};

for (const [tunnelled, method] of [
  [true, 'Async.VM.migrate_send'],
  [false, 'Async.VM.pool_migrate'],
] as const) {
  test(`${tunnelled ? 'through the tunnel' : 'straight'}: ${method}`, async () => {
    await using world = await XenWorld.make();
    const driver = await driverOf(world, tunnelled);
    assert.equal((await driver.locate({ signal })).where, 'source');
    const { findings } = await driver.check({ signal });
    assert.ok(!findings.some(({ severity }) => severity === 'blocker'), JSON.stringify(findings));
    const prepared = await driver.prepare({ signal });
    await perform(driver, prepared);
    await driver.confirm(prepared, { signal });
    assert.equal((await driver.locate({ signal })).where, 'destination');
    assert.equal(hostOf(world), 'alpha-2');
    assert.ok(world.source.calls.includes(method));
    assert.deepEqual(world.source.guest(world.vm.id).other_config, {});
    assert.equal(world.maxRunningCopies(), 1);
  });
}

test('cancelled in the middle it is at the source, whole', async () => {
  await using world = await XenWorld.make();
  const mind = new AbortController();
  world.whilePerforming(() => mind.abort());
  const driver = await driverOf(world, true);
  const prepared = await driver.prepare({ signal });
  await assert.rejects(perform(driver, prepared, mind.signal), { code: 'ABORTED' });
  assert.equal((await driver.abort({ signal })).where, 'source');
  assert.equal(hostOf(world), 'alpha-1');
  assert.equal(world.source.database.table('VDI').size, 2);
});

test('a destination that names no hosts is refused: nobody could tell whether the guest has arrived', async () => {
  await using world = await XenWorld.make();
  const driver = await driverOf(world, true, { destination: [] }, { destinationHost: 'alpha-2' });
  const { findings } = await driver.check({ signal });
  assert.ok(findings.some(({ severity, code }) => severity === 'blocker' && code === 'SITE_NOT_CLEAR'));
  await assert.rejects(driver.prepare({ signal }), { code: 'INCOMPATIBLE' });
});

test('a guest that runs at a host of the destination already is refused, and no migration of it succeeds', async () => {
  await using world = await XenWorld.make();
  const driver = await driverOf(world, true, { destination: ['alpha-1', 'alpha-2'] });
  const { findings } = await driver.check({ signal });
  assert.ok(findings.some(({ severity, code }) => severity === 'blocker' && code === 'ALREADY_THERE'));
  await assert.rejects(driver.prepare({ signal }), { code: 'NOT_MIGRATABLE' });
});
