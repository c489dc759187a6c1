import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noise } from '../stream/testing.ts';
import { Chunker } from './chunks.ts';

function chunksOf(bytes: Buffer, pieceBytes = bytes.length): Buffer[] {
  const chunks: Buffer[] = [];
  const chunker = new Chunker((chunk) => chunks.push(Buffer.from(chunk)));
  for (let at = 0; at < bytes.length; at += pieceBytes) chunker.push(bytes.subarray(at, at + pieceBytes));
  chunker.end();
  return chunks;
}

const BYTES = noise(7, 1 << 20);

test('chunks are all of the bytes, within their bounds, wherever the pieces end', () => {
  const chunks = chunksOf(BYTES);
  assert.ok(Buffer.concat(chunks).equals(BYTES));
  assert.ok(chunks.slice(0, -1).every(({ length }) => length >= 256 && length <= 8_192));
  const average = BYTES.length / chunks.length;
  assert.ok(average > 1_000 && average < 1_600, `${average} bytes on average`);
  assert.deepEqual(chunksOf(BYTES, 1_000), chunks);
});

test('eight bytes put in move no border but those beside them', () => {
  const moved = Buffer.concat([BYTES.subarray(0, 500_000), Buffer.from('8 bytes!'), BYTES.subarray(500_000)]);
  const known = new Set(chunksOf(BYTES).map((chunk) => chunk.toString('latin1')));
  const chunks = chunksOf(moved);
  const unknown = chunks.filter((chunk) => !known.has(chunk.toString('latin1')));
  assert.ok(unknown.length <= 3, `${unknown.length} of ${chunks.length} are new`);
});
