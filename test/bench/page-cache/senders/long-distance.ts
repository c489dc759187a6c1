/**
 * zstd with a memory: one compressor for the whole stream, which refers to anything within its window (long-distance matching: a rolling hash of
 * 64 bytes finds it at any place, and the match is extended both ways). What a cache would be that knows nothing of the format and finds both
 * what is the same and what is similar. Each frame is flushed, as nothing may be held back. Frames have to be unpacked in order.
 * The library is the one inside the node binary, called as the gateway calls it. Owns a compressor, which `free` gives back.
 */
import { constants } from 'node:zlib';
import { ffi, type NativeFunction } from '../../../../apps/gateway/src/platform/ffi.ts';
import { FRAME_BYTES } from './frames.ts';

interface Library {
  readonly create: NativeFunction;
  readonly set: NativeFunction;
  readonly compress: NativeFunction;
  readonly free: NativeFunction;
}

function bind(): Library {
  if (ffi === null) throw new Error('koffi cannot be loaded here, and without it zstd cannot be called.');
  return {
    create: ffi.func('void *ZSTD_createCCtx()'),
    set: ffi.func('size_t ZSTD_CCtx_setParameter(void *, int, int)'),
    compress: ffi.func('size_t ZSTD_compressStream2(void *, void *, void *, int)'),
    free: ffi.func('size_t ZSTD_freeCCtx(void *)'),
  };
}

let library: Library | undefined;

/** ZSTD_inBuffer and ZSTD_outBuffer (zstd.h): address, size, place so far. The bytes never move. */
class Range {
  readonly bytes: Buffer;
  readonly #struct = Buffer.allocUnsafeSlow(24);

  constructor(length: number) {
    this.bytes = Buffer.allocUnsafeSlow(length);
    this.#struct.writeBigUInt64LE(BigInt(ffi?.addressOf(this.bytes) ?? 0), 0);
  }

  get place(): number {
    return Number(this.#struct.readBigUInt64LE(16));
  }

  /** For the library: `length` bytes from the start. */
  lend(length: number): Buffer {
    this.#struct.writeBigUInt64LE(BigInt(length), 8);
    this.#struct.writeBigUInt64LE(0n, 16);
    return this.#struct;
  }
}

export class LongDistanceSender {
  firstBytes = 0;
  againBytes = 0;
  readonly #library: Library;
  readonly #context: unknown;
  readonly #againFrom: number;
  readonly #plain = new Range(FRAME_BYTES);
  /** zstd makes nothing longer by more than a part in 256 (ZSTD_compressBound). */
  readonly #packed = new Range(FRAME_BYTES + (FRAME_BYTES >> 8) + 1_024);
  #streamBytes = 0;

  /**
   * @param windowBytes a power of two, from 1 KiB to 2 GiB
   * @param againFrom place in the stream where pages begin to come again
   */
  constructor(windowBytes: number, againFrom: number) {
    library ??= bind();
    this.#library = library;
    this.#againFrom = againFrom;
    this.#context = library.create();
    this.#set(constants.ZSTD_c_compressionLevel, -1);
    this.#set(constants.ZSTD_c_windowLog, Math.log2(windowBytes));
    this.#set(constants.ZSTD_c_enableLongDistanceMatching, 1);
  }

  push(bytes: Buffer): void {
    for (let from = 0; from < bytes.length; from += FRAME_BYTES) {
      const length = Math.min(FRAME_BYTES, bytes.length - from);
      bytes.copy(this.#plain.bytes, 0, from, from + length);
      this.#streamBytes += length;
      const packedBytes = this.#compress(length);
      if (this.#streamBytes <= this.#againFrom) this.firstBytes += packedBytes;
      else this.againBytes += packedBytes;
    }
  }

  free(): void {
    this.#library.free(this.#context);
  }

  #compress(length: number): number {
    const [output, input] = [this.#packed.lend(this.#packed.bytes.length), this.#plain.lend(length)];
    const left = Number(this.#library.compress(this.#context, output, input, constants.ZSTD_e_flush));
    if (left !== 0 || this.#plain.place !== length) throw new Error('zstd has not flushed a frame.');
    return this.#packed.place;
  }

  /** Errors are numbers near 2^64. */
  #set(parameter: number, value: number): void {
    const result = Number(this.#library.set(this.#context, parameter, value));
    if (result > Number.MAX_SAFE_INTEGER) throw new Error(`zstd refuses ${value} as parameter ${parameter}.`);
  }
}
