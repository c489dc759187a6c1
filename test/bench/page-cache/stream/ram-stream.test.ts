import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RamStream, StreamError } from './ram-stream.ts';
import { migrationStream, noise } from './testing.ts';

const BLOCKS = { 'pc.ram': 8 << 20, 'pc.rom': 1 << 17 };
const STREAM = migrationStream(BLOCKS, [
  [
    { block: 'pc.ram', address: 0, content: noise(1) },
    { block: 'pc.ram', address: 0x2000, content: null },
    { block: 'pc.rom', address: 0, content: noise(2) },
  ],
  [{ block: 'pc.ram', address: 0x2000, content: noise(3) }],
  [],
]);

/** What is seen of a stream that comes in pieces, and all bytes that were given, in order. */
function seen(stream: Buffer, pieceBytes: number) {
  const pages: [page: number, content: Buffer | null][] = [];
  const given: Buffer[] = [];
  const reader = new RamStream({
    other: (bytes) => given.push(Buffer.from(bytes)),
    content: (page, bytes) => {
      given.push(Buffer.from(bytes));
      pages.push([page, Buffer.from(bytes)]);
    },
    zero: (page) => pages.push([page, null]),
  });
  for (let at = 0; at < stream.length; at += pieceBytes) reader.push(stream.subarray(at, at + pieceBytes));
  reader.end();
  return { pages, given: Buffer.concat(given) };
}

for (const pieceBytes of [1, 7, 4_096, STREAM.length]) {
  test(`every page and every byte of a stream, ${pieceBytes} bytes at a time`, () => {
    const { pages, given } = seen(STREAM, pieceBytes);
    const rom = 2 ** 40 / 4_096;
    assert.deepEqual(pages, [
      [0, noise(1)],
      [2, null],
      [rom, noise(2)],
      [2, noise(3)],
    ]);
    assert.ok(given.equals(STREAM));
  });
}

test('what is not understood is refused with its place', () => {
  const other = Buffer.from(STREAM);
  other[0] = 0;
  assert.throws(() => seen(other, 100), { message: /does not begin as one of QEMU \(at byte 0\)/ });
  const compressed = migrationStream(BLOCKS, [[{ block: 'pc.ram', address: 0x100, content: noise(1) }]]);
  assert.throws(() => seen(compressed, 1_000), { message: /flags 0x108/ });
  const unknown = migrationStream(BLOCKS, [[{ block: 'other', address: 0, content: noise(1) }]]);
  assert.throws(() => seen(unknown, 1_000), { message: /no block is called "other"/ });
  assert.throws(() => seen(STREAM.subarray(0, 5_000), 1_000), StreamError);
});
