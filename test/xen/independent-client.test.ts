/**
 * The lab's pool endpoint before a judge of its own: the npm client `xen-api`, which others wrote for real pools, logs in,
 * follows a member's redirect, caches the pool's objects by events, and moves a VM. So the endpoint and our plugin cannot
 * share a misunderstanding of the wire.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createClient, type Xapi } from 'xen-api';
import { PASSWORD, XenWorld } from '../compliance/xen-world.ts';
import type { XapiPool } from '../lab/xapi/pool.ts';

/** Logged in until its scope ends. */
async function connect(
  pool: XapiPool,
  watchEvents: boolean | readonly string[] = false,
): Promise<{ readonly xapi: Xapi } & AsyncDisposable> {
  const url = `https://${pool.spec.members[0]?.management}`;
  const xapi = createClient({ url, allowUnauthorized: true, auth: { user: 'root', password: PASSWORD }, watchEvents });
  await xapi.connect();
  return { xapi, [Symbol.asyncDispose]: () => xapi.disconnect() };
}

test('it logs in, also through a member that is not the coordinator, and finds the VM', {
  timeout: 60_000,
}, async () => {
  await using world = await XenWorld.make();
  world.source.setCoordinator(1);
  await using client = await connect(world.source);
  const { xapi } = client;
  const vm = await xapi.getRecordByUuid('VM', world.vm.id);
  assert.equal(vm.name_label, world.vm.name);
  assert.equal(vm.power_state, 'Running');
});

test('its cache of objects fills, and follows changes by events', { timeout: 60_000 }, async () => {
  await using world = await XenWorld.make();
  await using client = await connect(world.source, ['VM', 'host']);
  const { xapi } = client;
  await xapi.objectsFetched;
  const ref = world.source.database.byName('VM', world.vm.name);
  assert.ok(Object.values(xapi.objects.all).some((object) => object.$ref === ref));
  const changed = new Promise<void>((resolve) => {
    xapi.objects.on('update', (objects: Record<string, { name_label?: string }>) => {
      if (Object.values(objects).some(({ name_label: name }) => name === 'renamed')) resolve();
    });
  });
  world.source.database.update('VM', ref, { name_label: 'renamed' });
  await changed;
});

test('it moves the VM to the other pool, bytes and all', { timeout: 60_000 }, async () => {
  await using world = await XenWorld.make();
  const { source, destination } = world;
  await using from = await connect(source, ['task']);
  await using to = await connect(destination);
  const host = destination.database.byName('host', 'beta-2');
  const network = destination.database.byName('network', 'migration');
  const map = await to.xapi.call('host.migrate_receive', host, network, {});
  const vm = source.database.need('VM', source.database.byName('VM', world.vm.name));
  const [sr = ''] = destination.database.table('SR').keys();
  const lan = destination.database.byName('network', 'lan');
  const vdis = (vm.VBDs as string[]).map((vbd) => [String(source.database.need('VBD', vbd).VDI), sr]);
  const vifs = (vm.VIFs as string[]).map((vif) => [vif, lan]);
  const maps = [Object.fromEntries(vdis), Object.fromEntries(vifs), {}];
  await from.xapi.callAsync('VM.migrate_send', source.database.byName('VM', world.vm.name), map, true, ...maps);
  assert.deepEqual(world.runningCopies(), { source: false, destination: true });
  assert.equal(world.maxRunningCopies(), 1);
});
