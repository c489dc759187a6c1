import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TransparentConfig } from './address-set.ts';
import { AddressSet } from './address-set.ts';

const set = (source: string, destination: string, ports: TransparentConfig['ports'] = [8000]) =>
  AddressSet.of({ pairs: [{ source, destination }], ports });
const connection = (from: string, to: string, port: number) => ({
  source: { address: from, port: 50_000 },
  destination: { address: to, port },
});

test('exact pairs and ports, and nothing beside them', () => {
  const vmotion = set('10.1.0.10', '10.2.0.10', [8000, { from: 902, to: 903 }]);
  assert.ok(vmotion.contains(connection('10.1.0.10', '10.2.0.10', 8000)));
  assert.ok(vmotion.contains(connection('10.1.0.10', '10.2.0.10', 903)));
  const others = [
    connection('10.1.0.10', '10.2.0.10', 8001),
    connection('10.1.0.11', '10.2.0.10', 8000),
    connection('10.1.0.10', '10.2.0.11', 8000),
    connection('10.2.0.10', '10.1.0.10', 8000),
    connection('::ffff:10.1.0.10', '::ffff:10.2.0.10', 8000),
  ];
  for (const other of others) assert.ok(!vmotion.contains(other), JSON.stringify(other));
});

test('networks of both families, their edges included', () => {
  const wide = AddressSet.of({
    pairs: [
      { source: '10.1.0.0/24', destination: '10.2.0.0/23' },
      { source: 'fd00:1::/64', destination: 'fd00:2::10' },
    ],
    ports: [8000],
  });
  assert.deepEqual(wide.families(), [4, 6]);
  assert.ok(wide.contains(connection('10.1.0.255', '10.2.1.255', 8000)));
  assert.ok(!wide.contains(connection('10.1.1.0', '10.2.0.1', 8000)));
  assert.ok(!wide.contains(connection('10.1.0.1', '10.2.2.0', 8000)));
  assert.ok(wide.contains(connection('fd00:1::ffff', 'fd00:2::10', 8000)));
  assert.ok(!wide.contains(connection('fd00:1:0:1::1', 'fd00:2::10', 8000)));
});

test('special addresses are refused, and are in no network', () => {
  for (const address of [
    '127.0.0.1',
    '169.254.169.254',
    '::1',
    'fe80::1',
    '224.0.0.1',
    '::ffff:10.0.0.1',
    '0.0.0.0/0',
    '::/0',
  ]) {
    const forbidden = { code: 'ADDRESS_FORBIDDEN', message: /not dialled\. \(.*; no transparent route may have it\)$/ };
    assert.throws(() => set(address, address), forbidden, address);
  }
  const half = set('128.0.0.0/1', '10.2.0.10');
  assert.ok(half.contains(connection('192.0.2.1', '10.2.0.10', 8000)));
  assert.ok(!half.contains(connection('169.254.169.254', '10.2.0.10', 8000)));
});

test('a network that is none, and parts that overlap, are told off', () => {
  assert.throws(() => set('10.1.0.1/24', '10.2.0.10'), { code: 'INVALID_REQUEST', message: /10\.1\.0\.0\/24\?/ });
  assert.throws(() => set('10.1.0.1', '10.2.0.10', [8000, { from: 7000, to: 9000 }]), { code: 'INVALID_REQUEST' });
});

test('two sets meet where a host, its counterpart and a port are in both', () => {
  const mine = set('10.1.0.0/24', '10.2.0.10', [{ from: 8000, to: 8010 }]);
  assert.match(
    mine.meets(set('10.1.0.7', '10.2.0.0/16', [8010])) ?? '',
    /10\.1\.0\.0\/24 to 10\.2\.0\.10, port 8000-8010/,
  );
  assert.equal(mine.meets(set('10.1.0.7', '10.2.0.10', [8011])), null);
  assert.equal(mine.meets(set('10.1.1.7', '10.2.0.10', [8000])), null);
  assert.equal(mine.meets(set('10.2.0.10', '10.1.0.7', [8000])), null, 'the other way round');
});
