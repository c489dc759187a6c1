/** Which subflow is asked for bulk first, and that lanes are not asked at all. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Subflow } from './subflow.ts';
import { SubflowTable } from './subflow-table.ts';

/** Of so many, whoever is asked in a row, when what waits is enough for so many of them. */
function askedIn(rounds: number, subflows: number, minRttMs: number | null, enoughFor: number): number[][] {
  const table = new SubflowTable();
  let asked: number[] = [];
  for (let id = 0; id < subflows; id += 1)
    table.add({ id, isRetiring: false, pump: () => asked.push(id) } as unknown as Subflow);
  return Array.from({ length: rounds }, () => {
    asked = [];
    table.pumpCarriers(minRttMs, () => asked.length >= enoughFor);
    return asked;
  });
}

test('those that carry bulk have their turn one after the other', () => {
  assert.deepEqual(askedIn(5, 7, 20, 1), [[4], [5], [6], [3], [4]]);
  assert.deepEqual(askedIn(2, 7, null, 3), [
    [4, 5, 6],
    [5, 6, 3],
  ]);
});

test('within one data centre the first one takes all that it can', () => {
  assert.deepEqual(askedIn(3, 7, 0.2, 1), [[3], [3], [3]]);
  assert.deepEqual(askedIn(1, 7, 0.2, 9), [[3, 4, 5, 6]]);
});

test('without lanes every subflow is asked, and without subflows nobody', () => {
  assert.deepEqual(askedIn(2, 2, 20, 2), [
    [1, 0],
    [0, 1],
  ]);
  assert.deepEqual(askedIn(1, 0, 20, 1), [[]]);
});
