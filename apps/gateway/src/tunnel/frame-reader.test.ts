import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { SlabPool } from '../platform/slab.ts';
import { emptyHeader, FrameType, HEADER_BYTES } from '../protocol/frame.ts';
import { FrameOpener, FrameSealer } from '../security/sealing.ts';
import { FrameReader } from './frame-reader.ts';

const secret = Buffer.alloc(32, 3);
const sizes = [1, 100, 16_000, 16_400, 70_000, 3, 262_144, 262_144, 5, 1 << 20];
const payloads = sizes.map((size) => randomBytes(size));

/** The frames above as they go over the wire, with a REKEY after the fourth. */
function sealAll(pool: SlabPool): Buffer {
  const sealer = new FrameSealer('aes-256-gcm', Buffer.from(secret));
  const from = pool.acquire(1 << 20);
  const out = pool.acquire((1 << 20) + 100);
  const parts: Buffer[] = [];
  let sequence = 1;
  for (const payload of payloads) {
    payload.copy(from.bytes);
    const header = {
      ...emptyHeader(),
      type: FrameType.DATA,
      sequence,
      payloadLength: payload.length,
      plainLength: payload.length,
    };
    parts.push(Buffer.from(out.bytes.subarray(0, sealer.seal(header, from, 0, out, 0))));
    if (sequence === 4) {
      const rekey = { ...emptyHeader(), type: FrameType.REKEY };
      parts.push(Buffer.from(out.bytes.subarray(0, sealer.seal(rekey, null, 0, out, 0))));
      sealer.rekey();
    }
    sequence += 1;
  }
  from.release();
  out.release();
  sealer.free();
  return Buffer.concat(parts);
}

function makeReader(pool: SlabPool, got: Buffer[]) {
  const opener = new FrameOpener('aes-256-gcm', Buffer.from(secret));
  return new FrameReader(pool, opener, (header, slab, offset, owned) => {
    if (header.type === FrameType.DATA)
      got.push(Buffer.from(slab.bytes.subarray(offset, offset + header.payloadLength)));
    if (owned) slab.release();
  });
}

function feed(reader: FrameReader, bytes: Buffer, nextSize: () => number): void {
  let at = 0;
  while (at < bytes.length) {
    const room = reader.buffer();
    assert.ok(room.length > 0);
    const count = Math.min(room.length, nextSize(), bytes.length - at);
    bytes.copy(room, 0, at, at + count);
    at += count;
    reader.received(count);
  }
}

const wire = sealAll(new SlabPool());

for (const [name, nextSize] of [
  ['byte by byte', () => 1],
  ['in random pieces', () => 1 + Math.floor(Math.random() * 50_000)],
  ['as much as fits', () => 1 << 30],
  ['header by header', () => HEADER_BYTES],
] as const) {
  test(`frames come out whole when they are fed ${name}`, () => {
    const pool = new SlabPool();
    const got: Buffer[] = [];
    const reader = makeReader(pool, got);
    feed(reader, wire, nextSize);
    assert.equal(got.length, payloads.length);
    for (const [index, payload] of payloads.entries()) assert.ok(payload.equals(got[index] ?? Buffer.alloc(0)));
    assert.ok(reader.atBoundary);
    reader.free();
    assert.equal(pool.liveBytes, 0, 'every slab came back');
  });
}

test('a changed byte anywhere ends it with a precise error, and nothing after it comes out', () => {
  for (const place of [
    0,
    4,
    5,
    6,
    7,
    9,
    15,
    20,
    HEADER_BYTES,
    HEADER_BYTES + 1,
    200,
    33_000,
    120_000,
    wire.length - 1,
  ]) {
    const bad = Buffer.from(wire);
    bad[place] = (bad[place] ?? 0) ^ 0x40;
    const pool = new SlabPool();
    const got: Buffer[] = [];
    const reader = makeReader(pool, got);
    assert.throws(
      () => feed(reader, bad, () => 1 << 30),
      (error: { code?: string }) => error.code === 'FRAME_CORRUPTED' || error.code === 'FRAME_REPLAYED',
      `byte ${place}`,
    );
    for (const [index, payload] of got.entries())
      assert.equal(Buffer.compare(payload, payloads[index] ?? Buffer.alloc(0)), 0);
    assert.ok(got.length < payloads.length);
    reader.free();
    assert.equal(pool.liveBytes, 0, `byte ${place}: every slab came back`);
  }
});

test('a frame that comes again is refused by its counter', () => {
  const first = wire.subarray(0, HEADER_BYTES + 1 + 16);
  const reader = makeReader(new SlabPool(), []);
  feed(reader, first, () => 1 << 30);
  assert.throws(() => feed(reader, first, () => 1 << 30), { code: 'FRAME_REPLAYED' });
});

test('nonsense costs no memory: a length beyond the limit is refused from the header alone', () => {
  const pool = new SlabPool();
  const reader = makeReader(pool, []);
  const before = pool.liveBytes;
  assert.throws(() => feed(reader, Buffer.alloc(HEADER_BYTES, 0xff), () => 1), { code: 'FRAME_CORRUPTED' });
  assert.equal(pool.liveBytes, before);
});

test('it says whether the stream ends between two frames', () => {
  const reader = makeReader(new SlabPool(), []);
  feed(reader, wire.subarray(0, 30), () => 1);
  assert.equal(reader.atBoundary, false);
});
