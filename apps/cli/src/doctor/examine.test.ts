import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clockCheck } from './examine.ts';

test('a slow answer is no wrong clock; what the time between cannot explain is', () => {
  assert.equal(clockCheck(10_000, 15_000, 40_000).status, 'ok');
  assert.equal(clockCheck(10_000, 8_500, 10_100).status, 'ok');
  const ahead = clockCheck(10_000, 3_000, 10_100);
  assert.deepEqual([ahead.status, ahead.found], ['warning', '7.0 s ahead of that of the orchestrator']);
  assert.match(clockCheck(10_000, 20_100, 10_100).found, /^10.0 s behind/);
});
