import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AddressSet } from './address-set.ts';
import { parseSetName, renderTable, setName } from './ruleset.ts';

const pairs = [
  { source: '10.1.0.10', destination: '10.2.0.0/24' },
  { source: 'fd00:1::10', destination: 'fd00:2::10' },
];
const set = AddressSet.of({ pairs, ports: [8000, { from: 902, to: 903 }] });
const render = (end: 'intercept' | 'dial', active: boolean) =>
  renderTable('lmas_1_2_3', 0x4c000002, [{ id: 'vm', end, set, listenerPorts: { 4: 9004, 6: 9006 } }], active);

test('the intercepting end: requests by TPROXY, and the mark only after it, so that a dead listener forwards', () => {
  const text = render('intercept', true);
  assert.match(text, /^table inet lmas_1_2_3\ndelete table inet lmas_1_2_3\n/);
  assert.match(
    text,
    /elements = \{ 10\.1\.0\.10 \. 10\.2\.0\.0\/24 \. 8000, 10\.1\.0\.10 \. 10\.2\.0\.0\/24 \. 902-903 \}/,
  );
  const requests = text.split('\n').filter((line) => line.includes('tproxy'));
  assert.equal(requests.length, 2);
  for (const line of requests) {
    assert.match(line, /== syn tproxy ip6? to \S+:900[46] meta mark set 1275068418 accept$/);
  }
  assert.match(text, /fib daddr type local accept\n {4}ip saddr/, 'what is for this machine comes first');
  assert.match(text, /ip daddr 10\.1\.0\.10 icmp type redirect drop/);
});

test('the dialling end: only what comes back to a socket of ours', () => {
  const text = render('dial', true);
  assert.ok(!text.includes('tproxy'));
  assert.match(
    text,
    /ip6 daddr \. ip6 saddr \. tcp sport @dial_6_vm socket transparent 1 meta mark set 1275068418 accept/,
  );
  assert.match(text, /ip daddr 10\.2\.0\.0\/24 icmp type redirect drop/);
});

test('while nothing is carried the sets say what is taken, and no packet is looked at', () => {
  const text = render('intercept', false);
  assert.ok(text.includes('set intercept_4_vm') && !text.includes('chain'));
});

test('names of sets can be read back', () => {
  assert.deepEqual(parseSetName(setName('dial', 6, 'a-b')), { end: 'dial', family: 6, route: 'a-b' });
  assert.equal(parseSetName('blocklist'), null);
});
