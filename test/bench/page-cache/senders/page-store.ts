/**
 * The newest version of each page that was sent, within a bound: what both ends of a page cache would hold. One block of memory; the pages are
 * its slots. Comparing is by words of four bytes.
 */
import { PAGE_BYTES } from '../stream/ram-stream.ts';
import { BoundedSet } from './bounded-set.ts';

const WORDS = PAGE_BYTES / 4;

export interface Comparison {
  /** Words that are not as in the former version. */
  readonly changedWords: number;
  /** Words of the new version that are not zero. */
  readonly filledWords: number;
}

export class PageStore {
  /** New version XOR former one, after `compare`. */
  readonly difference = new Uint8Array(PAGE_BYTES);
  readonly #difference = new Int32Array(this.difference.buffer);
  readonly #page = new Int32Array(WORDS);
  readonly #pageBytes = new Uint8Array(this.#page.buffer);
  readonly #limitPages: number;
  readonly #kept: BoundedSet<number>;
  readonly #slots = new Map<number, number>();
  readonly #free: number[] = [];
  #blocks: Int32Array[] = [];

  constructor(bytes: number) {
    this.#limitPages = Math.floor(bytes / PAGE_BYTES);
    this.#kept = new BoundedSet(this.#limitPages);
  }

  /** The new version beside the former one; null when that is not here. */
  compare(page: number, content: Buffer): Comparison | null {
    const slot = this.#slots.get(page);
    if (slot === undefined) return null;
    const { block, at } = this.#wordsOf(slot);
    this.#pageBytes.set(content);
    let [changedWords, filledWords] = [0, 0];
    for (let i = 0; i < WORDS; i++) {
      const word = this.#page[i] ?? 0;
      const difference = word ^ (block[at + i] ?? 0);
      this.#difference[i] = difference;
      if (difference !== 0) changedWords += 1;
      if (word !== 0) filledWords += 1;
    }
    return { changedWords, filledWords };
  }

  keep(page: number, content: Buffer): void {
    const { block, at } = this.#wordsOf(this.#slots.get(page) ?? this.#room(page));
    this.#pageBytes.set(content);
    block.set(this.#page, at);
  }

  #room(page: number): number {
    for (const gone of this.#kept.add(page, 1)) {
      this.#free.push(this.#slots.get(gone) ?? 0);
      this.#slots.delete(gone);
    }
    const slot = this.#free.pop() ?? this.#slots.size;
    this.#slots.set(page, slot);
    return slot;
  }

  /** Memory comes in blocks as it is needed: most streams are shorter than the largest cache. */
  #wordsOf(slot: number): { block: Int32Array; at: number } {
    const number = Math.floor(slot / BLOCK_PAGES);
    let block = this.#blocks[number];
    if (block === undefined) {
      block = new Int32Array(BLOCK_PAGES * WORDS);
      this.#blocks[number] = block;
    }
    return { block, at: (slot % BLOCK_PAGES) * WORDS };
  }
}

const BLOCK_PAGES = 4_096;
