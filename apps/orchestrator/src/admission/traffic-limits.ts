/**
 * Limits of what carries traffic, a link or the whole: how many migrations at once, and how many bytes per second for all
 * of them together. Two stores behind one shape.
 */
import type { z } from 'zod';
import type { BandwidthLimits } from '../links/bandwidth-limits.ts';
import type { trafficLimitsSchema } from '../schemas/limits.ts';
import type { Admission } from './admission.ts';

type Limits = z.infer<typeof trafficLimitsSchema>;

export interface TrafficLimits {
  readonly admission: Admission;
  readonly bandwidth: BandwidthLimits;
}

/** The limits of every group, as they are now. */
export async function readTraffic({ admission, bandwidth }: TrafficLimits): Promise<(group: string) => Limits> {
  const [{ limits }, bytesPerSec] = await Promise.all([admission.books(), bandwidth.all()]);
  return (group) => ({
    maxMigrations: limits.get(group) ?? null,
    bandwidthBytesPerSec: bytesPerSec.get(group) ?? null,
  });
}

/** What is `undefined` stays as it is. */
export async function changeTraffic(
  { admission, bandwidth }: TrafficLimits,
  group: string,
  { maxMigrations, bandwidthBytesPerSec }: { [K in keyof Limits]?: Limits[K] | undefined },
): Promise<void> {
  if (maxMigrations !== undefined) await admission.setLimit(group, maxMigrations);
  if (bandwidthBytesPerSec !== undefined) await bandwidth.set(group, bandwidthBytesPerSec);
}
