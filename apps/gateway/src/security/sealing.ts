/**
 * Seals and opens frames of one direction of one subflow. The owner of a FrameSealer is one subflow in one thread, so that no
 * nonce is used twice: the counter moves before the cipher is called, and a failed seal burns its number.
 * Suite `none` keeps authentication: the payload is associated data of an AES-256-GCM message without plaintext.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import type { Suite } from '@lmas/gateway-api';
import { AeadContext, type AeadName, nativeAead } from '../platform/openssl.ts';
import { type Slab, SlabPool } from '../platform/slab.ts';
import { encodeHeader, type FrameHeader, HEADER_BYTES, TAG_BYTES, writeUint64 } from '../protocol/frame.ts';
import { nextTrafficSecret, trafficKey } from './keys.ts';

/** What a cipher has to do, on slabs; platform/openssl.ts is the fast one. */
export interface Aead {
  seal(nonce: Buffer, aad: [Slab, number, number], from: [Slab, number], length: number, out: [Slab, number]): void;
  open(nonce: Buffer, aad: [Slab, number, number], at: [Slab, number], length: number): boolean;
  free(): void;
}

/** The same by node:crypto, for machines where OpenSSL cannot be called. */
export class NodeAead implements Aead {
  readonly #name: AeadName;
  readonly #key: Buffer;
  constructor(name: AeadName, key: Buffer) {
    this.#name = name;
    this.#key = Buffer.from(key);
  }
  seal(nonce: Buffer, aad: [Slab, number, number], from: [Slab, number], length: number, out: [Slab, number]): void {
    const cipher = createCipheriv(this.#name as 'aes-256-gcm', this.#key, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(view(aad), { plaintextLength: length });
    cipher.update(from[0].bytes.subarray(from[1], from[1] + length)).copy(out[0].bytes, out[1]);
    cipher.final();
    cipher.getAuthTag().copy(out[0].bytes, out[1] + length);
  }
  open(nonce: Buffer, aad: [Slab, number, number], at: [Slab, number], length: number): boolean {
    const bytes = at[0].bytes.subarray(at[1], at[1] + length + TAG_BYTES);
    const cipher = createDecipheriv(this.#name as 'aes-256-gcm', this.#key, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(view(aad), { plaintextLength: length });
    cipher.setAuthTag(bytes.subarray(length));
    const plain = cipher.update(bytes.subarray(0, length));
    try {
      cipher.final();
    } catch {
      return false; // The only thing that final() says here: the tag does not verify.
    }
    plain.copy(bytes);
    return true;
  }
  free(): void {
    this.#key.fill(0);
  }
}

function view([slab, offset, length]: [Slab, number, number]): Buffer {
  return slab.bytes.subarray(offset, offset + length);
}

function sameResult(name: AeadName): boolean {
  const pool = new SlabPool(0);
  const key = Buffer.alloc(32, 7);
  const nonce = Buffer.alloc(12, 9);
  const slabs = [pool.acquire(4096), pool.acquire(4096), pool.acquire(4096)] as const;
  const native = new AeadContext(name, key, true);
  const opener = new AeadContext(name, key, false);
  slabs[0].bytes.fill(0xa5);
  native.seal(nonce, [slabs[0], 0, 40], [slabs[0], 100], 1000, [slabs[1], 3]);
  new NodeAead(name, key).seal(nonce, [slabs[0], 0, 40], [slabs[0], 100], 1000, [slabs[2], 3]);
  const equal = slabs[1].bytes.compare(slabs[2].bytes, 3, 1019, 3, 1019) === 0;
  const opened = opener.open(nonce, [slabs[0], 0, 40], [slabs[1], 3], 1000);
  slabs[2].bytes[500] = (slabs[2].bytes[500] ?? 0) ^ 1;
  const refused = !opener.open(nonce, [slabs[0], 0, 40], [slabs[2], 3], 1000);
  native.free();
  opener.free();
  return equal && opened && refused && slabs[1].bytes.compare(slabs[0].bytes, 100, 1100, 3, 1003) === 0;
}

/** The known-answer test at start: OpenSSL through koffi is used only if it gives what node:crypto gives. */
export function chooseAead(): 'openssl' | 'node:crypto' {
  if (!nativeAead) return 'node:crypto';
  try {
    return sameResult('aes-256-gcm') && sameResult('chacha20-poly1305') ? 'openssl' : 'node:crypto';
  } catch {
    return 'node:crypto'; // Whatever it is, it is not the OpenSSL that we know.
  }
}

let chosen: 'openssl' | 'node:crypto' | undefined;
/** Which implementation this process uses. */
export function aeadImplementation(): 'openssl' | 'node:crypto' {
  chosen ??= chooseAead();
  return chosen;
}

export function makeAead(suite: Suite, key: Buffer, seals: boolean): Aead {
  const name: AeadName = suite === 'chacha20-poly1305' ? suite : 'aes-256-gcm';
  return aeadImplementation() === 'openssl' ? new AeadContext(name, key, seals) : new NodeAead(name, key);
}

abstract class Direction {
  protected readonly suite: Suite;
  protected readonly nonce: Buffer = Buffer.alloc(12);
  protected aead: Aead;
  /** Number of REKEY frames so far. */
  phase = 0;
  /** Counter of the next frame. */
  counter = 0;
  #secret: Buffer;
  readonly #seals: boolean;

  constructor(suite: Suite, secret: Buffer, seals: boolean) {
    this.suite = suite;
    this.#secret = secret;
    this.#seals = seals;
    this.aead = this.#start();
  }
  /** Moves to the next key; the counter goes on, so that numbers never come back. */
  rekey(): void {
    const next = nextTrafficSecret(this.#secret);
    this.#secret.fill(0);
    this.#secret = next;
    this.aead.free();
    this.aead = this.#start();
    this.phase = (this.phase + 1) & 0xffff;
  }
  free(): void {
    this.aead.free();
    this.#secret.fill(0);
  }
  #start(): Aead {
    const { key, noncePrefix } = trafficKey(this.#secret);
    noncePrefix.copy(this.nonce, 0);
    const aead = makeAead(this.suite, key, this.#seals);
    key.fill(0);
    return aead;
  }
}

export class FrameSealer extends Direction {
  /** Payload bytes under the present key, and since when. */
  sealedBytes = 0;
  keyedAtMs = performance.now();

  constructor(suite: Suite, secret: Buffer) {
    super(suite, secret, true);
  }
  /**
   * Writes header, sealed payload and tag at `outOffset`; completes `header` (counter, key phase). `from` is null for an empty
   * payload. Returns the bytes written.
   */
  seal(header: FrameHeader, from: Slab | null, fromOffset: number, out: Slab, outOffset: number): number {
    header.counter = this.counter;
    header.keyPhase = this.phase;
    this.counter += 1;
    encodeHeader(header, out.bytes, outOffset);
    writeUint64(this.nonce, header.counter, 4);
    const length = header.payloadLength;
    const at = outOffset + HEADER_BYTES;
    if (this.suite === 'none') {
      if (from !== null) from.bytes.copy(out.bytes, at, fromOffset, fromOffset + length);
      this.aead.seal(this.nonce, [out, outOffset, HEADER_BYTES + length], [out, at], 0, [out, at + length]);
    } else {
      this.aead.seal(
        this.nonce,
        [out, outOffset, HEADER_BYTES],
        [from ?? out, from === null ? at : fromOffset],
        length,
        [out, at],
      );
    }
    this.sealedBytes += length;
    return HEADER_BYTES + length + TAG_BYTES;
  }
  override rekey(): void {
    super.rekey();
    this.sealedBytes = 0;
    this.keyedAtMs = performance.now();
  }
}

export class FrameOpener extends Direction {
  constructor(suite: Suite, secret: Buffer) {
    super(suite, secret, false);
  }
  /** Opens the frame at `offset` in place. False: it does not authenticate, and nothing of it may be used. */
  open(header: FrameHeader, slab: Slab, offset: number): boolean {
    writeUint64(this.nonce, header.counter, 4);
    const length = header.payloadLength;
    const at = offset + HEADER_BYTES;
    const good =
      this.suite === 'none'
        ? this.aead.open(this.nonce, [slab, offset, HEADER_BYTES + length], [slab, at + length], 0)
        : this.aead.open(this.nonce, [slab, offset, HEADER_BYTES], [slab, at], length);
    if (good) this.counter += 1;
    return good;
  }
}
