import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SlabPool } from '../platform/slab.ts';
import type { Zstd } from '../platform/zstd.ts';
import { Compressor } from './compressor.ts';
import type { Piece } from './reorder.ts';

const pieceBytes = 100_000;

/** A compressor that needs so long and gains so much as the test says, on a clock of the test. */
function scripted() {
  const state = { nowMs: 0, ratio: 2, bytesPerSec: 1_000_000_000, calls: 0 };
  const zstd: Zstd = {
    compress: (from, into) => {
      state.calls += 1;
      state.nowMs += (from.length * 1_000) / state.bytesPerSec;
      const length = Math.ceil(from.length / state.ratio);
      return length > into.length ? null : length;
    },
    decompress: () => false,
    free: () => undefined,
  };
  const pool = new SlabPool();
  const compressor = new Compressor(zstd, pool, () => state.nowMs);
  const source = pool.acquire(pieceBytes);
  const held = pool.liveBytes;
  const piece: Piece = { slab: source, start: 0, length: pieceBytes };
  const send = (frames: number, linkBytesPerSec = 100_000_000) => {
    let squeezed = 0;
    for (let frame = 0; frame < frames; frame += 1) {
      const out = compressor.squeeze(piece, linkBytesPerSec);
      if (out === null) continue;
      squeezed += 1;
      out.slab.release();
    }
    assert.equal(pool.liveBytes, held, 'nothing is left over');
    return squeezed;
  };
  return { state, compressor, piece, send };
}

test('what shrinks is compressed, every frame of it', () => {
  const { compressor, send } = scripted();
  assert.equal(send(100), 100);
  assert.ok(Math.abs(compressor.ratio - 2) < 0.1);
});

test('what does not shrink is tried now and then, and compressed again as soon as it does', () => {
  const { state, compressor, send } = scripted();
  state.ratio = 1;
  send(1_000);
  assert.ok(state.calls < 25, `${state.calls} of 1000 frames were tried`);
  assert.ok(compressor.ratio < 1.01);
  state.ratio = 3;
  assert.ok(send(200) > 130);
});

test('a link that is faster than the processor gets frames as they are', () => {
  const { state, send } = scripted();
  assert.ok(send(1_000, 2_000_000_000) < 30);
  state.calls = 0;
  assert.ok(send(200, 100_000_000) === 200, 'and a slow one does not');
});

test('small frames go as they are', () => {
  const { compressor, piece } = scripted();
  assert.equal(compressor.squeeze({ ...piece, length: 1_000 }, 1), null);
});
