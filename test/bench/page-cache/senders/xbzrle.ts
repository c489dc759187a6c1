/**
 * QEMU's own page cache, XBZRLE, as it would treat a recorded stream: migration/xbzrle.c (the code), migration/page_cache.c (one place for each
 * page, and one that was used lately is not given up), migration/ram.c (it begins with the second pass; a page that is as before is not sent).
 */
import { PAGE_BYTES, type StreamVisitor } from '../stream/ram-stream.ts';
import type { Frames } from './frames.ts';

/** CACHED_PAGE_LIFETIME: for so many passes a page keeps its place. */
const LIFETIME_PASSES = 2;
/** A byte that names the code, and two of length. */
const CODE_HEADER = Buffer.alloc(3, 1);

/**
 * `page` as its difference from `former`: runs that are equal and runs that differ, in turn, each with its length in LEB128, the bytes behind
 * the latter. Its length in `into`; 0 when nothing differs; null when it would be longer than a page.
 */
export function encodeXbzrle(former: Uint8Array, page: Uint8Array, into: Uint8Array): number | null {
  let [at, length] = [0, 0];
  const number = (value: number): void => {
    for (; value > 0x7f; value >>>= 7) into[length++] = (value & 0x7f) | 0x80;
    into[length++] = value;
  };
  while (at < PAGE_BYTES) {
    if (length + 2 > PAGE_BYTES) return null;
    const equalFrom = at;
    while (at < PAGE_BYTES && page[at] === former[at]) at++;
    if (at === PAGE_BYTES) return length; // what is equal at the end is not said
    number(at - equalFrom);
    const differsFrom = at;
    while (at < PAGE_BYTES && page[at] !== former[at]) at++;
    if (length + 2 + (at - differsFrom) > PAGE_BYTES) return null;
    number(at - differsFrom);
    into.set(page.subarray(differsFrom, at), length);
    length += at - differsFrom;
  }
  return length;
}

export class XbzrleSender implements StreamVisitor {
  readonly #frames: Frames;
  readonly #places: ({ page: number; pass: number; content: Uint8Array } | undefined)[];
  readonly #code = new Uint8Array(PAGE_BYTES + 16);
  readonly #seen = new Set<number>();
  #pass = 1;
  #latest = -1;

  constructor(cacheBytes: number, frames: Frames) {
    this.#places = new Array(cacheBytes / PAGE_BYTES).fill(undefined);
    this.#frames = frames;
  }

  other(bytes: Buffer): void {
    this.#frames.put(bytes);
  }

  zero(page: number): void {
    this.#notice(page);
  }

  content(page: number, bytes: Buffer): void {
    this.#notice(page);
    const length = this.#pass === 1 ? null : this.#codeOf(page, bytes);
    if (length === null) {
      this.#frames.put(bytes);
      return;
    }
    if (length > 0) this.#frames.put(CODE_HEADER, 0);
    this.#frames.put(this.#code.subarray(0, length), PAGE_BYTES);
  }

  /** Length of the page's code; null when it is sent as it is. */
  #codeOf(page: number, bytes: Buffer): number | null {
    const place = page % this.#places.length;
    const former = this.#places[place];
    if (former?.page === page) {
      const length = encodeXbzrle(former.content, bytes, this.#code);
      former.content.set(bytes);
      former.pass = this.#pass;
      return length;
    }
    if (former === undefined || former.pass + LIFETIME_PASSES <= this.#pass)
      this.#places[place] = { page, pass: this.#pass, content: Uint8Array.from(bytes) };
    return null;
  }

  /** Passes go through memory once and upwards, so the first page that comes again, or one below the latest of this pass, begins another. */
  #notice(page: number): void {
    if (this.#pass === 1 ? this.#seen.has(page) : page < this.#latest) this.#pass += 1;
    if (this.#pass === 1) this.#seen.add(page);
    this.#latest = page;
  }
}
