/**
 * One pool that spans both sites: it has one record of the guest, and only the host in it says where the guest is. Through
 * the tunnel `VM.migrate_send` moves it, for the addresses of `VM.pool_migrate` cannot be changed; a direct migration uses that one.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { MigrationContext, MigrationDriver, Prepared } from '@lmas/plugin-api';
import { plugin, XenWorld } from '../compliance/xen-world.ts';
import { impatient } from './driving.ts';

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
  { migration } = plugin,
  settings: object = {},
): Promise<MigrationDriver> {
  const [from, to] = [source, destination].map((hosts) =>
    world.session(world.source, undefined, undefined, hosts, settings),
  );
  const ends = { source: await from, destination: await to } as Parameters<typeof plugin.migration>[0];
  const request = {
    ...{ migrationId: 'm_1', vm: world.vm, networkMap: {}, diskMap: {}, convergence: 'balanced' as const },
    ...{ maxDowntimeMs: null, bandwidthBytesPerSec: null, tunnelled, options: plugin.optionsSchema.parse(options) },
  };
  return migration(ends, request, context);
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
  test(`${tunnelled ? 'through the tunnel' : 'direct'}: ${method}`, async () => {
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

for (const [route, method] of [
  ['redirected', 'Async.VM.migrate_send'],
  ['transparent', 'Async.VM.pool_migrate'],
] as const) {
  test(`cancelled in the middle it is at the source, whole (${route}: ${method})`, async () => {
    await using world = await XenWorld.make();
    const mind = new AbortController();
    world.whilePerforming(() => mind.abort());
    const driver = await driverOf(world, true, {}, { route });
    const prepared = await driver.prepare({ signal });
    await assert.rejects(perform(driver, prepared, mind.signal), { code: 'ABORTED' });
    assert.ok(world.source.calls.includes(method));
    assert.equal((await driver.abort({ signal })).where, 'source');
    assert.equal(hostOf(world), 'alpha-1');
    assert.deepEqual(world.source.guest(world.vm.id).other_config, {});
    assert.equal(world.source.database.table('VDI').size, 2);
    assert.equal(world.maxRunningCopies(), 1);
  });
}

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

test('through intercepting gateways one pool is moved by its own call, and nobody is told an address', async () => {
  await using world = await XenWorld.make();
  const driver = await driverOf(world, true, {}, { route: 'transparent' });
  const prepared = await driver.prepare({ signal });
  assert.deepEqual(prepared.flows, []);
  const [flow, ...more] = prepared.transparentFlows ?? [];
  const address = world.source.spec.members[1]?.migration;
  const from = world.source.spec.members[0]?.migration;
  assert.deepEqual([more, flow?.ports], [[], [443, 80]]);
  assert.ok(flow?.pairs.some((pair) => pair.source === from && pair.destination === address));
  assert.ok(flow?.pairs.every(({ destination }) => destination === address));
  await perform(driver, prepared);
  assert.equal(world.source.streams.length, 2, 'its memory, and what is said about it');
  for (const { port, ...pair } of world.source.streams) {
    assert.ok(
      flow?.pairs.some((each) => isDeepStrictEqual(each, pair)),
      `${JSON.stringify(pair)} is not intercepted`,
    );
    assert.ok(flow?.ports.includes(port), `${port} is not intercepted`);
  }
  await driver.confirm(prepared, { signal });
  assert.equal(hostOf(world), 'alpha-2');
  assert.ok(world.source.calls.includes('Async.VM.pool_migrate'));
  assert.ok(!world.source.calls.includes('Async.VM.migrate_send'));
  assert.equal(world.maxRunningCopies(), 1);
});

for (const [migrationNetwork, method, tunnelled] of [
  ['migration', 'Async.VM.migrate_send', true],
  ['migration', 'Async.VM.migrate_send', false],
  ['management', 'Async.VM.pool_migrate', true],
] as const) {
  const way = tunnelled ? 'through intercepting gateways' : 'direct';
  test(`a release whose pool_migrate knows no network, ${way}, to the address in "${migrationNetwork}": ${method}`, async () => {
    await using world = await XenWorld.make({ oldRelease: true });
    const settings = { migrationNetwork };
    const driver = await driverOf(world, tunnelled, {}, { route: 'transparent' }, plugin, settings);
    const prepared = await driver.prepare({ signal });
    await perform(driver, prepared);
    await driver.confirm(prepared, { signal });
    assert.ok(world.source.calls.includes(method));
    const address = world.source.spec.members[1]?.[migrationNetwork];
    assert.equal(world.source.streams.length, 2);
    assert.ok(world.source.streams.every(({ destination }) => destination === address));
    assert.equal(hostOf(world), 'alpha-2');
    assert.equal(world.maxRunningCopies(), 1);
  });
}

test('a disk that is reset at boot stays where it is under pool_migrate; one with a cache at its host XAPI does not move', async () => {
  await using world = await XenWorld.make();
  const { database } = world.source;
  const [vdi = ''] = database.table('VDI').keys();
  const blockersOf = async (route: string) => {
    const { findings } = await (await driverOf(world, true, {}, { route })).check({ signal });
    return findings.flatMap(({ severity, code }) => (severity === 'blocker' ? [code] : []));
  };
  database.update('VDI', vdi, { on_boot: 'reset' });
  assert.deepEqual(await blockersOf('transparent'), []);
  assert.deepEqual(await blockersOf('redirected'), ['DISK_RESETS']);
  database.update('VDI', vdi, { sm_config: { on_boot: 'reset', caching: 'true' } });
  assert.deepEqual(await blockersOf('transparent'), ['DISK_RESETS']);
});

test('without Storage XenMotion a pool is moved by pool_migrate alone', async () => {
  await using world = await XenWorld.make();
  const host = world.source.database.byName('host', 'alpha-1');
  world.source.database.update('host', host, { license_params: { restrict_storage_xen_motion: 'true' } });
  const redirected = await driverOf(world, true);
  const { findings } = await redirected.check({ signal });
  const [licence, ...more] = findings.filter(({ severity }) => severity === 'blocker');
  assert.deepEqual([licence?.code, more], ['LICENCE', []]);
  assert.match(licence?.remedy ?? '', /transparent route/);
  const prepared = await redirected.prepare({ signal });
  await assert.rejects(perform(redirected, prepared), {
    native: { name: 'LICENCE_RESTRICTION', message: 'Storage_motion' },
  });
  assert.equal(hostOf(world), 'alpha-1');
  const transparent = await driverOf(world, true, {}, { route: 'transparent' });
  assert.ok((await transparent.check({ signal })).findings.every(({ severity }) => severity !== 'blocker'));
  const again = await transparent.prepare({ signal });
  await perform(transparent, again);
  await transparent.confirm(again, { signal });
  assert.equal(hostOf(world), 'alpha-2');
});

test('before pool_migrate XAPI says whether the guest can run there: in the check and before the call', async () => {
  await using world = await XenWorld.make();
  const { source } = world;
  const driver = await driverOf(world, false);
  const prepared = await driver.prepare({ signal });
  const refuse = { method: 'VM.assert_can_boot_here', code: 'VM_REQUIRES_VGPU' };
  source.faults.refuse = refuse;
  const { findings } = await driver.check({ signal });
  assert.ok(findings.some(({ severity, code }) => severity === 'blocker' && code === 'VM_REQUIRES_VGPU'));
  source.faults.refuse = refuse;
  await assert.rejects(perform(driver, prepared), { native: { name: 'VM_REQUIRES_VGPU', message: '' } });
  assert.ok(!source.calls.includes('Async.VM.pool_migrate'));
  assert.equal(hostOf(world), 'alpha-1');
  // The endpoint's own judgement, and what `force` is for.
  const host = source.database.byName('host', 'alpha-2');
  const metrics = String(source.database.need('host', host).metrics);
  const { memory_free: free = 0 } = source.database.need('host_metrics', metrics);
  source.database.update('host_metrics', metrics, { memory_free: 1 });
  await assert.rejects(perform(driver, prepared), { code: 'INCOMPATIBLE' });
  source.database.update('host_metrics', metrics, { memory_free: free });
  const forced = await driverOf(world, false, {}, { force: true });
  const again = await forced.prepare({ signal });
  source.faults.refuse = { method: 'VM.assert_can_boot_here', code: 'VM_INCOMPATIBLE_WITH_THIS_HOST' };
  await perform(forced, again);
  await forced.confirm(again, { signal });
  assert.equal(hostOf(world), 'alpha-2');
});

test('the reply to pool_migrate is lost: the session that it uses is ended with the move, and not before', async () => {
  await using world = await XenWorld.make();
  const { source } = world;
  const { faults, sessions } = source;
  faults.holdAt = 'memory';
  faults.loseReplyOf = 'Async.VM.pool_migrate';
  const driver = await driverOf(world, false);
  const before = sessions.count;
  const prepared = await driver.prepare({ signal });
  await assert.rejects(perform(driver, prepared), { code: 'CONNECTION_LOST' });
  assert.equal((await driver.locate({ signal })).moving, true);
  faults.holdAt = undefined;
  await driver.follow({ signal, onProgress: silent });
  await driver.confirm(prepared, { signal });
  assert.equal(hostOf(world), 'alpha-2');
  assert.equal(world.maxRunningCopies(), 1);
  for (let left = 200; sessions.count !== before; left -= 1) {
    assert.ok(left > 0, `${sessions.count} sessions, and not ${before}`);
    await sleep(20);
  }
});

test('who ends while pool_migrate moves the guest leaves the session to it', async () => {
  await using world = await XenWorld.make();
  const { source } = world;
  source.faults.holdAt = 'memory';
  const moving = Promise.withResolvers<void>();
  world.whilePerforming(() => moving.resolve());
  const driver = await driverOf(world, false);
  const prepared = await driver.prepare({ signal });
  const performing = assert.rejects(perform(driver, prepared));
  await moving.promise;
  world.killOrchestrator();
  await performing;
  source.faults.holdAt = undefined;
  const next = await driverOf(world, false);
  await next.follow({ signal, onProgress: silent });
  await next.confirm(prepared, { signal });
  assert.equal(hostOf(world), 'alpha-2');
  assert.equal(world.maxRunningCopies(), 1);
});

test('pool_migrate that the coordinator has forgotten: nobody can cut it off, so it is not called undone', async () => {
  await using world = await XenWorld.make();
  const { source } = world;
  source.faults.holdAt = 'memory';
  world.whilePerforming(() => source.restartToolStack('go-on'));
  const driver = await driverOf(world, false, {}, {}, impatient);
  const prepared = await driver.prepare({ signal });
  await assert.rejects(perform(driver, prepared), { code: 'CONNECTION_LOST' });
  const { where, moving } = await driver.abort({ signal });
  assert.deepEqual({ where, moving }, { where: 'source', moving: true });
  assert.notDeepEqual(source.guest(world.vm.id).other_config, {}, 'the mark stays');
  assert.equal(world.maxRunningCopies(), 1);
});

test('pool_migrate failed, and its mark could not be taken off at once: its task tells that it is over, so it is no riddle', async () => {
  await using world = await XenWorld.make();
  const { faults } = world.source;
  faults.failAt = 'memory';
  faults.onStage = () => {
    faults.refuse = { method: 'VM.remove_from_other_config', code: 'HOST_OFFLINE' };
  };
  const driver = await driverOf(world, false, {}, {}, impatient);
  const prepared = await driver.prepare({ signal });
  await assert.rejects(perform(driver, prepared), { code: 'STREAM_FAILED' });
  assert.notDeepEqual(world.source.guest(world.vm.id).other_config, {}, 'the mark is on');
  const { where, moving } = await driver.abort({ signal });
  assert.deepEqual({ where, moving }, { where: 'source', moving: false });
  assert.deepEqual(world.source.guest(world.vm.id).other_config, {});
  assert.equal(world.source.database.table('task').size, 0);
});
