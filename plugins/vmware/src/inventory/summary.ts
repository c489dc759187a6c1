/** What the inventory shows of a vCenter and its VMs. Pure. */
import type { Inventory, Presence, VmSummary } from '@lmas/plugin-api';
import type { Row } from '../properties.ts';
import type { Device, SightingRecord } from '../records.ts';
import { refKey } from '../wire/data-objects.ts';
import type { ShownVm } from './mirror.ts';
import { decodeName, type Host, isLive, memoryFreeBytes } from './places.ts';

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

export function summaryOf({ record, ref }: Row<ShownVm>, networkNames: ReadonlyMap<string, string>): VmSummary {
  const devices = record['config.hardware.device'];
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
    networks: record.network.map((each) => decodeName(networkNames.get(refKey(each)) ?? each.value)),
    managedBy: record['config.managedBy']?.extensionKey ?? null,
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
