/**
 * What goes over the link: bytes cut into frames and compressed as the gateway does it (apps/gateway/src/tunnel/compressor.ts: each frame alone,
 * zstd at its fastest level, as it is where that gains less than a tenth), here without ever giving up for a while. Counts, and sends nothing.
 * Owns a compressor, which `free` gives back.
 */
import zlib from 'node:zlib';
import { SlabPool } from '../../../../apps/gateway/src/platform/slab.ts';
import { makeZstd } from '../../../../apps/gateway/src/platform/zstd.ts';

/** A quarter of a megabyte: what a gateway reads at once from a hypervisor that is in a hurry. */
export const FRAME_BYTES = 256 << 10;
/** As the gateway's compressor: else it is not worth unpacking. */
const WORTHWHILE = 0.9;

export interface FrameOptions {
  /** By the gateway's own zstd, by zstd at a level, or not at all. */
  readonly compress: 'gateway' | number | 'no';
  /** Place in the stream where pages begin to come again: what is sent from there on is counted apart. */
  readonly againFrom: number;
}

export class Frames {
  /** On the link, for what was sent for the first time. */
  firstBytes = 0;
  /** On the link, from where pages come again. */
  againBytes = 0;
  readonly #pool = new SlabPool();
  readonly #plain = this.#pool.acquire(FRAME_BYTES);
  readonly #packed = this.#pool.acquire(FRAME_BYTES);
  readonly #zstd = makeZstd();
  readonly #options: FrameOptions;
  #filled = 0;
  #streamBytes = 0;
  #again = false;

  constructor(options: FrameOptions) {
    this.#options = options;
  }

  /** @param standsForBytes what these bytes are in the stream, where something shorter or longer is sent in its place */
  put(bytes: Uint8Array, standsForBytes: number = bytes.length): void {
    if (!this.#again && this.#streamBytes >= this.#options.againFrom) {
      this.flush();
      this.#again = true;
    }
    for (let from = 0; from < bytes.length; ) {
      const length = Math.min(bytes.length - from, FRAME_BYTES - this.#filled);
      this.#plain.bytes.set(bytes.subarray(from, from + length), this.#filled);
      this.#filled += length;
      from += length;
      if (this.#filled === FRAME_BYTES) this.flush();
    }
    this.#streamBytes += standsForBytes;
  }

  /** Sends what waits. */
  flush(): void {
    if (this.#filled === 0) return;
    const bytes = this.#frameBytes();
    if (this.#again) this.againBytes += bytes;
    else this.firstBytes += bytes;
    this.#filled = 0;
  }

  free(): void {
    this.#zstd.free();
  }

  #frameBytes(): number {
    const { compress } = this.#options;
    if (compress === 'no') return this.#filled;
    const limit = Math.max(1, Math.floor(this.#filled * WORTHWHILE));
    if (compress !== 'gateway') {
      const params = { [zlib.constants.ZSTD_c_compressionLevel]: compress };
      const packed = zlib.zstdCompressSync(this.#plain.bytes.subarray(0, this.#filled), { params });
      return packed.length <= limit ? packed.length : this.#filled;
    }
    const from = { slab: this.#plain, start: 0, length: this.#filled };
    return this.#zstd.compress(from, { slab: this.#packed, start: 0, length: limit }) ?? this.#filled;
  }
}
