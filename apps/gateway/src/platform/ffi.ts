/**
 * Loads koffi, once, and with it the symbols of libc and OpenSSL that the node binary itself exports. koffi believes what it
 * is told, so nothing outside platform/ may see a raw function: its siblings export typed functions that check kind and range.
 * Without koffi (another CPU, a missing file, LMAS_GATEWAY_NO_FFI=1) `ffi` is null and every caller has a slower way.
 */
import { createRequire } from 'node:module';

export type NativeFunction = (...args: unknown[]) => unknown;

export interface Ffi {
  /** A C function by its prototype; throws when the symbol is not there. */
  func(prototype: string): NativeFunction;
  /** errno of the last call. */
  errno(): number;
  /** Address of the first byte of a buffer that never moves (allocUnsafeSlow). */
  addressOf(bytes: Uint8Array): number;
}

interface Koffi {
  load(path: string | null): { func(prototype: string): NativeFunction };
  errno(): number;
  address(bytes: Uint8Array): bigint;
}

function loadFfi(): Ffi | null {
  if (process.env.LMAS_GATEWAY_NO_FFI === '1' || process.platform !== 'linux') return null;
  try {
    const koffi = createRequire(import.meta.url)('koffi') as Koffi;
    const self = koffi.load(null);
    return {
      func: (prototype) => self.func(prototype),
      errno: () => koffi.errno(),
      addressOf: (bytes) => Number(koffi.address(bytes)),
    };
  } catch {
    // Not there or not loadable here: node's own sockets and node:crypto do the work, more slowly.
    return null;
  }
}

export const ffi: Ffi | null = loadFfi();
