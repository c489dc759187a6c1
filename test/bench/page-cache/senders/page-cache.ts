/**
 * A page cache that knows QEMU's stream: a page that was sent before goes as a reference when it is the same, as its difference (XOR) when it
 * is similar, else as it is. This is about the most that any cache can find, because it knows where each page's former version is.
 * Every page that is referred to is hashed, as both ends would have to: GMAC by the gateway's own cipher, 128 bits.
 */
import { randomBytes } from 'node:crypto';
import { type Slab, SlabPool } from '../../../../apps/gateway/src/platform/slab.ts';
import { type Aead, makeAead } from '../../../../apps/gateway/src/security/sealing.ts';
import { PAGE_BYTES, type StreamVisitor } from '../stream/ram-stream.ts';
import type { Frames } from './frames.ts';
import { PageStore } from './page-store.ts';

const HASH_BYTES = 16;
/** Which page, which version. */
const REFERENCE_BYTES = 8;
/** A difference is sent where at most this share of the words that the page has differs: above that text compresses better as it is. */
const SIMILAR = 0.5;

export class PageCacheSender implements StreamVisitor {
  readonly #frames: Frames;
  readonly #store: PageStore;
  readonly #deltas: boolean;
  readonly #hash = new PageHash();
  readonly #reference = Buffer.alloc(REFERENCE_BYTES + HASH_BYTES);
  #references = 0;

  /** @param deltas false: references alone */
  constructor(cacheBytes: number, frames: Frames, deltas: boolean) {
    this.#store = new PageStore(cacheBytes);
    this.#frames = frames;
    this.#deltas = deltas;
  }

  other(bytes: Buffer): void {
    this.#frames.put(bytes);
  }

  content(page: number, bytes: Buffer): void {
    const found = this.#store.compare(page, bytes);
    if (found?.changedWords === 0) {
      this.#refer(bytes, PAGE_BYTES);
      return;
    }
    if (found !== null && this.#deltas && found.changedWords <= found.filledWords * SIMILAR) {
      this.#refer(bytes, 0);
      this.#frames.put(this.#store.difference);
    } else this.#frames.put(bytes);
    this.#store.keep(page, bytes);
  }

  free(): void {
    this.#hash.free();
  }

  #refer(bytes: Buffer, standsForBytes: number): void {
    this.#reference.writeUInt32BE(this.#references, 4);
    this.#references += 1;
    this.#hash.of(bytes).copy(this.#reference, REFERENCE_BYTES);
    this.#frames.put(this.#reference, standsForBytes);
  }
}

/** A keyed hash: AES-256-GCM of nothing, with the page as associated data. A nonce for each. */
export class PageHash {
  readonly #slab: Slab = new SlabPool().acquire(PAGE_BYTES + HASH_BYTES);
  readonly #aead: Aead = makeAead('aes-256-gcm', randomBytes(32), true);
  readonly #nonce = Buffer.alloc(12);
  #count = 0;

  /** Valid until the next one. */
  of(page: Buffer): Buffer {
    this.#nonce.writeUInt32BE(this.#count, 8);
    this.#count += 1;
    this.#slab.bytes.set(page);
    this.#aead.seal(this.#nonce, [this.#slab, 0, PAGE_BYTES], [this.#slab, 0], 0, [this.#slab, PAGE_BYTES]);
    return this.#slab.bytes.subarray(PAGE_BYTES, PAGE_BYTES + HASH_BYTES);
  }

  free(): void {
    this.#aead.free();
  }
}
