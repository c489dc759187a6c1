import assert from 'node:assert/strict';
import { test } from 'node:test';
import { destinationsFrom, withSource } from './destinations.ts';

const endpoints = ['kvm-a', 'kvm-b', 'xen-a'].map((id) => ({ id, plugin: id.slice(0, 3) }));

test('a VM goes to other endpoints of its hypervisor', () => {
  assert.deepEqual(destinationsFrom('kvm-a', endpoints), [endpoints[1]]);
  assert.deepEqual(destinationsFrom('', endpoints), endpoints);
  assert.deepEqual(destinationsFrom('kvm-a', endpoints, { withItself: true }), endpoints.slice(0, 2));
});

test('a destination that is offered no more is not kept behind an empty field', () => {
  const after = (source: string, destination: string) => withSource(source, { destination }, endpoints).destination;
  assert.deepEqual(
    [after('kvm-a', 'kvm-b'), after('kvm-b', 'kvm-b'), after('xen-a', 'kvm-b'), after('', 'kvm-b')],
    ['kvm-b', '', '', 'kvm-b'],
  );
});
