import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { AeadContext, nativeAead } from '../platform/openssl.ts';
import { SlabPool } from '../platform/slab.ts';
import { emptyHeader, FrameType, HEADER_BYTES, TAG_BYTES } from '../protocol/frame.ts';
import { type Aead, chooseAead, FrameOpener, FrameSealer, NodeAead } from './sealing.ts';

const pool = new SlabPool();
const suites = ['aes-256-gcm', 'chacha20-poly1305', 'none'] as const;

function frame(length: number) {
  return {
    ...emptyHeader(),
    type: FrameType.DATA,
    sequence: 1,
    streamId: 1,
    payloadLength: length,
    plainLength: length,
  };
}

for (const suite of suites) {
  test(`${suite}: a frame opens once, and not with one bit changed anywhere`, () => {
    const secret = randomBytes(32);
    const from = pool.acquire(1000);
    const wire = pool.acquire(2000);
    randomBytes(1000).copy(from.bytes);
    const sealer = new FrameSealer(suite, Buffer.from(secret));
    const header = frame(1000);
    const length = sealer.seal(header, from, 0, wire, 5);
    assert.equal(length, HEADER_BYTES + 1000 + TAG_BYTES);
    const clear = wire.bytes.compare(from.bytes, 0, 1000, 5 + HEADER_BYTES, 5 + HEADER_BYTES + 1000) === 0;
    assert.equal(clear, suite === 'none', 'only `none` leaves the payload readable');
    const opener = new FrameOpener(suite, Buffer.from(secret));
    const copy = pool.acquire(2000);
    for (const place of [0, 2, 9, 17, 30, HEADER_BYTES, HEADER_BYTES + 999, length - 1]) {
      wire.bytes.copy(copy.bytes);
      copy.bytes[5 + place] = (copy.bytes[5 + place] ?? 0) ^ 0x10;
      assert.equal(opener.open(header, copy, 5), false, `byte ${place}`);
    }
    assert.equal(opener.counter, 0, 'a refused frame moves nothing');
    assert.equal(opener.open(header, wire, 5), true);
    assert.equal(wire.bytes.compare(from.bytes, 0, 1000, 5 + HEADER_BYTES, 5 + HEADER_BYTES + 1000), 0);
    sealer.free();
    opener.free();
  });
}

test('no nonce is used twice, across re-keying and failed seals', (context) => {
  const seen = new Set<string>();
  const watch = (prototype: Aead, key: (self: unknown) => string) => {
    const original = prototype.seal;
    context.mock.method(prototype, 'seal', function (this: Aead, ...args: Parameters<Aead['seal']>) {
      const name = `${key(this)} ${args[0].toString('hex')}`;
      assert.ok(!seen.has(name), 'nonce seen before');
      seen.add(name);
      original.apply(this, args);
    });
  };
  const ids = new WeakMap<object, number>();
  let next = 0;
  const keyOf = (self: unknown) => {
    const id = ids.get(self as object) ?? next++;
    ids.set(self as object, id);
    return String(id);
  };
  watch((nativeAead ? AeadContext.prototype : NodeAead.prototype) as Aead, keyOf);
  const sealer = new FrameSealer('aes-256-gcm', randomBytes(32));
  const from = pool.acquire(100);
  const wire = pool.acquire(1 << 12);
  for (let index = 0; index < 50; index += 1) {
    if (index % 10 === 9) sealer.rekey();
    // Out of the slab: refused by the range check, after the number was taken.
    if (index % 7 === 3) assert.throws(() => sealer.seal(frame(100), from, 0, wire, wire.size - 120));
    else sealer.seal(frame(100), from, 0, wire, 0);
  }
  assert.equal(sealer.counter, 50);
  assert.equal(sealer.phase, 5);
  assert.equal(seen.size, 50);
});

test('OpenSSL and node:crypto open what the other sealed', { skip: !nativeAead }, () => {
  assert.equal(chooseAead(), 'openssl');
  for (const name of ['aes-256-gcm', 'chacha20-poly1305'] as const) {
    const key = randomBytes(32);
    const nonce = randomBytes(12);
    const make = {
      openssl: (seals: boolean): Aead => new AeadContext(name, key, seals),
      node: (): Aead => new NodeAead(name, key),
    };
    for (const length of [0, 1, 15, 16, 17, 100_000]) {
      const plain = pool.acquire(length + 40);
      randomBytes(length + 40).copy(plain.bytes);
      for (const [sealer, opener] of [
        [make.openssl(true), make.node()],
        [make.node(), make.openssl(false)],
      ] as const) {
        const out = pool.acquire(length + 16);
        sealer.seal(nonce, [plain, 0, 40], [plain, 40], length, [out, 0]);
        assert.equal(opener.open(nonce, [plain, 0, 40], [out, 0], length), true);
        assert.equal(out.bytes.compare(plain.bytes, 40, 40 + length, 0, length), 0);
        sealer.free();
        opener.free();
      }
    }
  }
});

test('the native path refuses what lies outside of a slab, and a freed context', { skip: !nativeAead }, () => {
  const slab = pool.acquire(4000);
  const aead = new AeadContext('aes-256-gcm', randomBytes(32), true);
  const nonce = randomBytes(12);
  assert.throws(() => aead.seal(nonce, [slab, 0, 40], [slab, 0], 5000, [slab, 0]), RangeError);
  assert.throws(() => aead.seal(nonce, [slab, -1, 40], [slab, 0], 10, [slab, 0]), RangeError);
  assert.throws(() => aead.seal(nonce, [slab, 0, 40], [slab, 0.5], 10, [slab, 0]), RangeError);
  assert.throws(() => aead.seal(randomBytes(8), [slab, 0, 40], [slab, 0], 10, [slab, 0]), RangeError);
  aead.free();
  aead.free();
  assert.throws(() => aead.seal(nonce, [slab, 0, 40], [slab, 0], 10, [slab, 0]), /freed/);
});
