/**
 * How busy the hosts of a site and their VMs are, from vSphere's quickStats, which its hosts refresh with every sample of 20 seconds. They are
 * in MHz of physical cores; told as the inventory counts processors, that is by threads, so that the whole of a host is the
 * whole of its processors. Of the network they say nothing (network-use.ts asks for that), nor of how fast a guest writes to its
 * memory. Pure.
 */
import type { Load, VmLoad } from '@lmas/plugin-api';
import type { Row } from '../properties.ts';
import type { HostLoad, VmLoadRecord } from '../records.ts';
import { type Ref, refKey, sameRef } from '../wire/data-objects.ts';
import { isLive } from './places.ts';
import { presenceOf } from './summary.ts';

const SAMPLE_MS = 20_000;
const MIB = 1024 ** 2;

/** Those that run at hosts of the site: of others nothing is told. */
export function runningVms(hosts: readonly Row<HostLoad>[], vms: readonly Row<VmLoadRecord>[]): readonly Ref[] {
  return vms.filter((vm) => hostOf(hosts, vm) !== undefined).map(({ ref }) => ref);
}

const hostOf = (hosts: readonly Row<HostLoad>[], { record }: Row<VmLoadRecord>): Row<HostLoad> | undefined =>
  presenceOf(record) === 'running' ? hosts.find(({ ref }) => sameRef(ref, record['runtime.host'])) : undefined;

/**
 * @param hosts those of the site
 * @param vms those that are guests
 * @param networkUse bytes per second by `refKey`
 */
export function loadOf(
  hosts: readonly Row<HostLoad>[],
  vms: readonly Row<VmLoadRecord>[],
  networkUse: ReadonlyMap<string, number>,
): Load {
  const cores = hosts.filter(isLive).map(({ record }) => coresOf(record, record['summary.quickStats.overallCpuUsage']));
  return {
    intervalMs: SAMPLE_MS,
    host: { cpuCores: cores.reduce((sum, used) => (sum === null || used === null ? null : sum + used), 0) },
    vms: vms.flatMap((vm): VmLoad[] => {
      const { ref, record } = vm;
      const host = hostOf(hosts, vm);
      if (host === undefined) return [];
      const { 'config.hardware.memoryMB': all, 'summary.quickStats.balloonedMemory': given = 0 } = record;
      return [
        {
          id: record['config.instanceUuid'] ?? ref.value,
          cpuCores: coresOf(host.record, record['summary.quickStats.overallCpuUsage']),
          memoryBytes: all === undefined ? null : Math.max(0, all - given) * MIB,
          networkBytesPerSec: networkUse.get(refKey(ref)) ?? null,
          dirtyRateBytesPerSec: null,
        },
      ];
    }),
  };
}

/** `null` where the host, or what it says of a VM, does not tell. */
function coresOf(host: HostLoad, usedMhz: number | undefined): number | null {
  const { 'summary.hardware.cpuMhz': mhz, 'summary.hardware.numCpuCores': cores } = host;
  const threads = host['summary.hardware.numCpuThreads'];
  if (usedMhz === undefined || mhz === undefined || cores === undefined || threads === undefined) return null;
  return mhz * cores === 0 ? null : Math.max(0, usedMhz / (mhz * cores)) * threads;
}
