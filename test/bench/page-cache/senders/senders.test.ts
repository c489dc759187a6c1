/** One small stream, sent in every way: what each of them must find, and what it cannot. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ContentsReader } from '../stream/contents.ts';
import { PAGE_BYTES } from '../stream/ram-stream.ts';
import { changed, migrationStream, noise, type SentPage } from '../stream/testing.ts';
import { cutAt, SENDERS, type Source, visit } from './senders.ts';

const PAGES = 300;
const { signal } = new AbortController();
const page = (number: number, content: Buffer | null): SentPage => ({
  block: 'pc.ram',
  address: number * PAGE_BYTES,
  content,
});
const numbers = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

/** In the second pass a hundred pages as they were, a hundred with four bytes changed, fifty new ones, and one that is zero. */
const PASSES = [
  numbers(0, PAGES).map((i) => page(i, noise(i))),
  [
    ...numbers(0, 100).map((i) => page(i, noise(i))),
    ...numbers(100, 200).map((i) => page(i, changed(noise(i), 4 * i))),
    ...numbers(200, 250).map((i) => page(i, noise(1_000 + i))),
    page(250, null),
  ],
];
const STREAM = migrationStream({ 'pc.ram': PAGES * PAGE_BYTES }, PASSES);

/** In pieces whose ends fall anywhere. */
const source: Source = async function* () {
  for (let at = 0; at < STREAM.length; at += 100_003) yield STREAM.subarray(at, at + 100_003);
};

async function contents() {
  const reader = new ContentsReader();
  await visit(source, reader, signal);
  reader.free();
  return reader.contents;
}

/** Kilobytes on the link for the second pass. */
async function againKb(name: string, cacheBytes: number): Promise<number> {
  const sender = SENDERS.find((one) => one.name === name);
  assert.ok(sender, name);
  const { againFrom, streamBytes } = await contents();
  const { firstBytes, againBytes } = await sender.send(cutAt(source, againFrom), cacheBytes, againFrom, signal);
  assert.ok(firstBytes + againBytes <= streamBytes * 1.01, 'no more than the stream');
  assert.ok(Math.abs(firstBytes - againFrom) < 5_000, 'the first pass is noise, and counted apart');
  return againBytes / 1_000;
}

test('what is in a stream: pages, those that come again, are the same, are similar', async () => {
  const found = await contents();
  assert.equal(found.streamBytes, STREAM.length);
  assert.deepEqual(
    [found.pages, found.zeroPages, found.againPages, found.samePages, found.similarPages],
    [PAGES + 250, 1, 250, 100, 100],
  );
  assert.ok(found.aloneBytes >= 150 * PAGE_BYTES);
  assert.ok(found.differenceBytes > 50 * PAGE_BYTES && found.differenceBytes < 51 * PAGE_BYTES + 100 * 60);
  assert.ok(found.againFrom > PAGES * PAGE_BYTES && found.againFrom < PAGES * (PAGE_BYTES + 10));
});

// The second pass has 1026 KB: 410 that are the same, 410 that are similar, 205 that are new.
for (const [name, least, most] of [
  ['zstd', 1_020, 1_030],
  ['zstd, level 1', 1_020, 1_030],
  ['references + zstd', 610, 635],
  ['deltas + zstd', 200, 230],
  ['chunks + zstd', 250, 620],
  ['zstd with memory', 200, 260],
  // Its first page after the first pass is never in its cache.
  ["QEMU's xbzrle", 1_020, 1_030],
  ['xbzrle + zstd', 1_020, 1_030],
] as const) {
  test(`${name}: of the second pass ${least} to ${most} KB are left`, async () => {
    const kilobytes = await againKb(name, 64 << 20);
    assert.ok(kilobytes >= least && kilobytes <= most, `${kilobytes} KB`);
  });
}

test('a cache that is too small finds little', async () => {
  assert.ok((await againKb('deltas + zstd', 16 * PAGE_BYTES)) > 950);
  assert.ok((await againKb('chunks + zstd', 16 * PAGE_BYTES)) > 950);
  assert.ok((await againKb('zstd with memory', 1 << 16)) > 950);
});
