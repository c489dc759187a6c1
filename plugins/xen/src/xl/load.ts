/**
 * How busy a host with plain Xen is: what `xl list` counts, and the counters of the guests' interfaces in Dom0, read twice.
 * `xentop` would tell processor time more finely (xl: tenths of a second), but cuts names off after ten characters and tells no
 * ids, so that guests could be mistaken for each other. Pure, but for the asking.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Load, VmLoad } from '@lmas/plugin-api';
import type { z } from 'zod';
import { type Dom0, sampleSchema } from './client.ts';
import { presenceOf } from './guests.ts';
import { INCOMING, readList } from './listing.ts';

type Sample = z.infer<typeof sampleSchema>;

/** With tenths of a second a shorter one would say nothing. */
const SHORTEST_MS = 1_000;

export async function measureLoad(
  dom0: Dom0,
  { intervalMs, signal }: { intervalMs: number; signal: AbortSignal },
): Promise<Load> {
  const before = await dom0.ask('sample', {}, sampleSchema, { signal });
  await sleep(Math.max(intervalMs, SHORTEST_MS), undefined, { signal });
  return loadBetween(before, await dom0.ask('sample', {}, sampleSchema, { signal }));
}

/** The domains that were there both times; Dom0 is one of them, and its work is the host's. */
export function loadBetween(before: Sample, after: Sample): Load {
  const passedSec = after.at - before.at;
  const earlier = new Map(readList(before.list).map((domain) => [domain.domid, domain]));
  const domains = readList(after.list).flatMap((domain) => {
    const then = earlier.get(domain.domid);
    return then === undefined || then.uuid !== domain.uuid ? [] : [{ domain, then }];
  });
  const measured = domains.map(({ domain, then }) => ({
    domain,
    cpuCores: Math.max(0, domain.cpuSec - then.cpuSec) / passedSec,
    networkBytesPerSec: perSecond(before.traffic[domain.domid], after.traffic[domain.domid], passedSec),
  }));
  const vms = measured
    .filter(({ domain }) => domain.domid !== 0 && presenceOf(domain) === 'running' && !domain.name.endsWith(INCOMING))
    .map(({ domain, cpuCores, networkBytesPerSec }): VmLoad => {
      const memoryBytes = domain.memoryMib * 1024 ** 2;
      return { id: domain.uuid, cpuCores, memoryBytes, networkBytesPerSec, dirtyRateBytesPerSec: null };
    });
  const cpuCores = measured.reduce((sum, one) => sum + one.cpuCores, 0);
  return { intervalMs: Math.round(passedSec * 1_000), host: { cpuCores }, vms };
}

/** Without an interface of a name that Xen gives nobody counts: there may be none, or one with a name of its own. */
function perSecond(earlier: number | undefined, later: number | undefined, passedSec: number): number | null {
  if (earlier === undefined || later === undefined) return null;
  return Math.max(0, later - earlier) / passedSec;
}
