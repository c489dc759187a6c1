/**
 * Limits of what carries traffic, a link or the whole: how many migrations at once, and how many bytes per second for all
 * of them together. They are kept in two hashes, and changed and announced in one step.
 */
import type { Redis } from 'ioredis';
import type { z } from 'zod';
import type { BandwidthLimits } from '../links/bandwidth-limits.ts';
import { keys } from '../redis/keys.ts';
import { type FieldChange, replaceFields } from '../redis/replace-field.ts';
import type { trafficLimitsSchema } from '../schemas/limits.ts';
import type { Admission } from './admission.ts';

type Limits = z.infer<typeof trafficLimitsSchema>;
type LimitsChange = { [K in keyof Limits]?: Limits[K] | undefined };

export interface TrafficLimits {
  readonly redis: Redis;
  readonly admission: Admission;
  readonly bandwidth: BandwidthLimits;
}

/** The limits of these groups, as they are now. */
export async function readTraffic(
  { admission, bandwidth }: TrafficLimits,
  groups: readonly string[],
): Promise<(group: string) => Limits> {
  const [{ limits }, bytesPerSec] = await Promise.all([admission.books(), bandwidth.of(groups)]);
  return (group) => ({
    maxMigrations: limits.get(group) ?? null,
    bandwidthBytesPerSec: bytesPerSec.get(group) ?? null,
  });
}

/**
 * What is `undefined` stays as it is.
 * @param accept throws when the limits are not the ones that the caller has seen; answers what belongs to the same decision
 * and is kept elsewhere. Asked again when somebody else was quicker
 */
export async function changeTraffic(
  traffic: TrafficLimits,
  group: string,
  change: LimitsChange,
  accept: (current: Limits) => Promise<readonly FieldChange[]>,
): Promise<void> {
  for (;;) {
    const current = (await readTraffic(traffic, [group]))(group);
    const beside = await accept(current);
    const changes = [...fieldChanges(group, current, change), ...beside];
    if (await replaceFields(traffic.redis, changes, keys.admissionChannel)) return;
  }
}

const text = (value: number | null): string | null => (value === null ? null : String(value));

function fieldChanges(field: string, before: Limits, change: LimitsChange): FieldChange[] {
  const after = {
    maxMigrations: change.maxMigrations === undefined ? before.maxMigrations : change.maxMigrations,
    bandwidth: change.bandwidthBytesPerSec === undefined ? before.bandwidthBytesPerSec : change.bandwidthBytesPerSec,
  };
  return [
    { hash: keys.placeLimits, field, before: text(before.maxMigrations), after: text(after.maxMigrations) },
    { hash: keys.bandwidth, field, before: text(before.bandwidthBytesPerSec), after: text(after.bandwidth) },
  ];
}
