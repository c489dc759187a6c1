/** The arithmetic of the benchmarks. Pure. */
import { payloadRate } from '../lab/src/link.ts';

/** @throws RangeError of nothing */
export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

/** Linear between neighbours. @param p from 0 to 1. @throws RangeError of nothing */
export function percentile(values: readonly number[], p: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  const place = p * (sorted.length - 1);
  const [below, above] = [sorted[Math.floor(place)], sorted[Math.ceil(place)]];
  if (below === undefined || above === undefined) throw new RangeError('A percentile of nothing.');
  return below + (above - below) * (place - Math.floor(place));
}

/** Smallest and largest. */
export function spread(values: readonly number[]): [number, number] {
  return [Math.min(...values), Math.max(...values)];
}

/** Payload from the first to the last byte. */
export function goodputBitsPerSec(bytes: number, firstByteNs: number, lastByteNs: number): number {
  return lastByteNs > firstByteNs ? (bytes * 8e9) / (lastByteNs - firstByteNs) : 0;
}

/** Of what TCP can carry on the link at most, 0 to 1; null on a link without a rate. */
export function linkShare(bitsPerSec: number, rateMbit: number): number | null {
  return rateMbit === 0 ? null : bitsPerSec / payloadRate(rateMbit);
}

/**
 * When the goodput first kept to `share` of the link's payload rate for a second, in milliseconds after the first byte;
 * null if never. @param totals bytes so far, at the end of each tenth of a second
 */
export function timeToShareMs(totals: readonly number[], rateMbit: number, share: number): number | null {
  const intervals = Math.round(1_000 / INTERVAL_MS);
  const wanted = (payloadRate(rateMbit) / 8) * share;
  for (let i = 0; rateMbit > 0 && i + intervals <= totals.length; i++) {
    const before = i === 0 ? 0 : (totals[i - 1] ?? 0);
    if ((totals[i + intervals - 1] ?? 0) - before >= wanted) return i * INTERVAL_MS;
  }
  return null;
}

/** What a receiver counted, in tenths of a second. */
export interface Counted {
  readonly bytes: number;
  readonly firstByteNs: number;
  readonly lastByteNs: number;
  readonly totalAtIntervals: readonly number[];
}

export const INTERVAL_MS = 100;

/** Bytes that arrived between two instants, to the interval. */
export function bytesBetween(counted: Counted, fromNs: number, toNs: number): number {
  return totalAt(counted, toNs) - totalAt(counted, fromNs);
}

function totalAt({ bytes, firstByteNs, lastByteNs, totalAtIntervals }: Counted, atNs: number): number {
  if (atNs >= lastByteNs) return bytes;
  const interval = Math.round((atNs - firstByteNs) / (INTERVAL_MS * 1e6)) - 1;
  return interval < 0 ? 0 : (totalAtIntervals[interval] ?? bytes);
}
