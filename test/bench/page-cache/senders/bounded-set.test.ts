import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BoundedSet } from './bounded-set.ts';

test('it never weighs more than it may, and holds what it said that it holds', () => {
  const set = new BoundedSet<number>(1_000);
  const held = new Map<number, number>();
  for (let key = 0; key < 5_000; key++) {
    const weight = 1 + (key % 97);
    for (const gone of set.add(key, weight)) assert.ok(held.delete(gone));
    held.set(key, weight);
    const weights = [...held.values()].reduce((sum, one) => sum + one, 0);
    assert.equal(set.weight, weights);
    assert.ok(weights <= 1_000);
  }
  for (let key = 0; key < 5_000; key++) assert.equal(set.has(key), held.has(key));
});

test('of a round that is longer than the bound it keeps a share', () => {
  const set = new BoundedSet<number>(500);
  let found = 0;
  for (let i = 0; i < 20_000; i++) {
    const key = i % 1_000;
    if (set.has(key)) found += 1;
    else set.add(key, 1);
  }
  assert.ok(found > 20_000 * 0.15, `found ${found} times`); // the least recently used would never be found
});

test('what is too heavy is not taken', () => {
  const set = new BoundedSet<string>(10);
  assert.deepEqual(set.add('a', 10), []);
  assert.deepEqual(set.add('b', 11), []);
  assert.ok(set.has('a') && !set.has('b'));
});
