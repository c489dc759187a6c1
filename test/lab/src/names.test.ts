import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressesOf, checkName, MACHINES, managementBridge, managementPort, netnsOf } from './names.ts';

test('no two labs share an interface, a namespace or an address, and interface names fit', () => {
  const names = [0, 7, 254, 255].flatMap((index) => [
    managementBridge(index),
    ...MACHINES.map((machine) => managementPort(index, machine)),
  ]);
  assert.equal(new Set(names).size, names.length);
  assert.ok(names.every((name) => name.length <= 15));
  const addresses = [0, 7, 254, 255].flatMap((index) => {
    const { machine, router, managementGateway } = addressesOf(index);
    return [
      managementGateway,
      ...MACHINES.flatMap((name) => Object.values(machine[name])),
      router.a.site,
      router.a.wan,
      router.b.site,
      router.b.wan,
    ];
  });
  assert.equal(new Set(addresses).size, addresses.length);
  assert.notEqual(netnsOf('one', 'wan'), netnsOf('two', 'wan'));
});

test('a name that could mean something to a shell or a path is refused', () => {
  for (const name of ['', 'A', '1a', 'a-b', '../x', 'abcdefghijklm', 'a b'])
    assert.throws(() => checkName(name), { code: 'LAB_NAME_INVALID' });
  assert.equal(checkName('lmas2'), 'lmas2');
});
