import assert from 'node:assert/strict';
import { test } from 'node:test';
import { evaluate } from './link-recorder.ts';

test('the time before the first and after the last byte does not count', () => {
  const samples = [
    { atMs: 0, bytes: 1_000 },
    { atMs: 1_000, bytes: 1_000 },
    { atMs: 2_000, bytes: 501_000 },
    { atMs: 3_000, bytes: 1_001_000 },
    { atMs: 9_000, bytes: 1_001_000 },
  ];
  const { durationMs, wireBytes } = evaluate(samples);
  assert.equal(wireBytes, 1_000_000);
  assert.ok(Math.abs(durationMs - 1_998) < 0.01, `${durationMs}`);
});

test('nothing on the link is no time', () => {
  assert.deepEqual(
    evaluate([
      { atMs: 5, bytes: 7 },
      { atMs: 6, bytes: 7 },
    ]).wireBytes,
    0,
  );
});
