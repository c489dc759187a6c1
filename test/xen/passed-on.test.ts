/**
 * What the source's pool passes on from the destination's, and where the destination's may lead the source: faults about the other
 * pool's session, another coordinator there, storage at other members. Nothing of it reaches past the gateways or logs in anywhere else.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { XenWorld } from '../compliance/xen-world.ts';
import type { ClassName } from '../lab/xapi/database.ts';
import type { XapiPool } from '../lab/xapi/pool.ts';
import { assertOneAt, driverOf, migrate, perform } from './driving.ts';

const signal = AbortSignal.timeout(110_000);
const count = ({ calls }: XapiPool, method: string): number => calls.filter((call) => call === method).length;
const LOGIN = 'session.login_with_password';
const DRY_RUN = 'VM.assert_can_migrate';

for (const code of ['HOST_IS_SLAVE', 'SESSION_INVALID']) {
  test(`${code} of the other pool is the verdict of the dry run, and no reason to log in anywhere`, async () => {
    await using world = await XenWorld.make();
    const { source, destination } = world;
    const driver = await driverOf(world);
    const prepared = await driver.prepare({ signal });
    const logins = [source, destination].map((pool) => count(pool, LOGIN));
    const params = [code === 'HOST_IS_SLAVE' ? (destination.members[1]?.management ?? '') : 'OpaqueRef:theirs'];
    source.faults.refuse = { method: DRY_RUN, code, params, times: 9 };
    await assert.rejects(perform(driver, prepared), (error: { code?: string; native?: { name: string } }) => {
      assert.deepEqual([error.code, error.native?.name], ['STREAM_FAILED', code]);
      return true;
    });
    assert.equal(count(source, DRY_RUN), 1);
    assert.deepEqual(
      [source, destination].map((pool) => count(pool, LOGIN)),
      logins,
    );
    assert.equal(count(source, 'Async.VM.migrate_send'), 0);
    assertOneAt(world, 'source');
  });
}

test('the source’s own session that is lost in the dry run is renewed all the same', async () => {
  await using world = await XenWorld.make();
  world.destination.faults.onCall = (method) => {
    if (method === 'host.migrate_receive') world.source.sessions.endAll();
  };
  await migrate(await driverOf(world));
  assertOneAt(world, 'destination');
});

test('another coordinator since the routes were opened: the source is not led to the old one', async () => {
  await using world = await XenWorld.make();
  addStorage(world.destination, 'local', ['beta-2']);
  const options = { relayCoordinator: true, destinationHost: 'beta-2', defaultStorage: 'local' };
  const driver = await driverOf(world, { tunnelled: true, options });
  const prepared = await driver.prepare({ signal });
  assert.deepEqual(new Set(prepared.flows.map(({ addressGroup }) => addressGroup)), new Set(['host', 'coordinator']));
  world.destination.setCoordinator(1);
  await assert.rejects(perform(driver, prepared), (error: { code?: string; retryable?: boolean }) => {
    assert.deepEqual([error.code, error.retryable], ['INCOMPATIBLE', true]);
    return true;
  });
  assert.equal(count(world.source, DRY_RUN), 0);
  assertOneAt(world, 'source');
});

const first = ({ database }: XapiPool, kind: ClassName): string => [...database.table(kind).keys()][0] ?? '';

/** Storage at those members alone. */
function addStorage({ database }: XapiPool, name: string, members: readonly string[]): string {
  const sr = database.add('SR', {
    ...{ uuid: `sr-${name}`, name_label: name, name_description: '', type: 'ext', content_type: 'user' },
    ...{ shared: members.length > 1, physical_size: 2 ** 36, physical_utilisation: 0, virtual_allocation: 0 },
    ...{ PBDs: [], VDIs: [], other_config: {}, sm_config: {} },
  });
  const pbds = members.map((member) => {
    const host = database.byName('host', member);
    return database.add('PBD', {
      ...{ uuid: `pbd-${name}-${member}`, host, SR: sr, currently_attached: true, device_config: {}, other_config: {} },
    });
  });
  database.update('SR', sr, { PBDs: pbds });
  return sr;
}

test('the host is chosen that sees all the storage, though another one has more memory', async () => {
  await using world = await XenWorld.make();
  const { source, destination } = world;
  addStorage(destination, 'fast', ['beta-2']);
  const [memory = ''] = destination.database.table('host_metrics').keys();
  destination.database.update('host_metrics', memory, { memory_free: 2 ** 36, memory_total: 2 ** 36 });
  const driver = await driverOf(world, { diskMap: { xvdb: 'fast', xvda: 'fast' } });
  const prepared = await driver.prepare({ signal });
  await perform(driver, prepared);
  await driver.confirm(prepared, { signal });
  const { resident_on: host } = destination.guest(world.vm.id);
  assert.equal(destination.database.need('host', String(host)).name_label, 'beta-2');
  assert.equal(destination.storageRedirects, 0);
  assert.equal(count(source, 'Async.VM.migrate_send'), 1);
});

test('storage that no host sees is refused by prepare, too', async () => {
  await using world = await XenWorld.make();
  for (const ref of world.destination.database.table('PBD').keys())
    world.destination.database.update('PBD', ref, { currently_attached: false });
  const driver = await driverOf(world);
  await assert.rejects(driver.prepare({ signal }), { code: 'INCOMPATIBLE' });
});

test('storage that is unplugged between prepare and perform is refused before XAPI connects', async () => {
  await using world = await XenWorld.make();
  const driver = await driverOf(world);
  const prepared = await driver.prepare({ signal });
  for (const ref of world.destination.database.table('PBD').keys())
    world.destination.database.update('PBD', ref, { currently_attached: false });
  await assert.rejects(perform(driver, prepared), { code: 'INCOMPATIBLE' });
  assert.equal(count(world.source, DRY_RUN), 0);
  assert.equal(world.destination.sessions.count, 1, 'the session of the map was ended');
  assertOneAt(world, 'source');
});

test('shared storage leads the source to the coordinator: warned of, and refused where that one is to be relayed', async () => {
  await using world = await XenWorld.make();
  const { destination } = world;
  assert.equal(destination.database.need('SR', first(destination, 'SR')).shared, true);
  const found = async (options: object): Promise<string[]> => {
    const { findings } = await (await driverOf(world, { tunnelled: true, options })).check({ signal });
    return findings.filter(({ code }) => code !== 'DRY_RUN_LATER').map(({ code, severity }) => `${code} ${severity}`);
  };
  assert.deepEqual(await found({}), [], 'the coordinator receives itself');
  const elsewhere = { destinationHost: 'beta-2' };
  assert.deepEqual([...new Set(await found(elsewhere))], ['STORAGE_REDIRECTED warning']);
  const relayed = { ...elsewhere, relayCoordinator: true };
  assert.deepEqual([...new Set(await found(relayed))], ['STORAGE_REDIRECTED blocker']);
  const refused = await driverOf(world, { tunnelled: true, options: relayed });
  await assert.rejects(refused.prepare({ signal }), { code: 'INCOMPATIBLE' });
  await migrate(await driverOf(world, { options: elsewhere }));
  assert.ok(destination.storageRedirects > 0, 'as the finding says');
  assertOneAt(world, 'destination');
});
