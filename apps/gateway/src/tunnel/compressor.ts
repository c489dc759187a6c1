/**
 * Decides frame by frame whether compression pays, and does it. It pays while a frame shrinks and the processor compresses faster than the
 * link would have carried what is saved; where it does not, only now and then a frame is tried. Nothing is held back: a frame is compressed
 * when it is cut, alone, or goes as it is.
 */
import type { SlabPool } from '../platform/slab.ts';
import type { Zstd } from '../platform/zstd.ts';
import type { Piece } from './reorder.ts';

/** Shorter frames are not worth it. */
const shortestBytes = 4 << 10;
/** A frame has to become shorter than this share of itself. */
const worthwhile = 0.9;
/** Of so many frames one is tried while it does not pay. */
const triedFrames = 64;
/** So many frames without a gain, and it is off. */
const patience = 4;
/** The processor has other things to do as well. */
const processorShare = 0.5;
const memory = 0.05;

export class Compressor {
  /** Plain bytes for each byte that went, averaged over the newest frames; 1 while nothing is gained. */
  ratio = 1;
  readonly #zstd: Zstd;
  readonly #pool: SlabPool;
  readonly #now: () => number;
  #failures = 0;
  #untried = 0;
  #bytesPerSec: number | null = null;

  constructor(zstd: Zstd, pool: SlabPool, now: () => number = () => performance.now()) {
    this.#zstd = zstd;
    this.#pool = pool;
    this.#now = now;
  }

  /**
   * The compressed form of `piece`, in a slab of its own with one reference for the caller; null when it goes as it is. `linkBytesPerSec`
   * is what the link carries, 0 while that is not known.
   */
  squeeze(piece: Piece, linkBytesPerSec: number): Piece | null {
    if (piece.length < shortestBytes || !this.#isDue(linkBytesPerSec)) {
      this.#learn(1);
      return null;
    }
    const limit = Math.floor(piece.length * worthwhile);
    const slab = this.#pool.acquire(limit);
    const before = this.#now();
    const length = this.#zstd.compress(piece, { slab, start: 0, length: limit });
    this.#clock(piece.length, this.#now() - before);
    if (length === null) {
      slab.release();
      this.#failures += 1;
      this.#learn(1);
      return null;
    }
    this.#failures = 0;
    this.#learn(piece.length / length);
    return { slab, start: 0, length };
  }

  #isDue(linkBytesPerSec: number): boolean {
    if (this.#failures < patience && this.#isFaster(linkBytesPerSec)) return true;
    this.#untried += 1;
    if (this.#untried < triedFrames) return false;
    this.#untried = 0;
    return true;
  }

  /** Whether compressing takes less time than sending what it saves. */
  #isFaster(linkBytesPerSec: number): boolean {
    if (this.#bytesPerSec === null || linkBytesPerSec === 0) return true;
    return this.#bytesPerSec * processorShare > linkBytesPerSec;
  }

  #clock(bytes: number, elapsedMs: number): void {
    if (elapsedMs <= 0) return;
    const rate = (bytes * 1_000) / elapsedMs;
    this.#bytesPerSec = this.#bytesPerSec === null ? rate : this.#bytesPerSec + (rate - this.#bytesPerSec) * memory;
  }

  #learn(ratio: number): void {
    this.ratio += (ratio - this.ratio) * memory;
  }
}
