import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AddressSet } from './address-set.ts';
import { renderBarrier } from './barrier.ts';

const pairs = [
  { source: '10.1.0.10', destination: '10.2.0.10' },
  { source: 'fd00:1::10', destination: 'fd00:2::10' },
];
const text = renderBarrier('vm-7', 'vmotion', AddressSet.of({ pairs, ports: [8000] }));

test('it refuses what either host sends to the port of the other, and what is answered from there, in each family', () => {
  const refused = text.split('\n').filter((line) => line.includes('reject with tcp reset'));
  for (const [ip, family] of [
    ['ip', 4],
    ['ip6', 6],
  ]) {
    for (const hosts of [`${ip} saddr . ${ip} daddr`, `${ip} daddr . ${ip} saddr`]) {
      for (const port of ['dport', 'sport']) {
        const rule = `    ${hosts} . tcp ${port} @connections_${family} counter name refused reject with tcp reset`;
        assert.ok(refused.includes(rule), rule);
      }
    }
  }
  assert.equal(refused.length, 8);
});

test('it stands in the forwarding path, where nothing comes by that a gateway has taken, and all else passes', () => {
  assert.match(text, /^table inet lmas_barrier_vm-7\.vmotion\ndelete table inet lmas_barrier_vm-7\.vmotion\n/);
  assert.match(text, /chain forward \{\n {4}type filter hook forward priority filter; policy accept;/);
});
