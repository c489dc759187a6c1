/** Small migration streams, written as QEMU writes them, for tests. */
import { PAGE_BYTES } from './ram-stream.ts';

/** A page of a block with this content; null: sent as all zero. */
export interface SentPage {
  readonly block: string;
  readonly address: number;
  readonly content: Buffer | null;
}

const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const uint64 = (value: number): Buffer => Buffer.concat([uint32(Math.floor(value / 2 ** 32)), uint32(value % 2 ** 32)]);
const named = (text: string): Buffer => Buffer.concat([Buffer.from([text.length]), Buffer.from(text)]);
const footer = Buffer.concat([Buffer.from([0x7e]), uint32(2)]);

/** The stream of a machine with these blocks (name → bytes), whose pages go in these passes; the last one ends it. */
export function migrationStream(blocks: Readonly<Record<string, number>>, passes: readonly SentPage[][]): Buffer {
  const sizes = Object.entries(blocks);
  const total = sizes.reduce((sum, [, bytes]) => sum + bytes, 0);
  const parts = [
    ...[uint32(0x5145564d), uint32(3), Buffer.from([7]), uint32(6), Buffer.from('pc-7.2')],
    ...[Buffer.from([1]), uint32(2), named('ram'), uint32(0), uint32(4)],
    ...[uint64(total | 4), ...sizes.flatMap(([name, bytes]) => [named(name), uint64(bytes)]), uint64(0x10), footer],
  ];
  let block = '';
  passes.forEach((pages, i) => {
    parts.push(Buffer.from([i === passes.length - 1 ? 3 : 2]), uint32(2));
    for (const page of pages) {
      const same = page.block === block;
      block = page.block;
      parts.push(
        uint64(page.address + (page.content ? 0x08 : 0x02) + (same ? 0x20 : 0)),
        same ? Buffer.alloc(0) : named(block),
      );
      parts.push(page.content ?? Buffer.alloc(1));
    }
    parts.push(uint64(0x10), footer);
  });
  parts.push(Buffer.from([4]), Buffer.from('devices, of which nothing is known'), Buffer.from([0]));
  return Buffer.concat(parts);
}

/** Incompressible, and the same for the same seed. */
export function noise(seed: number, length: number = PAGE_BYTES): Buffer {
  const bytes = Buffer.alloc(length);
  let x = Math.imul(seed + 1, 0x9e3779b1) || 1;
  for (let i = 0; i < length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    bytes[i] = x >>> 11;
  }
  return bytes;
}

/** A copy with the four bytes at `at` changed. */
export function changed(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt32BE((copy.readUInt32BE(at) ^ 0x5a5a5a5a) >>> 0, at);
  return copy;
}
