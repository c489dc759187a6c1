/**
 * zstd on slabs, by the library inside the node binary, called through koffi: from slab to slab, nothing allocated. Where that cannot be,
 * node:zlib does it, several times as slowly. Every range is checked here, because the library would believe it.
 * A context belongs to the Zstd that made it and is freed by `free`.
 */
import zlib from 'node:zlib';
import { ffi, type NativeFunction } from './ffi.ts';
import type { Slab } from './slab.ts';

/** The fastest level that still finds zero pages, text and code: about 1 GB/s each core; level 1 does a third of that. */
const level = -1;
/** node:zlib takes -1 for "not said", which is level 3 and slow. */
const levelOfNode = -2;

interface Library {
  createCompressor: NativeFunction;
  createDecompressor: NativeFunction;
  freeCompressor: NativeFunction;
  freeDecompressor: NativeFunction;
  compress: NativeFunction;
  decompress: NativeFunction;
  frameBytes: NativeFunction;
}

function bind(): Library | null {
  if (ffi === null) return null;
  try {
    return {
      createCompressor: ffi.func('void *ZSTD_createCCtx()'),
      createDecompressor: ffi.func('void *ZSTD_createDCtx()'),
      freeCompressor: ffi.func('size_t ZSTD_freeCCtx(void *)'),
      freeDecompressor: ffi.func('size_t ZSTD_freeDCtx(void *)'),
      compress: ffi.func('size_t ZSTD_compressCCtx(void *, void *, size_t, void *, size_t, int)'),
      decompress: ffi.func('size_t ZSTD_decompressDCtx(void *, void *, size_t, void *, size_t)'),
      frameBytes: ffi.func('size_t ZSTD_findFrameCompressedSize(void *, size_t)'),
    };
  } catch {
    return null; // A node built with a shared zstd exports no symbols: node:zlib does the work.
  }
}

const library = bind();

/** A place in a slab. */
export interface Place {
  slab: Slab;
  start: number;
  length: number;
}

function address({ slab, start, length }: Place): number {
  const sound = Number.isInteger(start) && Number.isInteger(length) && start >= 0 && length > 0;
  if (!sound || start + length > slab.size || slab.address === 0 || slab.bytes.length !== slab.size) {
    throw new RangeError('Outside of the slab.');
  }
  return slab.address + start;
}

/** Errors are numbers near 2^64: larger than any place. */
function within(result: unknown, limit: number): number | null {
  const length = Number(result);
  return length <= limit ? length : null;
}

function bytesOf({ slab, start, length }: Place): Buffer {
  return slab.bytes.subarray(start, start + length);
}

export interface Zstd {
  /** One zstd frame of `from` in `into`; its length, or null when it does not fit there. */
  compress(from: Place, into: Place): number | null;
  /** True when `from` is exactly one zstd frame that fills `into`; never writes beyond it. */
  decompress(from: Place, into: Place): boolean;
  free(): void;
}

class NativeZstd implements Zstd {
  readonly #library: Library;
  #compressor: unknown = null;
  #decompressor: unknown = null;

  constructor(native: Library) {
    this.#library = native;
  }
  compress(from: Place, into: Place): number | null {
    const [source, target] = [address(from), address(into)];
    this.#compressor ??= this.#library.createCompressor();
    return within(
      this.#library.compress(this.#compressor, target, into.length, source, from.length, level),
      into.length,
    );
  }
  decompress(from: Place, into: Place): boolean {
    const [source, target] = [address(from), address(into)];
    if (within(this.#library.frameBytes(source, from.length), from.length) !== from.length) return false;
    this.#decompressor ??= this.#library.createDecompressor();
    const length = within(
      this.#library.decompress(this.#decompressor, target, into.length, source, from.length),
      into.length,
    );
    return length === into.length;
  }
  free(): void {
    if (this.#compressor !== null) this.#library.freeCompressor(this.#compressor);
    if (this.#decompressor !== null) this.#library.freeDecompressor(this.#decompressor);
    this.#compressor = null;
    this.#decompressor = null;
  }
}

/** The same by node:zlib. */
export class NodeZstd implements Zstd {
  compress(from: Place, into: Place): number | null {
    const params = { [zlib.constants.ZSTD_c_compressionLevel]: levelOfNode };
    const out = zlib.zstdCompressSync(bytesOf(from), { params });
    if (out.length > into.length) return null;
    out.copy(into.slab.bytes, into.start);
    return out.length;
  }
  decompress(from: Place, into: Place): boolean {
    try {
      const out = zlib.zstdDecompressSync(bytesOf(from), { maxOutputLength: into.length });
      out.copy(into.slab.bytes, into.start);
      return out.length === into.length;
    } catch {
      return false; // Not zstd, or larger than it may be.
    }
  }
  free(): void {
    // Nothing is kept.
  }
}

export function makeZstd(): Zstd {
  return library === null ? new NodeZstd() : new NativeZstd(library);
}
