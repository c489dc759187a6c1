import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesBetween, goodputBitsPerSec, linkShare, median, percentile, spread, timeToShareMs } from './statistics.ts';

test('the median is the middle one, or halfway between the two in the middle', () => {
  assert.equal(median([9, 1, 5]), 5);
  assert.equal(median([4, 1, 9, 2]), 3);
  assert.throws(() => median([]), RangeError);
});

test('percentiles are linear between neighbours', () => {
  const values = [50, 10, 40, 30, 20];
  assert.deepEqual(
    [0, 0.25, 0.99, 1].map((p) => percentile(values, p)),
    [10, 20, 49.6, 50],
  );
});

test('spread is from the smallest to the largest', () => assert.deepEqual(spread([3, 1, 2]), [1, 3]));

test('goodput counts from the first to the last byte', () => {
  assert.equal(goodputBitsPerSec(125_000_000, 5e9, 6e9), 1e9);
  assert.equal(goodputBitsPerSec(0, 0, 0), 0);
});

test('the share is of what TCP can carry, not of the line rate', () => {
  assert.equal(linkShare(1e9 * (1448 / 1538), 1_000), 1);
  assert.equal(linkShare(1e9, 0), null);
});

test('the time to a share is when it begins to last, not when it is first touched', () => {
  const perInterval = (1e8 * (1448 / 1538)) / 8; // a tenth of a second at 1 Gbit/s
  const totals = (shares: number[]): number[] => {
    let sum = 0;
    return shares.map((share) => (sum += share * perInterval));
  };
  const touch = [0.2, 1, 0.2, ...Array(12).fill(0.95)];
  assert.equal(timeToShareMs(totals(touch), 1_000, 0.9), 300);
  assert.equal(timeToShareMs(totals(Array(12).fill(0.95)), 1_000, 0.9), 0);
  assert.equal(timeToShareMs(totals(Array(30).fill(0.89)), 1_000, 0.9), null);
  assert.equal(timeToShareMs(totals(touch), 0, 0.9), null);
});

test('bytes between two instants are counted to the tenth of a second', () => {
  const counted = { bytes: 450, firstByteNs: 1e9, lastByteNs: 1.45e9, totalAtIntervals: [100, 200, 300, 400] };
  assert.equal(bytesBetween(counted, 1.1e9, 1.3e9), 200);
  assert.equal(bytesBetween(counted, 0, 9e9), 450);
  assert.equal(bytesBetween(counted, 1.3e9, 9e9), 150);
});
