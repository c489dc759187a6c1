import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PAGE_BYTES } from '../stream/ram-stream.ts';
import { changed, noise } from '../stream/testing.ts';
import { Frames } from './frames.ts';
import { encodeXbzrle, XbzrleSender } from './xbzrle.ts';

const FORMER = noise(1);

function encoded(page: Buffer): string | null {
  const into = Buffer.alloc(PAGE_BYTES + 16);
  const length = encodeXbzrle(FORMER, page, into);
  return length === null ? null : into.toString('hex', 0, length);
}

/** With these bytes flipped. */
function flipped(...places: number[]): Buffer {
  const page = Buffer.from(FORMER);
  for (const place of places) page[place] = ~(page[place] ?? 0);
  return page;
}

test('runs that are equal and runs that differ, as in docs/xbzrle.txt of QEMU', () => {
  const byte = (place: number) => Buffer.from([~(FORMER[place] ?? 0) & 0xff]).toString('hex');
  assert.equal(encoded(FORMER), '');
  assert.equal(encoded(flipped(0)), `0001${byte(0)}`);
  assert.equal(encoded(flipped(3, 4, 300)), `0302${byte(3)}${byte(4)}a70201${byte(300)}`);
  assert.equal(encoded(flipped(PAGE_BYTES - 1)), `ff1f01${byte(PAGE_BYTES - 1)}`);
});

test('a code that would be longer than the page is none', () => {
  assert.equal(encoded(noise(2)), null);
  assert.equal(encoded(flipped(...Array.from({ length: PAGE_BYTES / 2 }, (_, i) => 2 * i))), null);
});

test('it begins with the second pass, and keeps what was used lately in its place', () => {
  const frames = new Frames({ compress: 'no', againFrom: 0 });
  const sender = new XbzrleSender(2 * PAGE_BYTES, frames);
  const sentBytes = (page: number, content: Buffer): number => {
    frames.flush();
    const before = frames.againBytes;
    sender.content(page, content);
    frames.flush();
    return frames.againBytes - before;
  };
  const rounds = [0, 4, 8, 12].map((at) => changed(FORMER, at));
  for (const page of [0, 1, 2]) assert.equal(sentBytes(page, FORMER), PAGE_BYTES, 'the first pass');
  assert.equal(sentBytes(0, FORMER), PAGE_BYTES, 'the second: not known yet');
  assert.equal(sentBytes(2, FORMER), PAGE_BYTES, 'its place is taken');
  assert.equal(sentBytes(0, rounds[0] ?? FORMER), 3 + 2 + 4, 'the third');
  assert.equal(sentBytes(2, FORMER), PAGE_BYTES);
  assert.equal(sentBytes(0, rounds[0] ?? FORMER), 0, 'the fourth: nothing has changed');
  frames.free();
});
