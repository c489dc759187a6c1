import assert from 'node:assert/strict';
import { test } from 'node:test';
import { calledBy, namesIn } from './vm-names.ts';

test('a VM is called by its name, and two of one name are told apart', () => {
  const vms = [
    { id: '1', name: 'web' },
    { id: '2', name: 'db' },
    { id: '3', name: 'web' },
  ];
  assert.deepEqual(
    [...calledBy(vms)],
    [
      ['web (1)', vms[0]],
      ['db', vms[1]],
      ['web (3)', vms[2]],
    ],
  );
});

test('names are typed with commas', () => {
  assert.deepEqual(namesIn(' db-1,web 2 ,, '), ['db-1', 'web 2']);
  assert.deepEqual(namesIn(''), []);
});
