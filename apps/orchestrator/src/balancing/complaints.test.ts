/** What a policy is refused for that depends on what else there is: other policies, VMs, the time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { complaintsAbout, type Known } from './complaints.ts';
import { settings } from './testing/fixtures.ts';

const KNOWN: Known = {
  plugins: new Map(['a', 'b', 'c', 'd'].map((id) => [id, 'simulated'])),
  ...{ others: [], vms: [{ id: 'id-db', name: 'db-1' }], nowMs: Date.parse('2026-06-01T12:00:00Z') },
};
const told = (changes: object, known: Partial<Known> = {}) =>
  complaintsAbout(settings(changes), { ...KNOWN, ...known }).map(({ path, message }) => `${path}: ${message}`);

test('an endpoint is moved from and to by one policy; those that only explain are in nobody’s way', () => {
  const hall = { id: 'hall-1', mode: 'propose' as const, endpoints: ['b', 'd'] };
  assert.deepEqual(told({}, { others: [hall] }), ['endpoints: b is balanced by hall-1 already.']);
  assert.deepEqual(told({ mode: 'explain' }, { others: [hall] }), []);
  assert.deepEqual(told({}, { others: [{ ...hall, mode: 'explain' }] }), []);
});

test('a rule that names a VM which nobody has is refused, but for patterns, silence, and what it said before', () => {
  const rules = { pinned: ['db1', 'id-db', 'web-*', 'label:db'], antiAffinity: [{ vms: ['db-1', 'cache'] }] };
  assert.deepEqual(told({ rules }), [
    'rules.pinned: None of the endpoints has a VM db1.',
    'rules.antiAffinity.0: None of the endpoints has a VM cache.',
  ]);
  assert.deepEqual(told({ rules }, { vms: undefined }), [], 'one of them does not answer');
  assert.deepEqual(told({ rules }, { before: settings({ rules }) }), [], 'a VM may be gone since');
});

test('windows have to open, and mean something', () => {
  const dates = (from: string, to: string) => [{ kind: 'dates', from, to }];
  const past = dates('2020-01-01T00:00:00Z', '2020-02-01T00:00:00Z');
  assert.deepEqual(told({ windows: past }), ['windows: never opens again, with these windows and blackouts']);
  assert.deepEqual(told({ blackouts: dates('2030-02-01T00:00:00Z', '2030-01-01T00:00:00Z') }), [
    'blackouts.0.to: is not after `from`',
  ]);
  const nights = [{ kind: 'weekly', from: '22:00', to: '04:00' }];
  assert.deepEqual(told({ windows: nights, timeZone: 'Europe/Lisbon' }), []);
  assert.match(told({ windows: nights, passes: 'asked' }).join(), /^windows: .*give the windows to the schedule/);
});

test('a group that could never move together is refused; what a pattern means is not known yet', () => {
  const known = { vms: undefined };
  const rules = { affinity: [{ vms: ['label:x', 'web-*'] }, { vms: ['p1', 'p2'] }, { vms: ['p2', 'p3', 'db-*'] }] };
  assert.deepEqual(told({ rules, maxMovesPerHour: 2 }, known), [
    'rules.affinity.1: 3 VMs that move together need maxConcurrent of as many (1).',
    'rules.affinity.1: 3 VMs that move together need maxMovesPerHour of as many (2).',
  ]);
  assert.deepEqual(told({ rules, maxConcurrent: 3 }, known), []);
});
