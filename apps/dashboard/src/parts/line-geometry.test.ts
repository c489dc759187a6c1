import assert from 'node:assert/strict';
import { test } from 'node:test';
import { niceCeiling, pathOf } from './line-geometry.ts';

test('the axis ends at a round number that no value exceeds', () => {
  for (const [value, ceiling] of [
    [0, 1],
    [1, 1],
    [1.2, 2],
    [4.9, 5],
    [5.1, 10],
    [941e6, 1e9],
    [0.03, 0.05],
  ] as const) {
    assert.equal(niceCeiling(value), ceiling, `${value}`);
  }
});

test('a gap in what is known is a gap in the line', () => {
  const points = [1, 2, null, 3, 4].map((value, atMs) => ({ atMs, value }));
  const path = pathOf(
    points,
    (atMs) => atMs,
    (value) => value,
  );
  assert.equal(path, 'M0.0 1.0L1.0 2.0M3.0 3.0L4.0 4.0');
});
