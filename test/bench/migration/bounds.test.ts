import assert from 'node:assert/strict';
import { test } from 'node:test';
import { downtimeBoundMs, performBoundMs } from './bounds.ts';

test('a gigabyte over a gigabit may take 10.8 seconds', () => {
  assert.equal(performBoundMs(1e9, 1e9), 10_800);
});

test('what is on its way counts at the rate at which it drains', () => {
  assert.equal(downtimeBoundMs(300, { inFlightBytes: 12_500_000, goodputBitsPerSec: 1e9 }, 100), 300 + 100 + 300);
});
