/**
 * A cache that knows nothing of the format: the stream is cut where its content says so (a rolling "gear" hash of the last 32 bytes; FastCDC,
 * USENIX ATC 2016), so that an inserted header moves no border after it, and a piece that was seen before goes as a reference.
 */
import { hash } from 'node:crypto';
import { BoundedSet } from './bounded-set.ts';
import type { Frames } from './frames.ts';

/** A kilobyte on average: four to a page, of which the first and the last share their borders with what is beside the page. */
const MIN_BYTES = 256;
const MAX_BYTES = 8_192;
const BORDER_MASK = (1 << 10) - 1;
const REFERENCE_BYTES = 16;

/** Random, and the same at every start: both ends of a cache would draw them from the session's keys. */
const GEAR = Int32Array.from({ length: 256 }, (_, byte) => mix(Math.imul(byte + 1, 0x9e3779b1)));

function mix(x: number): number {
  let y = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  y = Math.imul(y ^ (y >>> 15), 0x846ca68b);
  return y ^ (y >>> 16);
}

/** Cuts a stream that comes in pieces. */
export class Chunker {
  readonly #take: (chunk: Buffer) => void;
  readonly #chunk = Buffer.alloc(MAX_BYTES);
  #length = 0;
  #rolling = 0;

  /** @param take is given each chunk; the buffer is only lent */
  constructor(take: (chunk: Buffer) => void) {
    this.#take = take;
  }

  push(bytes: Buffer): void {
    let from = 0; // what stands before this place in `bytes` is in the chunk
    let rolling = this.#rolling;
    let length = this.#length;
    for (let i = 0; i < bytes.length; i++) {
      rolling = ((rolling << 1) + (GEAR[bytes[i] as number] as number)) | 0;
      length += 1;
      // The upper bits: the lowest depend on the last few bytes only.
      const border = length >= MIN_BYTES && ((rolling >>> 16) & BORDER_MASK) === 0;
      if (!border && length < MAX_BYTES) continue;
      this.#add(bytes, from, i + 1);
      this.end();
      from = i + 1;
      length = 0;
    }
    this.#rolling = rolling;
    this.#add(bytes, from, bytes.length);
  }

  /** What is left is a chunk as well. */
  end(): void {
    if (this.#length > 0) this.#take(this.#chunk.subarray(0, this.#length));
    this.#length = 0;
  }

  #add(bytes: Buffer, from: number, to: number): void {
    this.#length += bytes.copy(this.#chunk, this.#length, from, to);
  }
}

export class ChunkCacheSender {
  readonly #chunker: Chunker;

  constructor(cacheBytes: number, frames: Frames) {
    const known = new BoundedSet<string>(cacheBytes);
    this.#chunker = new Chunker((chunk) => {
      const name = hash('sha256', chunk, 'buffer');
      const key = name.toString('latin1', 0, REFERENCE_BYTES);
      if (known.has(key)) frames.put(name.subarray(0, REFERENCE_BYTES), chunk.length);
      else {
        known.add(key, chunk.length);
        frames.put(chunk);
      }
    });
  }

  push(bytes: Buffer): void {
    this.#chunker.push(bytes);
  }

  end(): void {
    this.#chunker.end();
  }
}
