/**
 * What a probe of the gateways says about the link. Pure.
 */
import type { ProbeResult } from '@lmas/gateway-api';
import type { LinkMeasurement } from './links.ts';

/**
 * What the link itself loses; null where the test drove it too hard, or sent too little, to tell that from what its own
 * load pushed out of a full queue.
 */
export function lossPctOf({ lossShare }: Pick<ProbeResult, 'lossShare'>): number | null {
  return lossShare === null ? null : 100 * lossShare;
}

type Measured = Omit<LinkMeasurement, 'measuredAt' | 'measuredBy'>;

/** What a probe says of the rate: gateways of an earlier version say 0 where they could not measure it. */
export const measuredRate = ({ goodputBitsPerSec: rate }: Pick<ProbeResult, 'goodputBitsPerSec'>): number | null =>
  rate !== null && rate > 0 ? rate : null;

export function measurementOf(
  { source, destination, rttMinMs, rttMedianMs, lossPct, mtuBytes, ...probe }: Measured,
  measuredBy: LinkMeasurement['measuredBy'],
): Omit<LinkMeasurement, 'measuredAt'> {
  const goodputBitsPerSec = measuredRate(probe);
  return { source, destination, rttMinMs, rttMedianMs, goodputBitsPerSec, lossPct, mtuBytes, measuredBy };
}
