/** The hosts and datastores of a vCenter in its inventory: what each has, who sees what, and always as it is now. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { EndpointSession, Inventory } from '@lmas/plugin-api';
import { alpha, vmSpec } from '../lab/vsphere/two-vcenters.ts';
import type { LocalVcenter } from '../lab/vsphere/vcenter.ts';
import { Rehearsal } from './rehearsal.ts';

const [MIB, GIB] = [1024 ** 2, 1024 ** 3];

const refOf = ({ endpoint }: LocalVcenter, type: string, name: string) => {
  const ref = endpoint.objects.byName(type, name);
  assert.ok(ref !== undefined, name);
  return ref;
};
const byName = (one: { readonly name: string }, other: { readonly name: string }) => one.name.localeCompare(other.name);
/** Each with what is looked at. */
const inShort = <T extends { readonly name: string }>(rows: readonly T[] | undefined, shown: (row: T) => unknown) =>
  Object.fromEntries((rows ?? []).map((row) => [row.name, shown(row)]));

for (const protocol of ['soap', 'json'] as const) {
  describe(`places of a vCenter (${protocol})`, { concurrency: 1 }, () => {
    test('hosts with their cluster and numbers, what they see, and which of them runs a VM', async () => {
      const source = { hosts: alpha([vmSpec('shop'), vmSpec('off', { poweredOn: false })]).hosts };
      await using rehearsal = await Rehearsal.make({ protocol, source });
      const { world, signal } = rehearsal;
      const session = await world.session('source');
      const { hosts = [], storage = [], vms } = await session.inventory({ signal });
      const id = (type: string, name: string) => refOf(world.source, type, name).value;
      const common = { cluster: 'compute', state: 'connected', cpus: 32, memoryBytes: 64 * GIB };
      assert.deepEqual(hosts.toSorted(byName), [
        { name: 'esx-a1', id: id('HostSystem', 'esx-a1'), ...common, memoryFreeBytes: 64 * GIB - 16 * MIB },
        { name: 'esx-a2', id: id('HostSystem', 'esx-a2'), ...common, memoryFreeBytes: 64 * GIB },
      ]);
      const sizes = { capacityBytes: 1_024 * GIB, freeBytes: 512 * GIB, usable: true };
      assert.deepEqual(storage.toSorted(byName), [
        { name: 'local-1', id: id('Datastore', 'local-1'), ...sizes, shared: false, host: 'esx-a1' },
        { name: 'local-2', id: id('Datastore', 'local-2'), ...sizes, shared: false, host: 'esx-a2' },
        { name: 'shared', id: id('Datastore', 'shared'), ...sizes, shared: true },
      ]);
      assert.deepEqual(
        inShort(vms, ({ host }) => host),
        { shop: 'esx-a1', off: undefined },
      );
      assert.equal((await session.findVm('shop', { signal })).host, 'esx-a1');
      const there = await (await world.session('destination')).inventory({ signal });
      assert.deepEqual(
        inShort(there.hosts, ({ cluster }) => cluster),
        { 'esx-b1': null },
      );
      assert.deepEqual(world.violations(), []);
    });

    test('an endpoint of some hosts has those alone, and only what they see', async () => {
      await using rehearsal = await Rehearsal.make({ protocol });
      const { world, signal } = rehearsal;
      const session = await world.session('source', { hosts: ['esx-a2'] });
      const { hosts, storage } = await session.inventory({ signal });
      assert.deepEqual(
        inShort(hosts, ({ state }) => state),
        { 'esx-a2': 'connected' },
      );
      assert.deepEqual(
        inShort(storage, ({ shared, host }) => [shared, host]),
        { 'local-2': [false, 'esx-a2'], shared: [true, 'esx-a2'] },
      );
    });

    test('what becomes of them is seen by the session that is open, also the memory, whose changes vSphere does not tell', async () => {
      await using rehearsal = await Rehearsal.make({ protocol });
      const { world, signal } = rehearsal;
      const { objects } = world.source.endpoint;
      const session = await world.session('source');
      const [one, other] = ['esx-a1', 'esx-a2'].map((name) => refOf(world.source, 'HostSystem', name));
      assert.ok(one !== undefined && other !== undefined);
      const states = ({ hosts }: Inventory) => inShort(hosts, ({ state }) => state);
      assert.deepEqual(states(await look(session)), { 'esx-a1': 'connected', 'esx-a2': 'connected' });
      objects.merge(one, 'runtime', { connectionState: 'notResponding' });
      objects.merge(other, 'runtime', { inMaintenanceMode: true });
      const { quickStats } = objects.get(other, 'summary') as { quickStats: object };
      objects.merge(other, 'summary', { quickStats: { ...quickStats, overallMemoryUsage: 1_024 } });
      const local = refOf(world.source, 'Datastore', 'local-1');
      objects.merge(local, 'summary', { freeSpace: 3 * GIB, accessible: false });
      const shared = refOf(world.source, 'Datastore', 'shared');
      objects.merge(shared, 'summary', { maintenanceMode: 'inMaintenance' });
      const now = await look(session);
      assert.deepEqual(states(now), { 'esx-a1': 'disconnected', 'esx-a2': 'maintenance' });
      assert.equal(now.hosts?.find(({ name }) => name === 'esx-a2')?.memoryFreeBytes, 63 * GIB);
      assert.deepEqual(
        inShort(now.storage, ({ usable, freeBytes }) => [usable, freeBytes]),
        { 'local-1': [false, 3 * GIB], 'local-2': [true, 512 * GIB], shared: [false, 512 * GIB] },
      );
      objects.merge(other, 'runtime', { inMaintenanceMode: false });
      objects.merge(other, 'summary', { quickStats: { ...quickStats, overallMemoryUsage: 2_048 } });
      assert.equal((await look(session)).host.memoryFreeBytes, 62 * GIB, 'of those that are connected');
      assert.deepEqual(world.violations(), []);

      async function look(by: EndpointSession) {
        return await by.inventory({ signal });
      }
    });
  });
}
