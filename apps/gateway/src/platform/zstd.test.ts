import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import zlib from 'node:zlib';
import { SlabPool } from './slab.ts';
import { makeZstd, NodeZstd, type Place, type Zstd } from './zstd.ts';

const pool = new SlabPool();
function place(bytes: Buffer, start = 5): Place {
  const slab = pool.acquire(start + bytes.length);
  bytes.copy(slab.bytes, start);
  return { slab, start, length: bytes.length };
}
const room = (length: number): Place => place(Buffer.alloc(length), 3);
const half = Buffer.concat([randomBytes(50_000), Buffer.alloc(50_000)]);

const ways: [string, Zstd, Zstd][] = [
  ['the library called directly', makeZstd(), makeZstd()],
  ['node:zlib', new NodeZstd(), new NodeZstd()],
  ['from one to the other', makeZstd(), new NodeZstd()],
  ['and back', new NodeZstd(), makeZstd()],
];

for (const [name, sender, receiver] of ways) {
  test(`zstd, ${name}: what goes in comes out, and nothing else is taken`, () => {
    const packed = room(90_000);
    const length = sender.compress(place(half), packed);
    assert.ok(length !== null && length > 50_000 && length < 51_000, `${length}`);
    const frame = { ...packed, length };
    const plain = room(half.length);
    assert.ok(receiver.decompress(frame, plain));
    assert.ok(plain.slab.bytes.subarray(plain.start, plain.start + plain.length).equals(half));
    assert.ok(!receiver.decompress(frame, room(half.length - 1)), 'larger than it says');
    assert.ok(!receiver.decompress(frame, room(half.length + 1)), 'smaller than it says');
    assert.ok(!receiver.decompress({ ...frame, length: length - 1 }, room(half.length)), 'cut short');
    assert.ok(!receiver.decompress(place(randomBytes(1_000)), room(1_000)), 'no zstd at all');
    assert.equal(sender.compress(place(randomBytes(1_000)), room(900)), null, 'does not fit');
    sender.free();
    receiver.free();
  });
}

test('both ways compress at a fast level', () => {
  const words = Array.from({ length: 2_000 }, () => randomBytes(12).toString('hex').padEnd(64, ' ')).join('');
  const params = { [zlib.constants.ZSTD_c_compressionLevel]: 3 };
  const slow = zlib.zstdCompressSync(words, { params }).length;
  for (const zstd of [makeZstd(), new NodeZstd()]) {
    const fast = zstd.compress(place(Buffer.from(words)), room(words.length));
    assert.ok(fast !== null && fast > 1.2 * slow, `${fast} bytes, ${slow} at level 3`);
    zstd.free();
  }
});

test('a small frame that becomes very large is stopped at what its header says', () => {
  const zstd = makeZstd();
  const packed = room(10_000);
  const length = zstd.compress(place(Buffer.alloc(1 << 20)), packed) ?? 0;
  assert.ok(length > 0 && length < 1_000, `${length}`);
  const target = room(2_000);
  target.slab.bytes.fill(7, target.start + 1_000);
  assert.ok(!zstd.decompress({ ...packed, length }, { ...target, length: 1_000 }));
  assert.ok(target.slab.bytes.subarray(target.start + 1_000, target.start + 2_000).every((byte) => byte === 7));
  zstd.free();
});

test('places outside of a slab are refused before the library sees them', () => {
  const zstd = makeZstd();
  const from = place(half);
  for (const wrong of [{ start: -1 }, { length: 1 << 24 }, { start: 0.5 }, { length: 0 }]) {
    assert.throws(() => zstd.compress({ ...from, ...wrong }, room(1_000)), RangeError);
    assert.throws(() => zstd.decompress({ ...from, ...wrong }, room(1_000)), RangeError);
  }
  zstd.free();
});
