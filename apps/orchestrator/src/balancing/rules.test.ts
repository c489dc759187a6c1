/** Which VMs an entry of a rule means. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isPattern, matches } from './rules.ts';

const vm = { id: '6f1e', name: 'web-1.a+b', labels: ['web', 'tier.1'] };

test('an id, a name, a name with anything in it, a label', () => {
  for (const entry of [
    '6f1e',
    'web-1.a+b',
    '*',
    'web-*',
    '*b',
    'w*1*b',
    'web-1.a+b*',
    'label:web',
    'label:tier*',
    'label:*',
  ])
    assert.ok(matches(entry, vm), entry);
  for (const entry of [
    '6f*',
    'web',
    'web-1xa+b',
    'w*1*1*b',
    '*b*b*b',
    'web-1.a+b*b',
    'label:',
    'label:we',
    'label:web-*',
    'tier.1',
  ])
    assert.ok(!matches(entry, vm), entry);
  assert.deepEqual(['web-1', 'web-*', 'label:web'].map(isPattern), [false, true, true]);
  assert.ok(matches('label:x', { ...vm, name: 'label:x' }), 'who is called so is meant as well');
});

test('the ends of a pattern do not share a letter', () => {
  assert.ok(!matches('aba*ba', { ...vm, name: 'aba' }));
  assert.ok(matches('aba*ba', { ...vm, name: 'ababa' }));
});

test('a pattern of many parts comes to its end for a name that is nearly like it', () => {
  // A regular expression would try every way to divide the name among them.
  assert.ok(!matches(`${'*a'.repeat(120)}*c`, { ...vm, name: `${'a'.repeat(200)}b` }));
});
