import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PreCopy } from './pre-copy.ts';

const MB = 1_000_000;
const guest = { memoryBytes: 1_000 * MB, dirtyRateBytesPerSec: 0, maxDowntimeMs: 100, autoConverge: false };

function run(copy: PreCopy, bytesPerSec: number, limitMs: number): number {
  let ms = 0;
  for (; !copy.isDone && ms < limitMs; ms += 100) copy.advance(100, bytesPerSec);
  return ms;
}

test('an idle guest takes as long as its memory does', () => {
  const copy = new PreCopy(guest);
  assert.equal(run(copy, 100 * MB, 60_000), 10_000);
  assert.deepEqual([copy.state.percent, copy.state.iteration, copy.state.bytesTransferred], [100, 1, 1_000 * MB]);
});

test('a busy guest takes passes that get shorter: memory / (1 - dirty rate / rate) in all', () => {
  const copy = new PreCopy({ ...guest, dirtyRateBytesPerSec: 50 * MB });
  const ms = run(copy, 100 * MB, 60_000);
  assert.ok(ms >= 19_000 && ms <= 20_100, `${ms} ms`);
  assert.ok(copy.state.iteration >= 6);
});

test('one whose dirty rate exceeds what the link carries never ends, and its progress never falls', () => {
  const copy = new PreCopy({ ...guest, dirtyRateBytesPerSec: 150 * MB });
  let last = 0;
  for (let i = 0; i < 1_000; i++) {
    copy.advance(100, 100 * MB);
    assert.ok(copy.state.percent >= last);
    last = copy.state.percent;
  }
  assert.equal(copy.isDone, false);
});

test('auto-converge slows it down until it fits', () => {
  const copy = new PreCopy({ ...guest, dirtyRateBytesPerSec: 150 * MB, autoConverge: true });
  run(copy, 100 * MB, 300_000);
  assert.ok(copy.isDone);
  assert.ok(copy.state.dirtyRateBytesPerSec < 100 * MB);
});
