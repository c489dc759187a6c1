/** The storage of a host in its inventory: its active pools, and what libvirt knows of each. */
import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { ERROR, POOL_STATE } from './rpc/constants.ts';
import { FakeWorld } from './testing/fake-libvirt/index.ts';

const GIB = 1024n ** 3n;
const signal = AbortSignal.timeout(60_000);

test('active pools with their sizes; what comes over a network is shared, of the rest nobody can say', async () => {
  const host = new FakeWorld().addHost('a', tmpdir());
  const session = await host.session(signal);
  const inventory = () => session.inventory({ signal });
  assert.deepEqual((await inventory()).storage, []);
  const sizes = { capacity: 100n * GIB, allocation: 40n * GIB, available: 60n * GIB };
  host.pools.set('default', { state: POOL_STATE.running, isNetworked: false, ...sizes });
  host.pools.set('nfs', { state: POOL_STATE.inaccessible, isNetworked: true, ...sizes });
  host.pools.set('off', { state: POOL_STATE.inactive, isNetworked: false, ...sizes });
  const shown = { capacityBytes: Number(100n * GIB), freeBytes: Number(60n * GIB) };
  assert.deepEqual((await inventory()).storage, [
    { name: 'default', usable: true, ...shown, shared: null },
    { name: 'nfs', usable: false, ...shown, shared: true },
  ]);
  host.on('storagePoolGetInfo', { do: 'refuse', number: ERROR.NO_STORAGE_POOL });
  assert.equal((await inventory()).storage?.length, 1, 'one that went away meanwhile');
  host.on('connectListAllStoragePools', { do: 'refuse', number: ERROR.NO_SUPPORT });
  assert.deepEqual((await inventory()).storage, [], 'no storage driver');
  await session.close();
});

test('a pool that hangs holds up the inventory for a moment only, and is asked again once it has answered', async () => {
  const host = new FakeWorld().addHost('a', tmpdir());
  const session = await host.session(signal);
  const refreshed = Promise.withResolvers<void>();
  host.on('connectListAllStoragePools', { do: 'hold', before: () => refreshed.promise });
  const hosts = async () => {
    const inventory = await session.inventory({ signal });
    return [inventory.hosts?.length, inventory.storage];
  };
  // More often than the connection has places for calls.
  assert.deepEqual(await Promise.all(Array.from({ length: 6 }, hosts)), Array(6).fill([1, undefined]));
  refreshed.resolve();
  assert.deepEqual(await hosts(), [1, []]);
  await session.close();
});

test('a host is the one host of its endpoint, with its own numbers', async () => {
  const host = new FakeWorld().addHost('a', tmpdir());
  const session = await host.session(signal);
  const { hosts, host: whole } = await session.inventory({ signal });
  const { version: _, ...numbers } = whole;
  assert.deepEqual(hosts, [{ ...numbers, cluster: null, state: 'connected' }]);
  await session.close();
});
