/**
 * Pooled memory of the data path. A slab is one never-moving buffer (allocUnsafeSlow, never transferred, so that OpenSSL may be
 * given its address) with a count of holders; the last release gives it back to the pool it came from.
 * Invariant: a slab in a free list has no holder; the free lists together keep at most `maxIdleBytes`, and after a while only what is needed
 * now and then: new memory for what was let go of a moment ago costs more than all the rest (the garbage collector's work).
 */
import { ffi } from './ffi.ts';
import { noteLetGo } from './heap.ts';

/**
 * Sizes that are pooled. Each leaves room for frame header, tag and the next header beside a power of two of payload. Up to a usual frame each
 * is at most twice the one before: what waits for slow readers takes no more than twice its bytes.
 */
const extra = 4096;
const powers = [14, 15, 16, 17, 18, 20] as const;
const classes: readonly number[] = [1 << 12, ...powers.map((power) => (1 << power) + extra)];

export class Slab {
  readonly bytes: Buffer;
  /** Address for OpenSSL; 0 without koffi. */
  readonly address: number;
  readonly sizeClass: number;
  #holders = 1;
  readonly #pool: SlabPool;

  constructor(pool: SlabPool, sizeBytes: number, sizeClass: number) {
    this.#pool = pool;
    this.bytes = Buffer.allocUnsafeSlow(sizeBytes);
    this.address = ffi === null ? 0 : ffi.addressOf(this.bytes);
    this.sizeClass = sizeClass;
  }

  get size(): number {
    return this.bytes.length;
  }
  retain(): this {
    this.#holders += 1;
    return this;
  }
  release(): void {
    if (this.#holders <= 0) throw new RangeError('A slab was released more often than it was held.');
    this.#holders -= 1;
    if (this.#holders === 0) this.#pool.take(this);
  }
  /** Gives it up for good: the system may still read it, so that it must not be used again. */
  discard(): void {
    this.#holders = 0;
    this.#pool.forget(this);
  }
  /** For the pool only: the slab goes out again. */
  reuse(): this {
    this.#holders = 1;
    return this;
  }
}

/** Kept in any case. */
const alwaysKeptBytes = 8 << 20;

export class SlabPool {
  readonly #free: Slab[][] = classes.map(() => []);
  readonly #maxIdleBytes: number;
  #idleBytes = 0;
  /** Since the last trim: so much was not needed all the time. */
  #leastIdleBytes = 0;
  #liveBytes = 0;

  constructor(maxIdleBytes = 160 << 20) {
    this.#maxIdleBytes = maxIdleBytes;
  }

  /** Bytes in slabs that nobody holds. */
  get idleBytes(): number {
    return this.#idleBytes;
  }
  /** Bytes in slabs that somebody holds. */
  get liveBytes(): number {
    return this.#liveBytes;
  }

  /** A slab of at least `minBytes` with one holder: the caller. */
  acquire(minBytes: number): Slab {
    const sizeClass = classes.findIndex((size) => size >= minBytes);
    const size = classes[sizeClass];
    if (size === undefined) throw new RangeError(`No slab holds ${minBytes} bytes.`);
    const idle = this.#free[sizeClass]?.pop();
    this.#liveBytes += size;
    if (idle === undefined) return new Slab(this, size, sizeClass);
    this.#idleBytes -= size;
    this.#leastIdleBytes = Math.min(this.#leastIdleBytes, this.#idleBytes);
    return idle.reuse();
  }

  /** Once in a while: lets go of what was idle all the time since the last call. */
  trim(): void {
    let surplusBytes = this.#leastIdleBytes - alwaysKeptBytes;
    for (const free of this.#free.toReversed()) {
      const size = free[0]?.size ?? 0;
      const count = size === 0 ? 0 : Math.min(free.length, Math.floor(Math.max(0, surplusBytes) / size));
      // The newest are at the end, and still in the processor's caches.
      free.splice(0, count);
      surplusBytes -= count * size;
      this.#idleBytes -= count * size;
      noteLetGo(count * size);
    }
    this.#leastIdleBytes = this.#idleBytes;
  }

  /** Called when a slab is given up. */
  forget(slab: Slab): void {
    this.#liveBytes -= slab.size;
  }

  /** Called by the last release of a slab. */
  take(slab: Slab): void {
    this.#liveBytes -= slab.size;
    if (this.#idleBytes + slab.size > this.#maxIdleBytes) {
      noteLetGo(slab.size);
      return;
    }
    this.#idleBytes += slab.size;
    this.#free[slab.sizeClass]?.push(slab);
  }
}

/** The largest slab: what one stream reads into when it is busy. */
export const largestSlabBytes = classes[classes.length - 1] ?? 0;
