import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from './random.ts';

test('a seed repeats its choices, another seed makes others', () => {
  const draw = (seed: number): number[] => {
    const random = new Random(seed);
    return Array.from({ length: 20 }, () => random.next());
  };
  assert.deepEqual(draw(7), draw(7));
  assert.notDeepEqual(draw(7), draw(8));
});

test('values stay within their bounds', () => {
  const random = new Random(1);
  for (let i = 0; i < 1_000; i++) {
    const value = random.between(2, 3);
    assert.ok(value >= 2 && value < 3);
    assert.ok(['x', 'y'].includes(random.pick(['x', 'y'])));
  }
});
