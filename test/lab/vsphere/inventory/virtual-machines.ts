/** VMs as published, from their specification: what `VirtualMachine` shows of one, and where it hangs in the inventory. */
import type { Guest } from '../esxi/agent.ts';
import { fill } from '../schema/fill.ts';
import { type DataObject, listOf, type MoRef, type Value } from '../schema/value.ts';
import type { Objects } from './objects.ts';
import type { DiskSpec, NicSpec, VmSpec } from './spec.ts';

const MIB = 1024 ** 2;
const CONTROLLER_KEY = 1_000;

/** The objects that the VM's names mean here. */
export interface Placement {
  readonly host: MoRef;
  readonly pool: MoRef;
  readonly folder: MoRef;
  readonly datastore: (name: string) => MoRef;
  readonly network: (name: string) => MoRef;
}

/** Registers a VM. @returns its reference, which is new */
export function addVm(objects: Objects, guest: Guest, at: Placement): MoRef {
  const ref = objects.add(objects.newRef('VirtualMachine', 'vm-'), { name: guest.vm.name, overallStatus: 'green' });
  setVm(objects, ref, guest, at);
  return ref;
}

/** Shows the VM as it is now, there; the links of what it leaves are undone. */
export function setVm(objects: Objects, ref: MoRef, guest: Guest, at: Placement): void {
  unlinkVm(objects, ref);
  const { vm, running } = guest;
  const datastores = unique([...vm.disks.map(({ datastore }) => at.datastore(datastore))]);
  const networks = unique((vm.nics ?? []).map(({ network }) => at.network(network)));
  const runtime = runtimeOf(objects, guest, at.host);
  const path = `[${vm.disks[0]?.datastore ?? 'none'}] ${vm.name}/${vm.name}.vmx`;
  objects.set(ref, {
    ...{ name: vm.name, parent: at.folder, resourcePool: at.pool, datastore: datastores, network: networks },
    ...{ disabledMethod: running ? ['PowerOnVM_Task'] : ['PowerOffVM_Task', 'SuspendVM_Task'] },
    config: fill(objects.schema, 'VirtualMachineConfigInfo', {
      ...{ changeVersion: '1', modified: '2026-01-01T00:00:00Z', name: vm.name, uuid: vm.uuid },
      ...{ instanceUuid: vm.instanceUuid, version: 'vmx-19', template: false, guestId: 'otherLinux64Guest' },
      migrateEncryption: vm.migrateEncryption ?? 'opportunistic',
      ...(vm.encrypted === true ? { keyId: { keyId: vm.uuid } } : {}),
      files: { vmPathName: path },
      hardware: {
        ...{ numCPU: vm.cpus ?? 1, numCoresPerSocket: 1, memoryMB: Math.ceil(vm.memoryBytes / MIB) },
        device: devicesOf(objects, vm, at),
      },
    }),
    runtime,
    summary: fill(objects.schema, 'VirtualMachineSummary', {
      ...{ vm: ref, runtime, overallStatus: 'green' },
      config: {
        ...{ name: vm.name, template: false, vmPathName: path, memorySizeMB: Math.ceil(vm.memoryBytes / MIB) },
        ...{ numCpu: vm.cpus ?? 1, numEthernetCards: vm.nics?.length ?? 0, numVirtualDisks: vm.disks.length },
        ...{ uuid: vm.uuid, instanceUuid: vm.instanceUuid },
      },
      storage: { committed: sizeOf(vm), uncommitted: 0, unshared: sizeOf(vm), timestamp: '2026-01-01T00:00:00Z' },
      quickStats: quickStatsOf(guest),
    }),
    layoutEx: layoutOf(objects, vm),
    snapshot: snapshotsOf(objects, ref, vm),
  });
  for (const [target, property] of linksOf(at, datastores, networks)) objects.link(target, property, ref);
}

/** Takes the VM out of the inventory. */
export function removeVm(objects: Objects, ref: MoRef): void {
  unlinkVm(objects, ref);
  objects.remove(ref);
}

const linksOf = (at: Placement, datastores: readonly MoRef[], networks: readonly MoRef[]): [MoRef, string][] => [
  [at.host, 'vm'],
  [at.pool, 'vm'],
  [at.folder, 'childEntity'],
  ...[...datastores, ...networks].map((target): [MoRef, string] => [target, 'vm']),
];

function unlinkVm(objects: Objects, ref: MoRef): void {
  const refs = (path: string): readonly MoRef[] => listOf<MoRef>(objects.at(ref, path));
  for (const target of refs('parent')) objects.unlink(target, 'childEntity', ref);
  for (const path of ['runtime.host', 'resourcePool', 'datastore', 'network'])
    for (const target of refs(path)) objects.unlink(target, 'vm', ref);
}

const unique = (refs: readonly MoRef[]): MoRef[] => [...new Map(refs.map((ref) => [ref.value, ref])).values()];

export const diskKey = (disk: DiskSpec, index: number): number => disk.key ?? 2_000 + index;
export const nicKey = (nic: NicSpec, index: number): number => nic.key ?? 4_000 + index;

const sizeOf = (vm: VmSpec): number => vm.disks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);

function runtimeOf(objects: Objects, { vm, running }: Guest, host: MoRef): DataObject {
  return fill(objects.schema, 'VirtualMachineRuntimeInfo', {
    ...{ host, connectionState: 'connected', powerState: running ? 'poweredOn' : 'poweredOff' },
    ...{ toolsInstallerMounted: false, numMksConnections: 0, consolidationNeeded: false },
    ...(vm.encrypted === true ? { cryptoState: 'unlocked' } : {}),
  });
}

function quickStatsOf({ vm, running }: Guest): DataObject {
  const used = running ? Math.ceil(vm.memoryBytes / MIB / 2) : 0;
  return {
    ...{ overallCpuUsage: running ? 200 * (vm.cpus ?? 1) : 0, guestMemoryUsage: used, hostMemoryUsage: used },
    guestHeartbeatStatus: 'gray',
  };
}

function devicesOf(objects: Objects, vm: VmSpec, at: Placement): DataObject[] {
  const controller = {
    _typeName: 'ParaVirtualSCSIController',
    key: CONTROLLER_KEY,
    busNumber: 0,
    sharedBus: 'noSharing',
  };
  const disks = vm.disks.map((disk, i) => ({
    ...{ _typeName: 'VirtualDisk', key: diskKey(disk, i), controllerKey: CONTROLLER_KEY, unitNumber: i },
    deviceInfo: { _typeName: 'Description', label: `Hard disk ${i + 1}`, summary: `${disk.sizeBytes / 1024} KB` },
    ...{ capacityInKB: Math.ceil(disk.sizeBytes / 1024), capacityInBytes: disk.sizeBytes },
    backing: backingOf(vm, disk, i, at),
  }));
  const nics = (vm.nics ?? []).map((nic, i) => ({
    ...{ _typeName: 'VirtualVmxnet3', key: nicKey(nic, i), unitNumber: 7 + i },
    deviceInfo: { _typeName: 'Description', label: `Network adapter ${i + 1}`, summary: nic.network },
    ...{ addressType: 'assigned', macAddress: nic.mac ?? `00:50:56:00:00:${String(10 + i)}` },
    connectable: { startConnected: true, allowGuestControl: true, connected: true },
    backing: nicBacking(objects, at.network(nic.network), nic.network),
  }));
  return [controller, ...disks, ...nics, ...((vm.devices ?? []) as readonly DataObject[])];
}

/** A disk of a VM with snapshots is a chain: what is written now, on top of what was. */
function backingOf(vm: VmSpec, disk: DiskSpec, index: number, at: Placement): DataObject {
  const file = (level: number) =>
    `[${disk.datastore}] ${vm.name}/${vm.name}${index === 0 ? '' : `_${index}`}${level === 0 ? '' : `-00000${level}`}.vmdk`;
  const chain = [undefined, ...(vm.snapshots ?? [])];
  return chain.reduce<DataObject | undefined>(
    (parent, _, level) => ({
      ...{
        _typeName: 'VirtualDiskFlatVer2BackingInfo',
        fileName: file(level),
        datastore: at.datastore(disk.datastore),
      },
      ...{ diskMode: 'persistent', thinProvisioned: true, sharing: 'sharingNone' },
      ...(parent === undefined ? {} : { parent }),
    }),
    undefined,
  ) as DataObject;
}

export function nicBacking(objects: Objects, network: MoRef, name: string): DataObject {
  if (network.type !== 'DistributedVirtualPortgroup')
    return { _typeName: 'VirtualEthernetCardNetworkBackingInfo', deviceName: name, network };
  const switchRef = objects.at(network, 'config.distributedVirtualSwitch') as MoRef;
  return {
    _typeName: 'VirtualEthernetCardDistributedVirtualPortBackingInfo',
    port: { switchUuid: objects.get(switchRef, 'uuid') as Value, portgroupKey: objects.get(network, 'key') as Value },
  };
}

function layoutOf(objects: Objects, vm: VmSpec): DataObject {
  const file = vm.disks.map((disk, i) => ({
    ...{ key: i, name: `[${disk.datastore}] ${vm.name}/${vm.name}_${i}.vmdk`, type: 'diskExtent' },
    ...{ size: disk.sizeBytes, uniqueSize: disk.sizeBytes, accessible: true },
  }));
  const disk = vm.disks.map((one, i) => ({ key: diskKey(one, i), chain: [{ fileKey: [i] }] }));
  return fill(objects.schema, 'VirtualMachineFileLayoutEx', { file, disk, timestamp: '2026-01-01T00:00:00Z' });
}

function snapshotsOf(objects: Objects, vmRef: MoRef, vm: VmSpec): DataObject | undefined {
  const [first, ...rest] = vm.snapshots ?? [];
  if (first === undefined) return undefined;
  const tree = (name: string, children: readonly string[], id: number): DataObject => {
    const [next, ...others] = children;
    return {
      ...{ snapshot: snapshotRef(vmRef, id), vm: vmRef, name, description: '', id },
      ...{ createTime: '2026-01-01T00:00:00Z', state: 'poweredOn', quiesced: false, replaySupported: false },
      ...(next === undefined ? {} : { childSnapshotList: [tree(next, others, id + 1)] }),
    };
  };
  const current = snapshotRef(vmRef, rest.length + 1);
  return fill(objects.schema, 'VirtualMachineSnapshotInfo', {
    currentSnapshot: current,
    rootSnapshotList: [tree(first, rest, 1)],
  });
}

const snapshotRef = (vm: MoRef, id: number): MoRef => ({
  ...{ _typeName: 'ManagedObjectReference', type: 'VirtualMachineSnapshot' },
  value: `snapshot-${vm.value.split('-')[1]}${id}`,
});
