/**
 * What is in a recorded stream: how much of it comes again, and how much of that is the same as before or similar to it. Every former version is
 * remembered, so this is what a cache without limits would meet. Owns a compressor, which `free` gives back.
 */
import { SlabPool } from '../../../../apps/gateway/src/platform/slab.ts';
import { makeZstd } from '../../../../apps/gateway/src/platform/zstd.ts';
import { PageStore } from '../senders/page-store.ts';
import { PAGE_BYTES, type StreamVisitor } from './ram-stream.ts';

export interface Contents {
  readonly streamBytes: number;
  /** Sent with their content, and sent as "all zero". */
  readonly pages: number;
  readonly zeroPages: number;
  /** Of the pages with content: those whose content was sent before. */
  readonly againPages: number;
  /** Of those: as they were then. */
  readonly samePages: number;
  /** Of those: not the same, but their difference compresses to at most half of what the page itself does. */
  readonly similarPages: number;
  /** All that came again and was not the same, each page compressed alone: as it is, and as its difference. */
  readonly aloneBytes: number;
  readonly differenceBytes: number;
  /** Place in the stream where a page comes for the second time: the first pass is over. */
  readonly againFrom: number;
}

type Counts = { -readonly [Name in keyof Contents]: Contents[Name] };

export class ContentsReader implements StreamVisitor {
  readonly #store = new PageStore(Number.MAX_SAFE_INTEGER);
  readonly #seen = new Set<number>();
  readonly #zstd = makeZstd();
  readonly #pool = new SlabPool();
  readonly #plain = this.#pool.acquire(PAGE_BYTES);
  readonly #packed = this.#pool.acquire(PAGE_BYTES);
  readonly #counts: Counts = {
    ...{ streamBytes: 0, pages: 0, zeroPages: 0, againPages: 0, samePages: 0, similarPages: 0 },
    ...{ aloneBytes: 0, differenceBytes: 0, againFrom: Number.POSITIVE_INFINITY },
  };

  /** So far. */
  get contents(): Contents {
    return { ...this.#counts, againFrom: Math.min(this.#counts.againFrom, this.#counts.streamBytes) };
  }

  other(bytes: Buffer): void {
    this.#counts.streamBytes += bytes.length;
  }

  zero(page: number): void {
    this.#counts.zeroPages += 1;
    this.#notice(page);
  }

  content(page: number, bytes: Buffer): void {
    const counts = this.#counts;
    counts.pages += 1;
    this.#notice(page);
    counts.streamBytes += bytes.length;
    const found = this.#store.compare(page, bytes);
    if (found !== null) {
      counts.againPages += 1;
      if (found.changedWords === 0) counts.samePages += 1;
      else this.#weigh(bytes);
    }
    this.#store.keep(page, bytes);
  }

  free(): void {
    this.#zstd.free();
  }

  #weigh(bytes: Buffer): void {
    const alone = this.#packedBytes(bytes);
    const difference = this.#packedBytes(this.#store.difference);
    this.#counts.aloneBytes += alone;
    this.#counts.differenceBytes += Math.min(alone, difference);
    if (difference <= alone / 2) this.#counts.similarPages += 1;
  }

  #packedBytes(bytes: Uint8Array): number {
    this.#plain.bytes.set(bytes);
    const from = { slab: this.#plain, start: 0, length: PAGE_BYTES };
    return this.#zstd.compress(from, { slab: this.#packed, start: 0, length: PAGE_BYTES }) ?? PAGE_BYTES;
  }

  #notice(page: number): void {
    if (this.#seen.has(page)) this.#counts.againFrom = Math.min(this.#counts.againFrom, this.#counts.streamBytes);
    else this.#seen.add(page);
  }
}
