import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SlabPool } from './slab.ts';

const fill = (pool: SlabPool, count: number) => Array.from({ length: count }, () => pool.acquire(256 << 10));
const releaseAll = (slabs: ReturnType<typeof fill>) => {
  for (const slab of slabs) slab.release();
};

test('what comes and goes is made once, however much of it', () => {
  const pool = new SlabPool();
  const first = new Set(fill(pool, 400));
  releaseAll([...first]);
  for (let turn = 0; turn < 5; turn += 1) {
    const again = fill(pool, 400);
    pool.trim();
    assert.ok(
      again.every((slab) => first.has(slab)),
      `turn ${turn}`,
    );
    releaseAll(again);
    pool.trim();
  }
});

test('what is not needed any more goes back, but for a little', () => {
  const pool = new SlabPool();
  releaseAll(fill(pool, 400));
  pool.trim();
  assert.ok(pool.idleBytes > 100 << 20, 'it may be needed again');
  releaseAll(fill(pool, 40));
  pool.trim();
  assert.ok(pool.idleBytes >= 40 * (256 << 10), 'what was needed meanwhile stays');
  pool.trim();
  assert.ok(pool.idleBytes <= 9 << 20, `${pool.idleBytes}`);
  assert.equal(pool.liveBytes, 0);
});

test('the pool keeps no more than it may', () => {
  const pool = new SlabPool(1 << 20);
  releaseAll(fill(pool, 40));
  assert.ok(pool.idleBytes <= 1 << 20);
});
