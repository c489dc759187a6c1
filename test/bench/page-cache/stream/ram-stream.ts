/**
 * QEMU's migration stream, taken apart page by page: the one that goes over a single connection in pre-copy (no multifd), of QEMU 2.6 to 9.
 * Format: migration/savevm.c and migration/ram.c of QEMU (big-endian; sections; inside the section "ram" 8 bytes of address and flags before each page).
 *
 *   magic, version │ configuration │ START ram: sizes of the blocks │ PART ram: pages │ … │ END ram: pages │ devices (opaque)
 *
 * Invariant: the visitor is given every byte once and in order, as `other` or as the content of a page. Pure; keeps at most one element.
 */

export const PAGE_BYTES = 4_096;

export interface StreamVisitor {
  /** Anything but the content of a page, the header before it included. The buffer is only lent. */
  other(bytes: Buffer): void;
  /** The content of a page; `page` is the same number whenever the same page comes. The buffer is only lent. */
  content(page: number, bytes: Buffer): void;
  /** The page was sent as "all zero": its header and one byte have been given to `other`. */
  zero?(page: number): void;
}

/** What is read is not what this reader knows. */
export class StreamError extends Error {}

const MAGIC = 0x5145564d; // QEVM
const VERSION = 3;
const SECTION = { start: 1, part: 2, end: 3, configuration: 7, footer: 0x7e } as const;
const RAM = { zero: 0x02, sizes: 0x04, page: 0x08, end: 0x10, same: 0x20, flush: 0x200 } as const;
/** Blocks and addresses in one number: no block has a tebibyte. */
const BLOCK = 2 ** 40;
/** Longer than any element: header, name of a block, page. */
const TEXT_BYTES = 255;

type State = 'beginning' | 'section' | 'ram' | 'sizes' | 'footer' | 'devices';

export class RamStream {
  readonly #visitor: StreamVisitor;
  readonly #blocks = new Map<string, number>();
  #pending: Buffer = Buffer.alloc(0);
  #at = 0;
  #state: State = 'beginning';
  #block = 0;
  #sizesLeft = 0;
  #isLast = false;
  #offset = 0;

  constructor(visitor: StreamVisitor) {
    this.#visitor = visitor;
  }

  /** @throws StreamError */
  push(bytes: Buffer): void {
    const rest = this.#pending.subarray(this.#at);
    this.#pending = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
    this.#at = 0;
    while (this.#step());
  }

  /** @throws StreamError when the stream ended too early */
  end(): void {
    if (this.#state !== 'devices') throw this.#wrong('it ends before the memory is complete');
  }

  /** One element; false when not all of it is here yet. */
  #step(): boolean {
    switch (this.#state) {
      case 'beginning':
        return this.#beginning();
      case 'section':
        return this.#section();
      case 'sizes':
        return this.#blockSize();
      case 'ram':
        return this.#page();
      case 'footer':
        return this.#footer();
      case 'devices':
        return this.#left > 0 && this.#take(this.#left);
    }
  }

  #beginning(): boolean {
    if (this.#left < 13) return false;
    if (this.#uint32(0) !== MAGIC || this.#uint32(4) !== VERSION) throw this.#wrong('it does not begin as one of QEMU');
    if (this.#uint8(8) !== SECTION.configuration) return this.#take(8, 'section');
    const nameBytes = this.#uint32(9);
    if (nameBytes > TEXT_BYTES) throw this.#wrong(`the machine's name has ${nameBytes} bytes`);
    return this.#left >= 13 + nameBytes && this.#take(13 + nameBytes, 'section');
  }

  #section(): boolean {
    if (this.#left < 6) return false;
    const type = this.#uint8(0);
    this.#isLast = type === SECTION.end;
    if (type === SECTION.part || type === SECTION.end) return this.#take(5, 'ram');
    if (type !== SECTION.start) throw this.#wrong(`a section of type ${type} stands before the end of the memory`);
    const nameBytes = this.#uint8(5);
    if (this.#left < 14 + nameBytes) return false;
    const name = this.#text(6, nameBytes);
    if (name !== 'ram') throw this.#wrong(`"${name}" is migrated live beside the memory`);
    return this.#take(14 + nameBytes, 'ram');
  }

  #blockSize(): boolean {
    if (this.#left < 1) return false;
    const nameBytes = this.#uint8(0);
    if (this.#left < 9 + nameBytes) return false;
    this.#blocks.set(this.#text(1, nameBytes), this.#blocks.size);
    this.#sizesLeft -= this.#uint64(1 + nameBytes);
    return this.#take(9 + nameBytes, this.#sizesLeft > 0 ? 'sizes' : 'ram');
  }

  #page(): boolean {
    if (this.#left < 9) return false; // after the last page of a section stands its footer
    const low = this.#uint32(4);
    const flags = low & (PAGE_BYTES - 1);
    const address = this.#uint32(0) * 2 ** 32 + (low - flags);
    if (flags === RAM.end) return this.#take(8, 'footer');
    if (flags === RAM.flush) return this.#take(8);
    if (flags === RAM.sizes) {
      this.#sizesLeft = address;
      return this.#take(8, 'sizes');
    }
    const kind = flags & ~RAM.same;
    if (kind !== RAM.page && kind !== RAM.zero) throw this.#wrong(`a page has the flags 0x${flags.toString(16)}`);
    const nameBytes = flags & RAM.same ? 0 : 1 + this.#uint8(8);
    const contentBytes = kind === RAM.page ? PAGE_BYTES : 1;
    if (this.#left < 8 + nameBytes + contentBytes) return false;
    if (nameBytes > 0) this.#block = this.#blockNamed(this.#text(9, nameBytes - 1));
    const page = (this.#block * BLOCK + address) / PAGE_BYTES;
    if (kind === RAM.zero) {
      this.#take(8 + nameBytes + 1);
      this.#visitor.zero?.(page);
      return true;
    }
    this.#take(8 + nameBytes);
    this.#visitor.content(page, this.#pending.subarray(this.#at, this.#at + PAGE_BYTES));
    this.#skip(PAGE_BYTES);
    return true;
  }

  /** QEMU has written one since 2.4, unless the machine type is older. */
  #footer(): boolean {
    if (this.#left < 5) return false;
    const next: State = this.#isLast ? 'devices' : 'section';
    if (this.#uint8(0) === SECTION.footer) return this.#take(5, next);
    this.#state = next;
    return true;
  }

  #blockNamed(name: string): number {
    const block = this.#blocks.get(name);
    if (block === undefined) throw this.#wrong(`no block is called "${name}"`);
    return block;
  }

  get #left(): number {
    return this.#pending.length - this.#at;
  }
  #uint8(at: number): number {
    return this.#pending.readUInt8(this.#at + at);
  }
  #uint32(at: number): number {
    return this.#pending.readUInt32BE(this.#at + at);
  }
  #uint64(at: number): number {
    return this.#uint32(at) * 2 ** 32 + this.#uint32(at + 4);
  }
  #text(at: number, length: number): string {
    return this.#pending.toString('latin1', this.#at + at, this.#at + at + length);
  }

  #skip(length: number): void {
    this.#at += length;
    this.#offset += length;
  }

  #take(length: number, next?: State): true {
    this.#visitor.other(this.#pending.subarray(this.#at, this.#at + length));
    this.#skip(length);
    if (next !== undefined) this.#state = next;
    return true;
  }

  #wrong(what: string): StreamError {
    return new StreamError(`This is no migration stream that can be read: ${what} (at byte ${this.#offset}).`);
  }
}
