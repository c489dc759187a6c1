/** The hosts and storage of a pool, as the inventory shows them. Pure. */
import type { HostState, HostSummary, StorageSummary } from '@lmas/plugin-api';
import { isLive, type Pool } from './pool.ts';
import type { HostRecord } from './records.ts';

type Members = ReadonlyMap<string, HostRecord>;

/** `enabled` is what host.disable takes away, as XenCenter and xe do for maintenance; of a host that is not live it means nothing. */
function stateOf(pool: Pool, host: HostRecord): HostState {
  if (isLive(pool, host)) return 'connected';
  return pool.hostMetrics.get(host.metrics)?.live === true ? 'maintenance' : 'disconnected';
}

/** XAPI knows no clusters within a pool. */
export const hostsOf = (pool: Pool, members: Members): HostSummary[] =>
  [...members.values()].map((host) => {
    const metrics = pool.hostMetrics.get(host.metrics);
    return {
      ...{ name: host.name_label, id: host.uuid, cluster: null, state: stateOf(pool, host) },
      cpus: Number(host.cpu_info.cpu_count ?? 0),
      memoryBytes: metrics?.memory_total ?? 0,
      memoryFreeBytes: metrics?.memory_free ?? 0,
    };
  });

/** What `content_type` says of storage that takes no disks: installation media, and devices that are plugged in at a host. */
const NO_DISKS: ReadonlySet<string> = new Set(['iso', 'disk']);
/** XAPI has -1 for what it has not looked at yet. */
const known = (bytes: number): number | null => (bytes < 0 ? null : bytes);

/** What is set up at a member of this site, whether or not it is plugged in there now. */
export function storageOf(pool: Pool, members: Members): StorageSummary[] {
  return [...pool.srs.values()].flatMap((sr) => {
    const pbds = sr.PBDs.flatMap((ref) => pool.pbds.get(ref) ?? []).filter(({ host }) => members.has(host));
    const [first, ...others] = pbds;
    if (first === undefined || NO_DISKS.has(sr.content_type)) return [];
    const [capacityBytes, used] = [known(sr.physical_size), known(sr.physical_utilisation)];
    return {
      ...{ name: sr.name_label, id: sr.uuid, shared: sr.shared },
      usable: pbds.some(({ currently_attached: isAttached }) => isAttached),
      capacityBytes,
      freeBytes: capacityBytes === null || used === null ? null : Math.max(0, capacityBytes - used),
      ...(others.length === 0 && { host: members.get(first.host)?.name_label ?? '' }),
    };
  });
}
