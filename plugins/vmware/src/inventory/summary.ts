/** What the inventory shows of a vCenter and its VMs. Pure. */
import type { HostState, HostSummary, Inventory, Presence, StorageSummary, VmSummary } from '@lmas/plugin-api';
import type { Row } from '../properties.ts';
import type { Device, SightingRecord } from '../records.ts';
import { type Ref, refKey } from '../wire/data-objects.ts';
import type { ShownVm } from './mirror.ts';
import { type Datastore, decodeName, type Host, isLive, isUsable, memoryFreeBytes, type Named } from './places.ts';

export const isDisk = ({ _typeName: type }: Device): boolean => type === 'VirtualDisk';

/** The classes derived from VirtualEthernetCard. */
const CARDS: ReadonlySet<string> = new Set([
  ...['VirtualE1000', 'VirtualE1000e', 'VirtualPCNet32', 'VirtualSriovEthernetCard'],
  ...['VirtualVmxnet', 'VirtualVmxnet2', 'VirtualVmxnet3', 'VirtualVmxnet3Vrdma'],
]);
export const isCard = ({ _typeName: type }: Device): boolean => CARDS.has(type);

export const labelOf = ({ deviceInfo, key }: Device): string => deviceInfo?.label ?? `device ${key}`;

export const bytesOf = ({ capacityInBytes, capacityInKB = 0 }: Device): number =>
  capacityInBytes ?? capacityInKB * 1024;

const POWER: Readonly<Record<string, Presence>> = { poweredOn: 'running', poweredOff: 'stopped', suspended: 'stopped' };

/**
 * What the vCenter's answer says of a VM. Of one on a host that it has lost it tells what it saw last, which is no answer; the
 * VM may have been started anew elsewhere.
 */
export function presenceOf(record: Pick<SightingRecord, 'runtime.connectionState' | 'runtime.powerState'>): Presence {
  if (record['runtime.connectionState'] !== 'connected') return 'unreachable';
  return POWER[record['runtime.powerState']] ?? 'unreachable';
}

/** By key of the reference. */
export type Names = ReadonlyMap<string, string>;

export const namesOf = (rows: readonly Row<{ readonly name: string }>[]): Names =>
  new Map(rows.map(({ ref, record }) => [refKey(ref), decodeName(record.name)]));

const nameOf = (names: Names, ref: Ref | undefined): string | undefined =>
  ref === undefined ? undefined : names.get(refKey(ref));

/** @param names `hosts`: of those at this site */
export function summaryOf(
  { record, ref }: Row<ShownVm>,
  names: { readonly networks: Names; readonly hosts: Names },
): VmSummary {
  const devices = record['config.hardware.device'];
  // vSphere names the host where it was registered last also of a VM that is off.
  const host = record['runtime.powerState'] === 'poweredOn' ? nameOf(names.hosts, record['runtime.host']) : undefined;
  return {
    id: record['config.instanceUuid'] ?? ref.value,
    name: decodeName(record.name),
    presence: presenceOf(record),
    memoryBytes: (record['config.hardware.memoryMB'] ?? 0) * 1024 ** 2,
    vcpus: record['config.hardware.numCPU'] ?? 0,
    disks: devices.filter(isDisk).map((disk) => ({
      name: labelOf(disk),
      location: disk.backing?.fileName ?? null,
      sizeBytes: bytesOf(disk),
      readOnly: disk.backing?.diskMode === 'independent_nonpersistent',
    })),
    networks: record.network.map((each) => nameOf(names.networks, each) ?? each.value),
    managedBy: record['config.managedBy']?.extensionKey ?? null,
    ...(host !== undefined && { host }),
  };
}

/** The hosts of the site as one: what they have together. */
export function hostSummary(hosts: readonly Host[], name: string, version: string): Inventory['host'] {
  const live = hosts.filter(isLive);
  const sum = (number: (host: Host) => number) => live.reduce((total, host) => total + number(host), 0);
  return {
    name,
    version,
    cpus: sum(({ record }) => record['summary.hardware.numCpuThreads'] ?? 0),
    memoryBytes: sum(({ record }) => record['summary.hardware.memorySize'] ?? 0),
    memoryFreeBytes: sum(memoryFreeBytes),
  };
}

function stateOf(host: Host): HostState {
  if (isLive(host)) return 'connected';
  return host.record['runtime.connectionState'] === 'connected' ? 'maintenance' : 'disconnected';
}

export const hostsOf = (hosts: readonly Host[], clusters: readonly Named[]): HostSummary[] => {
  const names = namesOf(clusters);
  return hosts.map((host) => ({
    ...{ name: decodeName(host.record.name), id: host.ref.value, state: stateOf(host) },
    cluster: nameOf(names, host.record.parent) ?? null,
    cpus: host.record['summary.hardware.numCpuThreads'] ?? 0,
    memoryBytes: host.record['summary.hardware.memorySize'] ?? 0,
    memoryFreeBytes: memoryFreeBytes(host),
  }));
};

/** Those that a host of the site sees. */
export function storageOf(datastores: readonly Datastore[], hosts: readonly Host[]): StorageSummary[] {
  const seenBy = Map.groupBy(
    hosts.flatMap(({ record }) => record.datastore.map((ref) => ({ key: refKey(ref), host: decodeName(record.name) }))),
    ({ key }) => key,
  );
  return datastores.flatMap((datastore) => {
    const { ref, record } = datastore;
    const [first, ...others] = seenBy.get(refKey(ref)) ?? [];
    if (first === undefined) return [];
    return {
      ...{ name: decodeName(record.name), id: ref.value, usable: isUsable(datastore) },
      ...{ capacityBytes: record['summary.capacity'], freeBytes: record['summary.freeSpace'] },
      shared: record['summary.multipleHostAccess'] ?? null,
      ...(others.length === 0 && { host: first.host }),
    };
  });
}
