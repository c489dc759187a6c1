import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allotment } from './allotment.ts';

test('few have all they like, those that come later something, and all together no more than the whole and the least of each', () => {
  const bounds = { leastBytes: 16 << 10, mostBytes: 256 << 10 };
  const totalBytes = 16 << 20;
  let heldBytes = 0;
  const taken: number[] = [];
  for (let stream = 0; stream < 1_024; stream += 1) {
    const bytes = allotment(totalBytes - heldBytes, bounds);
    heldBytes += bytes;
    taken.push(bytes);
    assert.ok(heldBytes <= totalBytes + (stream + 1) * bounds.leastBytes, `${heldBytes} bytes of ${stream + 1}`);
  }
  assert.ok(taken.slice(0, 48).every((bytes) => bytes === bounds.mostBytes));
  assert.ok((taken[64] ?? 0) > 4 * bounds.leastBytes, `${taken[64]} bytes beside 64 that stalled`);
  assert.equal(taken.at(-1), bounds.leastBytes);
});
