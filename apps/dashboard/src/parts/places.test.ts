import assert from 'node:assert/strict';
import { test } from 'node:test';
import { suggestionsOf } from './places.ts';

const GIB = 1024 ** 3;
const host = (name: string, changes: object = {}) => ({
  ...{ name, id: `id-${name}`, cluster: null, state: 'connected' as const, cpus: 8 },
  ...{ memoryBytes: 64 * GIB, memoryFreeBytes: 16 * GIB },
  ...changes,
});
const store = (name: string, changes: object = {}) => ({
  ...{ name, id: `id-${name}`, usable: true, shared: false, capacityBytes: 2 * GIB, freeBytes: GIB },
  ...changes,
});

test('hosts that take VMs are offered with their cluster and their free memory', () => {
  const hosts = [host('a', { cluster: 'one' }), host('b', { state: 'maintenance' }), host('c')];
  assert.deepEqual(suggestionsOf({ hosts, storage: [] }).host, [
    { value: 'a', words: 'cluster one, 16.0 GiB of 64.0 GiB memory free' },
    { value: 'c', words: '16.0 GiB of 64.0 GiB memory free' },
  ]);
});

test('storage that can be used, and by its id where several have one name', () => {
  const local = { capacityBytes: null, freeBytes: null };
  const storage = [
    store('shared', { shared: true }),
    store('Local storage', { id: 'one', host: 'a', ...local }),
    store('Local storage', { id: 'two', host: 'b', ...local }),
    store('away', { usable: false }),
  ];
  assert.deepEqual(suggestionsOf({ hosts: [], storage }).storage, [
    { value: 'shared', words: 'shared, 1.00 GiB of 2.00 GiB free' },
    { value: 'one', words: 'Local storage, at a' },
    { value: 'two', words: 'Local storage, at b' },
  ]);
});
