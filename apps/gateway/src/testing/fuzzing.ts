/**
 * How long properties are looked at with random input: a moment in `npm test`, as long as `npm run faults -- --suite fuzz` says by hand.
 * A failure prints the seed and the path that repeat it.
 */
import fc from 'fast-check';

const properties = 7;
const seconds = Number(process.env.LMAS_FUZZ_SECONDS ?? 10);
const seed = process.env.LMAS_FUZZ_SEED;

/** For `fc.assert`: an equal part of the time for each property. */
export function forItsTime(): fc.Parameters<unknown> {
  return {
    numRuns: Number.MAX_SAFE_INTEGER,
    interruptAfterTimeLimit: (seconds * 1_000) / properties,
    ...(seed === undefined ? {} : { seed: Number(seed) }),
  };
}

/** Bytes with one bit changed, one piece left out, said twice or put elsewhere, cut off, or as they are. */
export function harmed(bytes: Buffer, { what, where, length }: Harm): Buffer {
  const at = Math.min(bytes.length - 1, Math.floor(where * bytes.length));
  const end = Math.min(bytes.length, at + 1 + Math.floor(length * 200));
  if (what === 'flip') {
    const out = Buffer.from(bytes);
    out[at] = (out[at] ?? 0) ^ (1 << Math.floor(length * 8));
    return out;
  }
  if (what === 'leave out') return Buffer.concat([bytes.subarray(0, at), bytes.subarray(end)]);
  if (what === 'repeat') return Buffer.concat([bytes.subarray(0, end), bytes.subarray(at)]);
  if (what === 'swap') return Buffer.concat([bytes.subarray(at), bytes.subarray(0, at)]);
  return what === 'cut off' ? bytes.subarray(0, at) : bytes;
}
export interface Harm {
  what: 'flip' | 'leave out' | 'repeat' | 'swap' | 'cut off' | 'none';
  /** Both from 0 to 1. */
  where: number;
  length: number;
}
const share = () => fc.double({ min: 0, max: 0.999_999, noNaN: true });
export const harms: fc.Arbitrary<Harm> = fc.record({
  what: fc.constantFrom('flip', 'flip', 'flip', 'leave out', 'repeat', 'swap', 'cut off', 'none'),
  where: share(),
  length: share(),
});

export const anyBytes = (maxLength: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ maxLength }).map((bytes) => Buffer.from(bytes));
