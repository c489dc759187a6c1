/**
 * AEAD by the OpenSSL inside the node binary, called through koffi on slabs: one pass from the plaintext into the send buffer and
 * one in place at the receiver, no allocation. Every range is checked here, because OpenSSL would believe it.
 * A cipher context belongs to the AeadContext that made it and is freed by `free`. ERR_clear_error follows every failure: a
 * poisoned error queue breaks unrelated TLS connections.
 */
import { ffi, type NativeFunction } from './ffi.ts';
import type { Slab } from './slab.ts';

export type AeadName = 'aes-256-gcm' | 'chacha20-poly1305';

const EVP_CTRL_AEAD_GET_TAG = 0x10;
const EVP_CTRL_AEAD_SET_TAG = 0x11;
const tagBytes = 16;

interface Evp {
  aes256gcm: NativeFunction;
  chacha20poly1305: NativeFunction;
  create: NativeFunction;
  free: NativeFunction;
  init: NativeFunction;
  update: NativeFunction;
  final: NativeFunction;
  control: NativeFunction;
  clearErrors: NativeFunction;
}

function bind(): Evp | null {
  if (ffi === null) return null;
  try {
    return {
      aes256gcm: ffi.func('void *EVP_aes_256_gcm()'),
      chacha20poly1305: ffi.func('void *EVP_chacha20_poly1305()'),
      create: ffi.func('void *EVP_CIPHER_CTX_new()'),
      free: ffi.func('void EVP_CIPHER_CTX_free(void *)'),
      init: ffi.func('int EVP_CipherInit_ex(void *, void *, void *, void *, void *, int)'),
      update: ffi.func('int EVP_CipherUpdate(void *, void *, void *, void *, int)'),
      final: ffi.func('int EVP_CipherFinal_ex(void *, void *, void *)'),
      control: ffi.func('int EVP_CIPHER_CTX_ctrl(void *, int, int, void *)'),
      clearErrors: ffi.func('void ERR_clear_error()'),
    };
  } catch {
    return null; // A node built with a shared OpenSSL exports no symbols: node:crypto does the work.
  }
}

const evp = bind();
/** Whether OpenSSL can be called directly. */
export const nativeAead = evp !== null;

const lengthOut = Buffer.allocUnsafeSlow(8);
const finalOut = Buffer.allocUnsafeSlow(32);
const nonceIn = Buffer.allocUnsafeSlow(12);

function range(slab: Slab, offset: number, length: number): number {
  if (
    !Number.isInteger(offset) ||
    !Number.isInteger(length) ||
    offset < 0 ||
    length < 0 ||
    offset + length > slab.size
  ) {
    throw new RangeError('Outside of the slab.');
  }
  if (slab.address === 0 || slab.bytes.length !== slab.size) throw new RangeError('The slab has no address.');
  return slab.address + offset;
}

/** One key and direction. Not shared between threads. */
export class AeadContext {
  readonly #evp: Evp;
  #context: unknown;
  readonly #seals: boolean;

  constructor(name: AeadName, key: Buffer, seals: boolean) {
    if (evp === null) throw new Error('OpenSSL cannot be called here.');
    if (key.length !== 32) throw new RangeError('The key has 32 bytes.');
    this.#evp = evp;
    this.#seals = seals;
    this.#context = evp.create();
    const cipher = name === 'aes-256-gcm' ? evp.aes256gcm() : evp.chacha20poly1305();
    const keyCopy = Buffer.allocUnsafeSlow(32);
    key.copy(keyCopy);
    const ok = evp.init(this.#context, cipher, null, keyCopy, null, seals ? 1 : 0);
    keyCopy.fill(0);
    if (ok !== 1) this.#fail('EVP_CipherInit_ex');
  }

  /** Seals `length` bytes of `from` into `out` at `outOffset`; the tag follows them. */
  seal(nonce: Buffer, aad: [Slab, number, number], from: [Slab, number], length: number, out: [Slab, number]): void {
    const target = range(out[0], out[1], length + tagBytes);
    this.#start(nonce, aad);
    if (
      length > 0 &&
      this.#evp.update(this.#live(), target, lengthOut, range(from[0], from[1], length), length) !== 1
    ) {
      this.#fail('EVP_CipherUpdate');
    }
    if (this.#evp.final(this.#live(), finalOut, lengthOut) !== 1) this.#fail('EVP_CipherFinal_ex');
    if (this.#evp.control(this.#live(), EVP_CTRL_AEAD_GET_TAG, tagBytes, target + length) !== 1) this.#fail('get tag');
  }

  /** Opens in place; false when the tag does not verify, and then the bytes must not be used. */
  open(nonce: Buffer, aad: [Slab, number, number], at: [Slab, number], length: number): boolean {
    const target = range(at[0], at[1], length + tagBytes);
    this.#start(nonce, aad);
    const good =
      (length === 0 || this.#evp.update(this.#live(), target, lengthOut, target, length) === 1) &&
      this.#evp.control(this.#live(), EVP_CTRL_AEAD_SET_TAG, tagBytes, target + length) === 1 &&
      this.#evp.final(this.#live(), finalOut, lengthOut) === 1;
    if (!good) this.#evp.clearErrors();
    return good;
  }

  free(): void {
    if (this.#context === null) return;
    this.#evp.free(this.#context);
    this.#context = null;
  }

  #start(nonce: Buffer, [slab, offset, length]: [Slab, number, number]): void {
    if (nonce.length !== 12) throw new RangeError('The nonce has 12 bytes.');
    nonce.copy(nonceIn);
    if (this.#evp.init(this.#live(), null, null, null, nonceIn, this.#seals ? 1 : 0) !== 1) this.#fail('nonce');
    if (this.#evp.update(this.#live(), null, lengthOut, range(slab, offset, length), length) !== 1)
      this.#fail('header');
  }

  #live(): unknown {
    if (this.#context === null) throw new Error('The cipher context was freed.');
    return this.#context;
  }

  #fail(step: string): never {
    this.#evp.clearErrors();
    throw new Error(`OpenSSL refused: ${step}`);
  }
}
