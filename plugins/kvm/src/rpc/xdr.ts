/**
 * XDR (RFC 4506) as libvirt uses it: big-endian, everything padded to four bytes. Pure: no I/O, no libvirt knowledge.
 * A `Codec` writes and reads one type; the combinators below build the structures of `procedures.ts` from them. Reading
 * is strict: bounds, padding, counts and the end of the data are all checked, because the peer is another program.
 */

export class XdrError extends Error {
  override readonly name = 'XdrError';
}

/** Grows as needed; `finish` gives the bytes. */
export class XdrWriter {
  #buffer = Buffer.alloc(256);
  #length = 0;

  /** Makes room before anybody holds the buffer: it may be replaced here. */
  #room(bytes: number): number {
    const at = this.#length;
    this.#length += bytes;
    if (this.#length > this.#buffer.length) {
      const larger = Buffer.alloc(Math.max(this.#length, this.#buffer.length * 2));
      this.#buffer.copy(larger);
      this.#buffer = larger;
    }
    return at;
  }

  int(value: number): void {
    const at = this.#room(4);
    this.#buffer.writeInt32BE(value, at);
  }

  uint(value: number): void {
    const at = this.#room(4);
    this.#buffer.writeUInt32BE(value, at);
  }

  hyper(value: bigint): void {
    const at = this.#room(8);
    this.#buffer.writeBigInt64BE(value, at);
  }

  uhyper(value: bigint): void {
    const at = this.#room(8);
    this.#buffer.writeBigUInt64BE(value, at);
  }

  double(value: number): void {
    const at = this.#room(8);
    this.#buffer.writeDoubleBE(value, at);
  }

  /** Fixed-length bytes with their padding (the buffer is zero-filled). */
  bytes(value: Uint8Array): void {
    const at = this.#room(value.length + padding(value.length));
    this.#buffer.set(value, at);
  }

  finish(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }
}

export class XdrReader {
  readonly #data: Buffer;
  #offset = 0;

  constructor(data: Buffer) {
    this.#data = data;
  }

  #take(bytes: number): number {
    const at = this.#offset;
    if (bytes > this.#data.length - at)
      throw new XdrError(`${bytes} bytes wanted at ${at}, ${this.#data.length} there`);
    this.#offset += bytes;
    return at;
  }

  int(): number {
    return this.#data.readInt32BE(this.#take(4));
  }

  uint(): number {
    return this.#data.readUInt32BE(this.#take(4));
  }

  hyper(): bigint {
    return this.#data.readBigInt64BE(this.#take(8));
  }

  uhyper(): bigint {
    return this.#data.readBigUInt64BE(this.#take(8));
  }

  double(): number {
    return this.#data.readDoubleBE(this.#take(8));
  }

  bytes(length: number): Buffer {
    const at = this.#take(length);
    const end = this.#take(padding(length));
    for (let index = end; index < this.#offset; index += 1) {
      if (this.#data[index] !== 0) throw new XdrError(`padding at ${index} is not zero`);
    }
    return this.#data.subarray(at, at + length);
  }

  /** @throws XdrError when something is left over */
  end(): void {
    const left = this.#data.length - this.#offset;
    if (left !== 0) throw new XdrError(`${left} bytes left over`);
  }
}

const padding = (length: number): number => (4 - (length % 4)) % 4;

export interface Codec<T> {
  write(to: XdrWriter, value: T): void;
  read(from: XdrReader): T;
}

export type ValueOf<C> = C extends Codec<infer T> ? T : never;

export const int: Codec<number> = { write: (to, value) => to.int(value), read: (from) => from.int() };
export const uint: Codec<number> = { write: (to, value) => to.uint(value), read: (from) => from.uint() };
export const hyper: Codec<bigint> = { write: (to, value) => to.hyper(value), read: (from) => from.hyper() };
export const uhyper: Codec<bigint> = { write: (to, value) => to.uhyper(value), read: (from) => from.uhyper() };
export const double: Codec<number> = { write: (to, value) => to.double(value), read: (from) => from.double() };
export const nothing: Codec<void> = { write: () => undefined, read: () => undefined };

/** `opaque<max>`: a length, the bytes, the padding. */
export function opaque(maxBytes: number): Codec<Buffer> {
  return {
    write(to, value) {
      if (value.length > maxBytes) throw new XdrError(`${value.length} bytes, at most ${maxBytes} fit`);
      to.uint(value.length);
      to.bytes(value);
    },
    read(from) {
      const length = from.uint();
      if (length > maxBytes) throw new XdrError(`${length} bytes announced, at most ${maxBytes} allowed`);
      return from.bytes(length);
    },
  };
}

/** `string<max>`: the same on the wire, UTF-8 by convention. */
export function string(maxBytes: number): Codec<string> {
  const raw = opaque(maxBytes);
  return {
    write: (to, value) => raw.write(to, Buffer.from(value, 'utf8')),
    read: (from) => raw.read(from).toString('utf8'),
  };
}

/** `opaque[length]`: no length on the wire. */
export function fixedOpaque(length: number): Codec<Buffer> {
  return {
    write(to, value) {
      if (value.length !== length) throw new XdrError(`${value.length} bytes instead of ${length}`);
      to.bytes(value);
    },
    read: (from) => from.bytes(length),
  };
}

/** `T x<max>`. */
export function array<T>(element: Codec<T>, maxCount: number): Codec<readonly T[]> {
  return {
    write(to, values) {
      if (values.length > maxCount) throw new XdrError(`${values.length} elements, at most ${maxCount} fit`);
      to.uint(values.length);
      for (const value of values) element.write(to, value);
    },
    read(from) {
      const count = from.uint();
      if (count > maxCount) throw new XdrError(`${count} elements announced, at most ${maxCount} allowed`);
      return Array.from({ length: count }, () => element.read(from));
    },
  };
}

/** `T x[count]`. */
export function fixedArray<T>(element: Codec<T>, count: number): Codec<readonly T[]> {
  return {
    write(to, values) {
      if (values.length !== count) throw new XdrError(`${values.length} elements instead of ${count}`);
      for (const value of values) element.write(to, value);
    },
    read: (from) => Array.from({ length: count }, () => element.read(from)),
  };
}

/** `T *x`: a flag, then the value if there is one. */
export function optional<T>(element: Codec<T>): Codec<T | null> {
  return {
    write(to, value) {
      to.int(value === null ? 0 : 1);
      if (value !== null) element.write(to, value);
    },
    read(from) {
      const flag = from.uint();
      if (flag > 1) throw new XdrError(`${flag} is not the flag of an optional value`);
      return flag === 1 ? element.read(from) : null;
    },
  };
}

type Fields = Record<string, unknown>;

/** A structure: its fields in the order in which they are given. */
export function struct<T extends Fields>(fields: { readonly [K in keyof T]: Codec<T[K]> }): Codec<T> {
  const entries = Object.entries(fields) as [keyof T, Codec<T[keyof T]>][];
  return {
    write(to, value) {
      for (const [name, codec] of entries) codec.write(to, value[name]);
    },
    read: (from) => Object.fromEntries(entries.map(([name, codec]) => [name, codec.read(from)])) as T,
  };
}

export function encode<T>(codec: Codec<T>, value: T): Buffer {
  const writer = new XdrWriter();
  codec.write(writer, value);
  return writer.finish();
}

/** @throws XdrError for anything but exactly one value */
export function decode<T>(codec: Codec<T>, data: Buffer): T {
  const reader = new XdrReader(data);
  const value = codec.read(reader);
  reader.end();
  return value;
}
