/**
 * What a probe of the gateways says about the link. Pure.
 */
import type { ProbeResult } from '@lmas/gateway-api';
import type { LinkMeasurement } from './links.ts';

/** Bytes of a full segment, to turn a rate into packets. */
const SEGMENT_BYTES = 1_448;

/** Every lost segment is sent again once, more or less. */
export function estimateLoss(
  { retransmits, goodputBitsPerSec }: Pick<ProbeResult, 'retransmits' | 'goodputBitsPerSec'>,
  durationMs: number,
): number | null {
  if (retransmits === null || goodputBitsPerSec === null || goodputBitsPerSec <= 0 || durationMs <= 0) return null;
  const segments = ((goodputBitsPerSec / 8) * (durationMs / 1_000)) / SEGMENT_BYTES;
  return Math.min(100, (100 * retransmits) / Math.max(1, segments + retransmits));
}

type Measured = Omit<LinkMeasurement, 'measuredAt' | 'measuredBy'>;

export function measurementOf(
  { source, destination, rttMinMs, rttMedianMs, goodputBitsPerSec, lossPct, mtuBytes }: Measured,
  measuredBy: LinkMeasurement['measuredBy'],
): Omit<LinkMeasurement, 'measuredAt'> {
  return { source, destination, rttMinMs, rttMedianMs, goodputBitsPerSec, lossPct, mtuBytes, measuredBy };
}
