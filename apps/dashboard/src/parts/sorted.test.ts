import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sorted } from './sorted.ts';

const order = (values: readonly (string | number | null)[], isDescending = false) =>
  sorted(values, (value) => value, isDescending);

test('names are sorted as people count, numbers by their size', () => {
  assert.deepEqual(order(['web-10', 'web-2', 'db-1']), ['db-1', 'web-2', 'web-10']);
  assert.deepEqual(order([10, 9, 100]), [9, 10, 100]);
  assert.deepEqual(order([10, 9, 100], true), [100, 10, 9]);
});

test('what is not known goes last, whichever way it is sorted', () => {
  assert.deepEqual(order([null, 2, null, 1]), [1, 2, null, null]);
  assert.deepEqual(order([null, 2, null, 1], true), [2, 1, null, null]);
});

test('equals keep the order in which they came', () => {
  const rows = ['b', 'a', 'c'].map((name) => ({ name, phase: 'queued' }));
  for (const isDescending of [false, true]) {
    assert.deepEqual(
      sorted(rows, ({ phase }) => phase, isDescending).map(({ name }) => name),
      ['b', 'a', 'c'],
    );
  }
});
