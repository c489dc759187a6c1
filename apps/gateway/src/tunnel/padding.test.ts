// What a probe sends, into a subflow that is played.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Slab, SlabPool } from '../platform/slab.ts';
import type { FrameHeader } from '../protocol/frame.ts';
import { Padding } from './padding.ts';
import type { Subflow } from './subflow.ts';

test('what a probe sends is noise, and nothing that the memory held before', () => {
  const pool = new SlabPool();
  const held = pool.acquire(64 << 10);
  held.bytes.fill('a secret of somebody else; ');
  held.release();
  const sent: Buffer[] = [];
  let room = 128 << 10;
  const subflow = {
    get dataRoom() {
      return room;
    },
    append: ({ payloadLength }: FrameHeader, slab: Slab, offset: number) => {
      sent.push(Buffer.from(slab.bytes.subarray(offset, offset + payloadLength)));
      room -= payloadLength;
    },
  } as unknown as Subflow;
  const padding = new Padding(pool, []);
  padding.start(1_000);
  padding.fill(subflow, 1 << 20);
  const all = Buffer.concat(sent);
  assert.equal(all.length, 128 << 10);
  assert.equal(all.indexOf('secret'), -1);
  const counts = new Uint32Array(256);
  for (const byte of all) counts[byte] = (counts[byte] ?? 0) + 1;
  assert.ok(Math.max(...counts) < 3 * (all.length / 256), 'no byte stands out');
  padding.free();
  assert.equal(pool.liveBytes, 0);
});
