/** Fills an empty inventory with what a specification describes, and with what its hosts say of themselves. */
import { createHash } from 'node:crypto';
import type { HostState } from '../esxi/agent.ts';
import { fill } from '../schema/fill.ts';
import { type DataObject, type MoRef, moRef, type Value } from '../schema/value.ts';
import { networkInfo, nicManagerInfo, vmotionInfo } from './network-config.ts';
import type { Objects } from './objects.ts';
import type { HostSpec, VcenterSpec } from './spec.ts';
import { addVm, type Placement } from './virtual-machines.ts';

const GIB = 1024 ** 3;
export const ROOT_FOLDER = moRef('Folder', 'group-d1');

/** The same name gives the same uuid, so that an endpoint that starts again is the same one. */
export function uuidOf(...names: readonly string[]): string {
  const hex = createHash('sha256').update(names.join('/')).digest('hex');
  const parts = [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `4${hex.slice(13, 16)}`,
    `a${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ];
  return parts.join('-');
}

interface Folders {
  readonly vm: MoRef;
  readonly host: MoRef;
  readonly datastore: MoRef;
  readonly network: MoRef;
}

/** @param states of each host, by name */
export function seed(objects: Objects, spec: VcenterSpec, states: ReadonlyMap<string, HostState>): void {
  const datacenter = objects.newRef('Datacenter', 'datacenter-');
  objects.add(ROOT_FOLDER, { name: 'Datacenters', childType: ['Folder', 'Datacenter'], childEntity: [datacenter] });
  objects.add(datacenter, { name: spec.datacenter, parent: ROOT_FOLDER, overallStatus: 'green' });
  const folders = seedFolders(objects, datacenter);
  for (const path of spec.folders ?? []) addFolder(objects, folders.vm, path.split('/'));
  for (const { name, evcModeKey } of spec.clusters ?? []) seedCluster(objects, folders.host, name, evcModeKey);
  for (const host of spec.hosts) seedHost(objects, folders.host, host, states.get(host.name), spec);
  for (const datastore of spec.datastores) seedDatastore(objects, folders.datastore, datastore, spec, datacenter);
  seedNetworks(objects, folders.network, spec, datacenter);
  for (const { name } of spec.hosts)
    for (const guest of states.get(name)?.guests ?? [])
      addVm(objects, guest, placement(objects, name, guest.vm.folder));
}

/** Where a VM of that host goes: its cluster's root pool, the folder by its path. */
export function placement(objects: Objects, hostName: string, folderPath?: string): Placement {
  const host = required(objects, 'HostSystem', hostName);
  const compute = objects.get(host, 'parent') as MoRef;
  return {
    host,
    pool: objects.get(compute, 'resourcePool') as MoRef,
    folder: folderAt(objects, folderPath),
    datastore: (name) => required(objects, 'Datastore', name),
    network: (name) => required(objects, 'Network', name),
  };
}

export function required(objects: Objects, type: string, name: string): MoRef {
  const ref = objects.byName(type, name);
  if (ref === undefined) throw new Error(`no ${type} is called ${name}`);
  return ref;
}

function folderAt(objects: Objects, path = ''): MoRef {
  const [datacenter] = objects.all('Datacenter');
  let at = datacenter?.properties.get('vmFolder') as MoRef;
  for (const name of path.split('/').filter(Boolean)) {
    const children = (objects.get(at, 'childEntity') ?? []) as readonly MoRef[];
    const next = children.find((child) => child.type === 'Folder' && objects.get(child, 'name') === name);
    if (next === undefined) throw new Error(`no folder is called ${path}`);
    at = next;
  }
  return at;
}

function seedFolders(objects: Objects, datacenter: MoRef): Folders {
  const add = (letter: string, name: string, childType: readonly string[]): MoRef =>
    objects.add(objects.newRef('Folder', `group-${letter}`), { name, parent: datacenter, childType, childEntity: [] });
  const folders: Folders = {
    vm: add('v', 'vm', ['Folder', 'VirtualMachine', 'VirtualApp']),
    host: add('h', 'host', ['Folder', 'ComputeResource']),
    datastore: add('s', 'datastore', ['Folder', 'Datastore', 'StoragePod']),
    network: add('n', 'network', ['Folder', 'Network', 'DistributedVirtualSwitch']),
  };
  const { vm, host, datastore, network } = folders;
  objects.set(datacenter, { vmFolder: vm, hostFolder: host, datastoreFolder: datastore, networkFolder: network });
  objects.set(datacenter, { datastore: [], network: [] });
  return folders;
}

function addFolder(objects: Objects, parent: MoRef, [name = '', ...rest]: readonly string[]): void {
  const children = (objects.get(parent, 'childEntity') ?? []) as readonly MoRef[];
  let folder = children.find((child) => objects.get(child, 'name') === name);
  if (folder === undefined) {
    const childType = objects.get(parent, 'childType') as readonly Value[];
    folder = objects.add(objects.newRef('Folder', 'group-v'), { name, parent, childType, childEntity: [] });
    objects.link(parent, 'childEntity', folder);
  }
  if (rest.length > 0) addFolder(objects, folder, rest);
}

function seedCluster(objects: Objects, parent: MoRef, name: string, evc: string | undefined): void {
  const ref = objects.add(objects.newRef('ClusterComputeResource', 'domain-c'), {
    name,
    parent,
    overallStatus: 'green',
  });
  const summary = {
    _typeName: 'ClusterComputeResourceSummary',
    ...(evc === undefined ? {} : { currentEVCModeKey: evc }),
  };
  const configuration = { dasConfig: {}, drsConfig: { enabled: true } };
  seedCompute(objects, ref, summary);
  objects.set(ref, {
    configuration: fill(objects.schema, 'ClusterConfigInfo', configuration),
    configurationEx: fill(objects.schema, 'ClusterConfigInfoEx', configuration),
  });
  objects.link(parent, 'childEntity', ref);
}

/** What clusters and hosts that stand alone have in common. */
function seedCompute(objects: Objects, ref: MoRef, summary: DataObject): void {
  const pool = objects.newRef('ResourcePool', 'resgroup-');
  objects.add(pool, { name: 'Resources', parent: ref, owner: ref, resourcePool: [], vm: [] });
  objects.set(ref, { resourcePool: pool, host: [], datastore: [], network: [] });
  objects.set(ref, { summary: fill(objects.schema, 'ComputeResourceSummary', summary) });
}

function computeOf(objects: Objects, parent: MoRef, host: HostSpec): MoRef {
  if (host.cluster !== undefined) return required(objects, 'ClusterComputeResource', host.cluster);
  const ref = objects.add(objects.newRef('ComputeResource', 'domain-s'), { name: host.name, parent });
  seedCompute(objects, ref, { _typeName: 'ComputeResourceSummary' });
  objects.link(parent, 'childEntity', ref);
  return ref;
}

function seedHost(
  objects: Objects,
  parent: MoRef,
  host: HostSpec,
  state: HostState | undefined,
  vcenter: VcenterSpec,
): void {
  const compute = computeOf(objects, parent, host);
  const ref = objects.newRef('HostSystem', 'host-');
  const number = ref.value.split('-')[1];
  const managers = {
    networkSystem: moRef('HostNetworkSystem', `networkSystem-${number}`),
    virtualNicManager: moRef('HostVirtualNicManager', `virtualNicManager-${number}`),
    vmotionSystem: moRef('HostVMotionSystem', `vmotionSystem-${number}`),
  };
  objects.add(ref, {
    ...{ name: host.name, parent: compute, overallStatus: 'green', vm: [], datastore: [], network: [] },
    configManager: managers,
    ...hostFacts(objects, ref, host, vcenter),
  });
  objects.add(managers.networkSystem);
  objects.add(managers.virtualNicManager, { info: nicManagerInfo(host) });
  objects.add(managers.vmotionSystem, vmotionInfo(host));
  setHostNetwork(objects, ref, host, state?.stacks ?? [], vcenter);
  objects.link(compute, 'host', ref);
}

/** Shows the host's network as it is now. */
export function setHostNetwork(
  objects: Objects,
  ref: MoRef,
  host: HostSpec,
  stacks: HostState['stacks'],
  vcenter: VcenterSpec,
): void {
  const network = networkInfo(host, stacks);
  objects.set(ref, {
    config: fill(objects.schema, 'HostConfigInfo', {
      ...{ host: ref, product: productOf(vcenter, host.name, 'HostAgent') },
      ...{ network, vmotion: vmotionInfo(host), virtualNicManagerInfo: nicManagerInfo(host) },
    }),
  });
  const { networkSystem } = objects.get(ref, 'configManager') as { networkSystem: MoRef };
  objects.set(networkSystem, { networkInfo: network });
}

function hostFacts(objects: Objects, ref: MoRef, host: HostSpec, vcenter: VcenterSpec): DataObject {
  const memory = host.memoryBytes ?? 64 * GIB;
  const [cores, mhz] = [host.cpuCores ?? 16, host.cpuMhz ?? 2_600];
  const uuid = uuidOf(vcenter.name, 'host', host.name);
  const runtime = fill(objects.schema, 'HostRuntimeInfo', {
    ...{ connectionState: host.connectionState ?? 'connected', powerState: 'poweredOn' },
    inMaintenanceMode: host.inMaintenanceMode === true,
  });
  const used = (host.vms ?? []).reduce((sum, vm) => sum + vm.memoryBytes, 0) / 1024 ** 2;
  const quickStats = {
    overallCpuUsage: 200 * (host.vms?.length ?? 0),
    overallMemoryUsage: Math.ceil(used),
    uptime: 86_400,
  };
  const machine = { vendor: 'Lab', model: 'Stand-in', uuid };
  return {
    runtime,
    capability: fill(objects.schema, 'HostCapability', {
      ...{ vmotionSupported: true, storageVMotionSupported: true, vmotionWithStorageVMotionSupported: true },
      ...{ encryptedVMotionSupported: true, vmotionAcrossNetworkSupported: true },
    }),
    hardware: fill(objects.schema, 'HostHardwareInfo', {
      ...{ systemInfo: machine, memorySize: memory },
      cpuInfo: { numCpuPackages: 1, numCpuCores: cores, numCpuThreads: cores * 2, hz: mhz * 1e6 },
    }),
    summary: fill(objects.schema, 'HostListSummary', {
      ...{ host: ref, runtime, quickStats, overallStatus: 'green', rebootRequired: false },
      hardware: {
        ...machine,
        memorySize: memory,
        cpuMhz: mhz,
        numCpuCores: cores,
        numCpuPkgs: 1,
        numCpuThreads: cores * 2,
      },
      config: {
        name: host.name,
        port: 443,
        vmotionEnabled: host.vmkernels.some((nic) => nic.services.includes('vmotion')),
      },
    }),
  };
}

export function productOf(spec: VcenterSpec, name: string, apiType: 'VirtualCenter' | 'HostAgent'): DataObject {
  const apiVersion = spec.apiVersion ?? '8.0.2.0';
  const version = apiVersion.split('.').slice(0, 3).join('.');
  const product = apiType === 'VirtualCenter' ? 'VMware vCenter Server' : 'VMware ESXi';
  return {
    ...{
      name: product,
      fullName: `${product} ${version} build-00000`,
      vendor: 'VMware, Inc.',
      version,
      build: '00000',
    },
    ...{ osType: 'linux-x64', productLineId: apiType === 'VirtualCenter' ? 'vpx' : 'embeddedEsx', apiType, apiVersion },
    ...(apiType === 'VirtualCenter' ? { instanceUuid: uuidOf('vcenter', name) } : {}),
  };
}

const isOn = (hosts: readonly string[] | undefined, name: string): boolean => hosts?.includes(name) ?? true;

function seedDatastore(
  objects: Objects,
  parent: MoRef,
  { name, hosts, capacityBytes = 1_024 * GIB, freeBytes = 512 * GIB, url }: VcenterSpec['datastores'][number],
  spec: VcenterSpec,
  datacenter: MoRef,
): void {
  const ref = objects.newRef('Datastore', 'datastore-');
  const mounted = spec.hosts
    .filter((host) => isOn(hosts, host.name))
    .map((host) => required(objects, 'HostSystem', host.name));
  const where = url ?? `ds:///vmfs/volumes/${uuidOf(spec.name, 'datastore', name)}/`;
  const mountInfo = { path: where.slice('ds://'.length), accessMode: 'readWrite', mounted: true, accessible: true };
  objects.add(ref, {
    ...{ name, parent, overallStatus: 'green', vm: [] },
    host: mounted.map((key) => ({ key, mountInfo })),
    info: fill(objects.schema, 'VmfsDatastoreInfo', {
      name,
      url: where,
      freeSpace: freeBytes,
      maxFileSize: 62 * 1_024 * GIB,
    }),
    summary: fill(objects.schema, 'DatastoreSummary', {
      ...{ datastore: ref, name, url: where, capacity: capacityBytes, freeSpace: freeBytes, accessible: true },
      ...{ multipleHostAccess: mounted.length > 1, type: 'VMFS', maintenanceMode: 'normal' },
    }),
  });
  attach(objects, ref, 'datastore', mounted, parent, datacenter);
}

function attach(
  objects: Objects,
  ref: MoRef,
  property: 'datastore' | 'network',
  hosts: readonly MoRef[],
  parent: MoRef,
  datacenter: MoRef,
): void {
  objects.link(parent, 'childEntity', ref);
  objects.link(datacenter, property, ref);
  for (const host of hosts) {
    objects.link(host, property, ref);
    objects.link(objects.get(host, 'parent') as MoRef, property, ref);
  }
}

function seedNetworks(objects: Objects, parent: MoRef, spec: VcenterSpec, datacenter: MoRef): void {
  const hostsOf = (names: readonly string[] | undefined): MoRef[] =>
    spec.hosts.filter(({ name }) => isOn(names, name)).map(({ name }) => required(objects, 'HostSystem', name));
  let distributed: MoRef | undefined;
  for (const { name, kind, hosts } of spec.networks) {
    const attached = hostsOf(hosts);
    const common = { name, parent, host: attached, vm: [], overallStatus: 'green' };
    if (kind !== 'distributed') {
      const ref = objects.newRef('Network', 'network-');
      objects.add(ref, {
        ...common,
        summary: fill(objects.schema, 'NetworkSummary', { network: ref, name, accessible: true }),
      });
      attach(objects, ref, 'network', attached, parent, datacenter);
      continue;
    }
    distributed ??= seedSwitch(objects, parent, spec);
    const ref = objects.newRef('DistributedVirtualPortgroup', 'dvportgroup-');
    objects.add(ref, {
      ...{ ...common, key: ref.value },
      summary: fill(objects.schema, 'NetworkSummary', { network: ref, name, accessible: true }),
      config: fill(objects.schema, 'DVPortgroupConfigInfo', {
        ...{ key: ref.value, name, numPorts: 8, type: 'earlyBinding', distributedVirtualSwitch: distributed },
      }),
    });
    objects.link(distributed, 'portgroup', ref);
    attach(objects, ref, 'network', attached, parent, datacenter);
  }
}

function seedSwitch(objects: Objects, parent: MoRef, spec: VcenterSpec): MoRef {
  const ref = objects.newRef('VmwareDistributedVirtualSwitch', 'dvs-');
  objects.add(ref, { name: 'DSwitch', parent, uuid: uuidOf(spec.name, 'dvs'), portgroup: [] });
  objects.link(parent, 'childEntity', ref);
  return ref;
}
