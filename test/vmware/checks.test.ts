/** The findings of the checks, each brought about at the lab's vCenters; and what the move is told, by what was asked for. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { CheckReport } from '@lmas/plugin-api';
import { plugin, type VmwareWorld, type WorldShape } from '../compliance/vmware-world.ts';
import type { HostSpec, VcenterSpec, VmkernelSpec, VmSpec } from '../lab/vsphere/inventory/spec.ts';
import type { DataObject, MoRef } from '../lab/vsphere/schema/value.ts';
import { alpha, beta, vmSpec } from '../lab/vsphere/two-vcenters.ts';
import type { LocalVcenter } from '../lab/vsphere/vcenter.ts';
import { Rehearsal, type Request, TUNNELLED } from './rehearsal.ts';

type Options = Parameters<Rehearsal['driver']>[0];

/** The VM changed so, at its host. */
const withVm = (changes: Partial<VmSpec>): WorldShape => ({ source: routed(alpha([vmSpec('shop', changes)])) });
const withHosts = (spec: VcenterSpec, change: (host: HostSpec) => HostSpec): Partial<VcenterSpec> =>
  routed({ ...spec, hosts: spec.hosts.map(change) });
const routed = (spec: VcenterSpec): VcenterSpec => ({
  ...spec,
  hosts: spec.hosts.map((host) => ({ ...host, gateways: { vmotion: '127.1.1.1' } })),
});
const withDevices = (...devices: object[]): WorldShape => withVm({ devices });
const changeAdapters = (host: HostSpec, change: (adapter: VmkernelSpec) => VmkernelSpec): HostSpec => ({
  ...host,
  vmkernels: host.vmkernels.map(change),
});
const backed = (type: string, backing: string, fields: object = {}) => ({
  _typeName: type,
  key: 13_000,
  connectable: { startConnected: true, allowGuestControl: true, connected: true },
  backing: { _typeName: backing, ...fields },
});
const MIB = 1024 ** 2;

const refOf = ({ endpoint }: LocalVcenter, type: string, name: string): MoRef => {
  const ref = endpoint.objects.byName(type, name);
  assert.ok(ref !== undefined, name);
  return ref;
};
/** What a vCenter says of its VM, or of the host there, beyond what the lab's worlds are made of. */
const saysOfVm =
  (property: string, members: object) =>
  ({ source }: VmwareWorld): void =>
    source.endpoint.objects.merge(refOf(source, 'VirtualMachine', 'shop'), property, members as DataObject);
const saysOfHost =
  (members: object) =>
  ({ destination }: VmwareWorld): void =>
    destination.endpoint.objects.merge(refOf(destination, 'HostSystem', 'esx-b1'), 'capability', members as DataObject);
const saysOfDisk =
  (backing: object) =>
  ({ source: { endpoint }, source }: VmwareWorld): void => {
    const vm = refOf(source, 'VirtualMachine', 'shop');
    const devices = endpoint.objects.at(vm, 'config.hardware.device') as unknown as readonly DataObject[];
    const device = devices.map((each) => (each._typeName === 'VirtualDisk' ? { ...each, backing } : each));
    const hardware = endpoint.objects.at(vm, 'config.hardware') as DataObject;
    endpoint.objects.merge(vm, 'config', { hardware: { ...hardware, device } as DataObject });
  };
const flat = (fields: object) => ({
  ...{ _typeName: 'VirtualDiskFlatVer2BackingInfo', fileName: '[local-1] shop/shop.vmdk', diskMode: 'persistent' },
  ...fields,
});

const FINDINGS: readonly {
  readonly code: string;
  readonly severity: 'blocker' | 'warning' | 'note';
  readonly shape?: WorldShape;
  readonly options?: Options;
  readonly changes?: Partial<Request>;
  readonly says?: (world: VmwareWorld) => void;
  /** What to do, where a wrong word would send somebody astray. */
  readonly remedy?: RegExp;
}[] = [
  { code: 'VM_NOT_RUNNING', severity: 'blocker', shape: withVm({ poweredOn: false }) },
  {
    code: 'VM_EXISTS',
    severity: 'blocker',
    shape: {
      destination: beta([vmSpec('shop', { poweredOn: false, disks: [{ sizeBytes: MIB, datastore: 'beta-store' }] })]),
    },
  },
  { code: 'PCI_DEVICE', severity: 'blocker', shape: withDevices({ _typeName: 'VirtualPCIPassthrough', key: 13_000 }) },
  {
    code: 'VIRTUAL_GPU',
    severity: 'warning',
    shape: withDevices(
      backed('VirtualPCIPassthrough', 'VirtualPCIPassthroughVmiopBackingInfo', { vgpu: 'grid_a100-4c' }),
    ),
  },
  {
    code: 'USB_DEVICE',
    severity: 'blocker',
    shape: withDevices({ _typeName: 'VirtualUSB', key: 13_000, connected: true }),
  },
  {
    code: 'DEVICE_OF_A_MACHINE',
    severity: 'blocker',
    shape: withDevices(backed('VirtualCdrom', 'VirtualCdromAtapiBackingInfo', { deviceName: 'cd0' })),
  },
  {
    code: 'SHARED_BUS',
    severity: 'blocker',
    shape: withDevices({
      _typeName: 'ParaVirtualSCSIController',
      key: 1001,
      busNumber: 1,
      sharedBus: 'physicalSharing',
    }),
  },
  {
    code: 'DISC_INSERTED',
    severity: 'warning',
    shape: withDevices(backed('VirtualCdrom', 'VirtualCdromIsoBackingInfo', { fileName: '[local-1] debian.iso' })),
  },
  { code: 'SNAPSHOTS', severity: 'warning', shape: withVm({ snapshots: ['before'] }) },
  { code: 'ENCRYPTED_VMOTION', severity: 'note', changes: TUNNELLED },
  { code: 'DOWNTIME_NOT_SET', severity: 'note', changes: { maxDowntimeMs: 100 } },
  { code: 'CONVERGENCE_NOT_SET', severity: 'note', changes: { convergence: 'must-finish' } },
  { code: 'ENCRYPTION_IS_DISABLED', severity: 'note', options: { encryption: 'disable' }, changes: TUNNELLED },
  { code: 'ENCRYPTION_NEEDED', severity: 'blocker', options: { encryption: 'disable' } },
  {
    code: 'HOST_NOT_CONNECTED',
    severity: 'blocker',
    shape: { source: withHosts(alpha([vmSpec('shop')]), (host) => ({ ...host, connectionState: 'notResponding' })) },
  },
  {
    code: 'NO_DESTINATION_HOST',
    severity: 'blocker',
    shape: { destination: withHosts(beta(), (host) => ({ ...host, inMaintenanceMode: true })) },
  },
  { code: 'NO_DESTINATION_HOST', severity: 'blocker', options: { destinationHost: 'esx-b7' } },
  { code: 'NO_SUCH_POOL', severity: 'blocker', options: { resourcePool: 'gold' } },
  { code: 'NO_SUCH_FOLDER', severity: 'blocker', options: { folder: 'nowhere' } },
  { code: 'STORAGE_NOT_MAPPED', severity: 'blocker', options: { datastore: 'nowhere' } },
  { code: 'STORAGE_NOT_MAPPED', severity: 'blocker', changes: { diskMap: { 'Hard disk 9': 'beta-store' } } },
  { code: 'NETWORK_NOT_MAPPED', severity: 'blocker', changes: { networkMap: { 'VM Network': 'nowhere' } } },
  { code: 'NETWORK_UNKNOWN', severity: 'blocker', changes: { networkMap: { 'VM network': 'dv-beta' } } },
  {
    code: 'NO_SPACE',
    severity: 'blocker',
    shape: {
      destination: routed({ ...beta(), datastores: [{ name: 'beta-store', capacityBytes: 8 * MIB, freeBytes: MIB }] }),
    },
    remedy: /diskMap.*option datastore/,
  },
  {
    code: 'VMOTION_NOT_ENABLED',
    severity: 'blocker',
    shape: {
      destination: withHosts(beta(), (host) => ({
        ...host,
        vmkernels: host.vmkernels.filter(({ services }) => !services.includes('vmotion')),
      })),
    },
  },
  {
    code: 'VMOTION_ON_DEFAULT_STACK',
    severity: 'warning',
    shape: {
      destination: withHosts(beta(), (host) =>
        changeAdapters(host, (adapter) => ({ ...adapter, stack: 'defaultTcpipStack' })),
      ),
    },
  },
  {
    code: 'ADDRESS_FAMILIES',
    severity: 'blocker',
    shape: {
      destination: withHosts(beta(), (host) =>
        changeAdapters(host, (adapter) =>
          adapter.services.includes('vmotion') ? { ...adapter, address: '::1', prefixLength: 128 } : adapter,
        ),
      ),
    },
  },
  {
    code: 'MTU_DIFFERS',
    severity: 'warning',
    shape: { destination: withHosts(beta(), (host) => changeAdapters(host, (adapter) => ({ ...adapter, mtu: 9000 }))) },
  },
  {
    code: 'MEMORY_TOO_SMALL',
    severity: 'blocker',
    shape: { destination: withHosts(beta(), (host) => ({ ...host, memoryBytes: 4 * MIB })) },
    remedy: /host with more memory in the option destinationHost, or give the VM less/,
  },
  {
    code: 'PRIVILEGES_MISSING',
    severity: 'blocker',
    shape: { destination: { ...routed(beta()), withheldPrivileges: [{ privilege: 'Datastore.AllocateSpace' }] } },
  },
  { code: 'NO_PROVISIONING_NETWORK', severity: 'note', changes: TUNNELLED },
  {
    code: 'CLEAR_VMOTION',
    severity: 'note',
    shape: withVm({ migrateEncryption: 'disabled' }),
    changes: TUNNELLED,
  },
  { code: 'SITE_NOT_CLEAR', severity: 'blocker', shape: { oneVCenter: true, hostless: true } },
  {
    code: 'VM_NOT_CONNECTED',
    severity: 'blocker',
    says: saysOfVm('runtime', { connectionState: 'orphaned' }),
    remedy: /orphaned.*where its files are/,
  },
  {
    code: 'RELOCATION_DISABLED',
    severity: 'blocker',
    says: ({ source }) =>
      source.endpoint.objects.set(refOf(source, 'VirtualMachine', 'shop'), { disabledMethod: ['RelocateVM_Task'] }),
  },
  { code: 'FAULT_TOLERANCE', severity: 'blocker', says: saysOfVm('runtime', { faultToleranceState: 'running' }) },
  {
    code: 'VM_MANAGED',
    severity: 'warning',
    says: saysOfVm('config', {
      managedBy: { _typeName: 'ManagedByInfo', extensionKey: 'com.vmware.vcDr', type: 'placeholder' },
    }),
  },
  {
    code: 'SRIOV_CARD',
    severity: 'blocker',
    shape: withDevices({ _typeName: 'VirtualSriovEthernetCard', key: 13_000 }),
  },
  {
    code: 'SCSI_DEVICE',
    severity: 'blocker',
    shape: withDevices({ _typeName: 'VirtualSCSIPassthrough', key: 13_000 }),
  },
  { code: 'VMOTION_NOT_SUPPORTED', severity: 'blocker', says: saysOfHost({ vmotionSupported: false }) },
  { code: 'LICENCE', severity: 'warning', says: saysOfHost({ vmotionAcrossNetworkSupported: false }) },
  {
    code: 'TOO_FEW_CPUS',
    severity: 'blocker',
    shape: withVm({ cpus: 1024 }),
    remedy: /host with more CPUs in the option destinationHost, or give the VM fewer/,
  },
  { code: 'OLDER_HOST', severity: 'warning', shape: { destination: { ...routed(beta()), apiVersion: '7.0.3.0' } } },
  {
    code: 'EVC_DIFFERS',
    severity: 'warning',
    shape: {
      destination: {
        ...withHosts(beta(), (host) => ({ ...host, cluster: 'older' })),
        clusters: [{ name: 'older', evcModeKey: 'intel-haswell' }],
      },
    },
    says: saysOfVm('runtime', { minRequiredEVCModeKey: 'intel-skylake' }),
  },
  {
    code: 'RAW_DISK',
    severity: 'blocker',
    says: saysOfDisk(flat({ _typeName: 'VirtualDiskRawDiskMappingVer1BackingInfo' })),
  },
  {
    code: 'SHARED_DISK',
    severity: 'blocker',
    says: saysOfDisk(flat({ sharing: 'sharingMultiWriter' })),
    remedy: /see its datastore.*vSphere itself/,
  },
  { code: 'INDEPENDENT_DISK', severity: 'warning', says: saysOfDisk(flat({ diskMode: 'independent_persistent' })) },
  {
    code: 'SPACE_IS_SHORT',
    severity: 'warning',
    shape: { destination: { ...routed(beta()), datastores: [{ name: 'beta-store', freeBytes: 2 * MIB }] } },
    says: saysOfVm('summary', {
      storage: { committed: MIB, uncommitted: 3 * MIB, unshared: MIB, timestamp: '2026-01-01T00:00:00Z' },
    }),
  },
  {
    code: 'PRIVILEGES_NOT_SEEN',
    severity: 'warning',
    says: ({ destination }) =>
      destination.endpoint.faults.add({
        method: 'HasPrivilegeOnEntities',
        effect: { kind: 'fault', fault: { name: 'NotSupported' } },
      }),
  },
];

async function check(
  shape: WorldShape = {},
  options: Options = {},
  changes: Partial<Request> = {},
  says: (world: VmwareWorld) => void = () => undefined,
): Promise<CheckReport> {
  await using rehearsal = await Rehearsal.make(shape);
  says(rehearsal.world);
  const driver = await rehearsal.driver(options, changes);
  const report = await driver.check({ signal: rehearsal.signal });
  assert.deepEqual(rehearsal.journal, []);
  assert.ok(
    !rehearsal.world.source.endpoint.calls.some((call) =>
      ['RelocateVM_Task', 'ReconfigVM_Task', 'UpdateNetworkConfig'].includes(call),
    ),
  );
  assert.deepEqual(rehearsal.world.violations(), []);
  return report;
}

describe('the checks of a vSphere migration', { concurrency: 4 }, () => {
  for (const { code, severity, shape, options, changes, says, remedy = /.{11}/ } of FINDINGS) {
    test(`${code} is a ${severity}${options === undefined ? '' : ` (${JSON.stringify(options)})`}`, async () => {
      const { findings } = await check(shape, options, changes, says);
      const found = findings.find((finding) => finding.code === code);
      assert.equal(found?.severity, severity, JSON.stringify(findings, null, 1));
      assert.ok((found?.message.length ?? 0) > 10);
      assert.match(found?.remedy ?? '', remedy);
    });
  }

  test('a source host that the login cannot read is told of, and `prepare` gives it as its reason', async () => {
    await using rehearsal = await Rehearsal.make();
    const { source } = rehearsal.world;
    source.endpoint.objects.set(refOf(source, 'HostSystem', 'esx-a1'), { name: undefined });
    const { findings } = await (await rehearsal.driver()).check({ signal: rehearsal.signal });
    assert.deepEqual(
      findings.filter(({ severity }) => severity === 'blocker').map(({ code }) => code),
      ['SOURCE_HOST_NOT_SEEN'],
    );
    await assert.rejects((await rehearsal.driver()).prepare({ signal: rehearsal.signal }), {
      code: 'INCOMPATIBLE',
      message: 'The host that runs shop cannot be seen by this login.',
    });
  });

  test('inside one vCenter a destinationHost that could be several is a finding beside all others', async () => {
    const shape = { ...withVm({ poweredOn: false }), oneVCenter: true, hostless: true };
    const alike = ({ source }: VmwareWorld): void =>
      source.endpoint.objects.set(refOf(source, 'HostSystem', 'esx-a1'), { name: 'esx-a2' });
    const { findings } = await check(shape, { destinationHost: 'esx-a2' }, {}, alike);
    const of = (code: string) => findings.find((finding) => finding.code === code)?.message ?? '';
    assert.match(of('NO_DESTINATION_HOST'), /several called esx-a2: host-\d+, host-\d+/);
    assert.match(of('VM_NOT_RUNNING'), /poweredOff/);
  });

  test('a vCenter that does not tell how its own check ended is a finding, and all others are told', async () => {
    await using rehearsal = await Rehearsal.make(
      withDevices({ _typeName: 'VirtualUSB', key: 13_000, connected: true }),
    );
    const { endpoint } = rehearsal.world.source;
    endpoint.onCall = (method) => {
      if (method !== 'CheckRelocate_Task') return;
      const effect = { kind: 'fault', fault: { name: 'SystemError', fields: { reason: 'vpxd' } } } as const;
      endpoint.faults.add({ method: 'RetrievePropertiesEx', effect });
    };
    const { findings } = await (await rehearsal.driver()).check({ signal: AbortSignal.timeout(40_000) });
    const codes = findings.map(({ code, severity }) => `${code} ${severity}`);
    assert.deepEqual(codes, ['USB_DEVICE blocker', 'NATIVE_CHECK_NOT_TOLD warning']);
  });

  test('a device that is bound to its host is to be taken away, also where it is not connected', async () => {
    const remedyOf = async (code: string, device: Parameters<typeof withDevices>[0]) =>
      (await check(withDevices(device))).findings.find((finding) => finding.code === code)?.remedy;
    const usb = { _typeName: 'VirtualUSB', key: 13_000, connected: false };
    assert.equal(await remedyOf('USB_DEVICE', usb), 'Take it away from the VM.');
    const drive = backed('VirtualCdrom', 'VirtualCdromAtapiBackingInfo', { deviceName: 'cd0' });
    assert.match((await remedyOf('DEVICE_OF_A_MACHINE', drive)) ?? '', /^Disconnect it, or /);
  });

  test('a VM that is at the destination already: how its disks move alone is said where they may be meant', async () => {
    await using rehearsal = await Rehearsal.make({ oneVCenter: true });
    const remedyFor = async (options: Parameters<Rehearsal['driver']>[0], changes: Partial<Request> = {}) => {
      const driver = await rehearsal.driver(options, changes, { hosts: ['esx-a1'] });
      const { findings } = await driver.check({ signal: rehearsal.signal });
      return findings.find(({ code }) => code === 'VM_THERE_ALREADY')?.remedy ?? '';
    };
    assert.equal(await remedyFor({}), 'There is nothing to do.');
    const there = await rehearsal.driver({}, TUNNELLED, { hosts: ['esx-a1'] });
    const codes = (await there.check({ signal: rehearsal.signal })).findings.map(({ code }) => code);
    assert.ok(!codes.includes('SAME_NETWORK'), 'it goes nowhere');
    assert.match(await remedyFor({ datastore: 'shared' }), /name its own endpoint as the destination, too/);
    assert.match(
      await remedyFor({}, { diskMap: { 'Hard disk 1': 'shared' } }),
      /name its own endpoint as the destination, too/,
    );
  });

  test('a destinationHost that is not there hides nothing that the destination has nowhere, and the hosts are named', async () => {
    const options = { destinationHost: 'esx-b7', datastore: 'nowhere', folder: 'no-folder', resourcePool: 'no-pool' };
    const changes = { networkMap: { 'VM Network': 'no-net' }, diskMap: { 'Hard disk 1': 'no-store' } };
    const { findings } = await check({}, options, changes);
    const blockers = findings.filter(({ severity }) => severity === 'blocker');
    assert.deepEqual(
      blockers.map(({ code, message }) => `${code}: ${message}`),
      [
        'NO_DESTINATION_HOST: The destination host esx-b7 is not there.',
        'NO_SUCH_POOL: The destination has no pool no-pool.',
        'NO_SUCH_FOLDER: The destination has no folder no-folder.',
        'STORAGE_NOT_MAPPED: The destination has no datastore no-store.',
        'STORAGE_NOT_MAPPED: The destination has no datastore nowhere.',
        'NETWORK_NOT_MAPPED: Network adapter 1 is in VM Network, and the destination has no network no-net.',
      ],
    );
    assert.equal(blockers[0]?.remedy, 'Name one of: esx-b1.');
  });

  test('what speaks against it is told at once, from both ends', async () => {
    const shape = {
      ...withVm({ poweredOn: false, devices: [{ _typeName: 'VirtualPCIPassthrough', key: 13_000 }] }),
      destination: withHosts(beta(), (host) => ({ ...host, memoryBytes: 4 * MIB })),
    };
    const codes = (await check(shape, { folder: 'nowhere' })).findings.map(({ code }) => code);
    for (const code of ['VM_NOT_RUNNING', 'PCI_DEVICE', 'MEMORY_TOO_SMALL', 'NO_SUCH_FOLDER'])
      assert.ok(codes.includes(code), `${code} in ${codes}`);
  });

  test('vSphere’s own check is asked with the very argument of the move, and its words keep their names', async () => {
    await using rehearsal = await Rehearsal.make();
    const { endpoint } = rehearsal.world.source;
    endpoint.checks = {
      errors: [{ name: 'FeatureRequirementsNotMet', message: 'cpuid.avx512f' }],
      warnings: [{ name: 'VMotionLinkCapacityLow', fields: { network: 'vmotion' } }],
    };
    const driver = await rehearsal.driver();
    const { findings } = await driver.check({ signal: rehearsal.signal });
    const asked = endpoint.lastParameters('CheckRelocate_Task').spec;
    assert.deepEqual(
      findings.map(({ code, severity }) => [code, severity]),
      [
        ['FeatureRequirementsNotMet', 'blocker'],
        ['VMotionLinkCapacityLow', 'warning'],
      ],
    );
    await rehearsal.move(driver);
    assert.deepEqual(endpoint.lastParameters('RelocateVM_Task').spec, asked);
  });

  test('also where another datastore has more free space by then', async () => {
    const spec = beta();
    await using rehearsal = await Rehearsal.make({
      destination: { ...spec, datastores: [...spec.datastores, { name: 'beta-other' }] },
    });
    const { source, destination } = rehearsal.world;
    const { objects } = destination.endpoint;
    const setFree = (name: string, freeSpace: number) => {
      objects.merge(refOf(destination, 'Datastore', name), 'summary', { freeSpace });
    };
    setFree('beta-other', 1024 * MIB);
    setFree('beta-store', 2048 * MIB);
    const driver = await rehearsal.driver();
    await driver.check({ signal: rehearsal.signal });
    const asked = source.endpoint.lastParameters('CheckRelocate_Task').spec as DataObject;
    assert.deepEqual(asked.datastore, refOf(destination, 'Datastore', 'beta-store'));
    setFree('beta-other', 4096 * MIB);
    await rehearsal.move(driver);
    assert.deepEqual(source.endpoint.lastParameters('RelocateVM_Task').spec, asked);
  });

  test('a vCenter without that check, and one that refuses to make it', async () => {
    const codes = async (name: string) => {
      await using rehearsal = await Rehearsal.make();
      rehearsal.world.source.endpoint.faults.add({
        method: 'CheckRelocate_Task',
        effect: { kind: 'fault', fault: { name } },
      });
      const { findings } = await (await rehearsal.driver()).check({ signal: rehearsal.signal });
      return findings.map(({ code, severity }) => [code, severity]);
    };
    assert.deepEqual(await codes('MethodNotFound'), [['NATIVE_CHECK_MISSING', 'note']]);
    assert.deepEqual(await codes('NoPermission'), [['NoPermission', 'blocker']]);
  });

  test('the hosts between which it would go are named, however their vCenters are registered', async () => {
    const { hosts } = await check();
    assert.match(hosts?.source ?? '', /^[0-9a-f-]{36}\/host-\d+$/);
    assert.notEqual(hosts?.source, hosts?.destination);
  });
});

describe('a name of several places', { concurrency: 4 }, () => {
  /** Where the host is: a folder of that name beside the one for VMs, and a cluster that has a pool of that name as well. */
  const crowded = (folders: readonly string[]): WorldShape => ({
    destination: routed({ ...beta(), folders, clusters: [{ name: 'other' }] }),
  });
  const codesOf = (report: CheckReport) => report.findings.map(({ code }) => code);

  test('means the one that can be meant: of the datacenter’s folders for VMs, of the pools of the host’s own cluster', async () => {
    await using rehearsal = await Rehearsal.make(crowded(['far/arrived']));
    const { endpoint } = rehearsal.world.destination;
    const parent = endpoint.objects.byName('Folder', 'host');
    assert.ok(parent !== undefined);
    const { objects } = endpoint;
    objects.add(objects.newRef('Folder', 'group-h'), { name: 'arrived', parent, childType: [], childEntity: [] });
    const driver = await rehearsal.driver({ folder: 'arrived', resourcePool: 'Resources' });
    assert.deepEqual(codesOf(await driver.check({ signal: rehearsal.signal })), []);
    await rehearsal.move(driver);
    const { spec } = rehearsal.world.source.endpoint.lastParameters('RelocateVM_Task') as unknown as {
      spec: { readonly folder: MoRef; readonly pool: MoRef };
    };
    assert.equal(objects.get(objects.get(spec.folder, 'parent') as MoRef, 'name'), 'far');
    assert.equal((objects.get(spec.pool, 'owner') as MoRef).type, 'ComputeResource');
  });

  test('is a finding beside all others when it could be either, and is told by the id', async () => {
    const shape = crowded(['far/arrived', 'near/arrived']);
    const report = await check(shape, { folder: 'arrived', datastore: 'nowhere' });
    assert.deepEqual(codesOf(report), ['NO_SUCH_FOLDER', 'STORAGE_NOT_MAPPED']);
    assert.match(report.findings[0]?.message ?? '', /several called arrived: group-v\d+, group-v\d+/);
  });

  test('is none when it is one of another kind or place only', async () => {
    assert.deepEqual(codesOf(await check(crowded([]), { folder: 'datastore' })), ['NO_SUCH_FOLDER']);
  });
});

describe('what the move is told', { concurrency: 4 }, () => {
  interface Spec {
    readonly folder?: { readonly value: string };
    readonly datastore?: { readonly value: string };
    readonly disk?: readonly {
      readonly diskId: number;
      readonly datastore: { readonly value: string };
      readonly diskMoveType?: string;
      readonly profile?: readonly { readonly profileId: string }[];
    }[];
    readonly deviceChange?: readonly {
      readonly device: {
        readonly key: number;
        readonly macAddress?: string;
        readonly backing: { readonly _typeName: string; readonly port?: { readonly portgroupKey: string } };
      };
    }[];
    readonly profile?: readonly { readonly profileId: string }[];
    readonly service?: { readonly instanceUuid: string; readonly url: string; readonly sslThumbprint: string };
  }
  const moved = async (shape: WorldShape, options: Options, changes: Partial<Request>) => {
    const rehearsal = await Rehearsal.make(shape);
    const driver = await rehearsal.driver(options, changes);
    await rehearsal.move(driver);
    const { endpoint } = rehearsal.world.source;
    const { spec, priority } = endpoint.lastParameters('RelocateVM_Task') as unknown as {
      spec: Spec;
      priority: string;
    };
    const id = (type: string, name: string, vcenter = rehearsal.world.destination) =>
      vcenter.endpoint.objects.byName(type, name)?.value;
    return { rehearsal, spec, priority, id, [Symbol.asyncDispose]: () => rehearsal[Symbol.asyncDispose]() };
  };

  for (const protocol of ['soap', 'json'] as const) {
    test(`across vCenters: who the other one is, folder, each disk, each card, policy, priority (${protocol})`, async () => {
      const disks = [
        { sizeBytes: MIB, datastore: 'local-1' },
        { sizeBytes: 2 * MIB, datastore: 'local-1' },
      ];
      const nics = [{ network: 'VM Network', mac: '00:50:56:00:00:01' }, { network: 'dv-lan' }];
      const destination = routed({ ...beta(), datastores: [{ name: 'beta-store' }, { name: 'beta-fast' }] });
      const changes = {
        diskMap: { 'Hard disk 1': 'beta-store', 'Hard disk 2': 'beta-fast' },
        networkMap: { 'VM Network': 'dv-beta', 'Network adapter 2': 'VM Network' },
      };
      const options = {
        folder: 'arrived',
        storagePolicy: 'aa6d5a82-1c88-45da-85d3-3d74b91a5bad',
        priority: 'highPriority',
      } as const;
      await using told = await moved({ ...withVm({ disks, nics }), destination, protocol }, options, changes);
      const { spec, id, rehearsal } = told;
      const { destination: there } = rehearsal.world;
      assert.deepEqual([spec.service?.instanceUuid, spec.service?.url], [there.instanceUuid, there.url]);
      assert.equal(spec.service?.sslThumbprint, there.certificate?.thumbprint);
      assert.deepEqual([spec.folder?.value, told.priority], [id('Folder', 'arrived'), 'highPriority']);
      assert.deepEqual(
        spec.disk?.map(({ diskId, datastore }) => [diskId, datastore.value]),
        [
          [2000, id('Datastore', 'beta-store')],
          [2001, id('Datastore', 'beta-fast')],
        ],
      );
      assert.equal(spec.datastore?.value, id('Datastore', 'beta-store'));
      const [first, second] = spec.deviceChange ?? [];
      assert.deepEqual([first?.device.key, first?.device.macAddress], [4000, '00:50:56:00:00:01']);
      assert.equal(first?.device.backing._typeName, 'VirtualEthernetCardDistributedVirtualPortBackingInfo');
      assert.equal(second?.device.backing._typeName, 'VirtualEthernetCardNetworkBackingInfo');
      assert.equal(spec.profile?.[0]?.profileId, options.storagePolicy);
      assert.deepEqual(rehearsal.world.violations(), []);
      const driver = await rehearsal.driver(options, changes);
      const { warnings, sourceDefinition } = await driver.confirm(
        { flows: [], sourceAddresses: [], state: null },
        { signal: rehearsal.signal },
      );
      assert.deepEqual([warnings, sourceDefinition], [[], null]);
    });
  }

  test('inside one vCenter on shared storage nothing but the host changes; and the ends are told apart by it', async () => {
    const shape = { oneVCenter: true, ...withVm({ disks: [{ sizeBytes: MIB, datastore: 'shared' }] }) };
    await using told = await moved(shape, {}, {});
    const { spec, rehearsal } = told;
    const { service, folder, datastore, disk, deviceChange } = spec;
    assert.deepEqual([service, folder, datastore, disk], [undefined, undefined, undefined, undefined]);
    assert.deepEqual(deviceChange ?? [], []);
    assert.deepEqual(rehearsal.world.running(), ['esx-a2']);
    assert.equal((await (await rehearsal.driver()).locate({ signal: rehearsal.signal })).where, 'destination');
    const { vms } = await (await rehearsal.world.session('source')).inventory({ signal: rehearsal.signal });
    assert.deepEqual(vms, [], 'it is not at that endpoint’s hosts any more');
    const again = await (await rehearsal.driver())
      .check({ signal: rehearsal.signal })
      .catch((error: { code: string }) => error.code);
    assert.ok(
      again === 'VM_NOT_FOUND' ||
        (typeof again === 'object' && again.findings.some(({ code }) => code === 'VM_THERE_ALREADY')),
    );
  });

  test('inside one vCenter a policy is for all disks, also where they stay', async () => {
    const disks = [1, 2].map((size) => ({ sizeBytes: size * MIB, datastore: 'shared' }));
    const options = {
      storagePolicy: 'aa6d5a82-1c88-45da-85d3-3d74b91a5bad',
      diskMoveType: 'moveChildMostDiskBacking',
    } as const;
    await using told = await moved({ oneVCenter: true, ...withVm({ disks }) }, options, {});
    const { spec, id } = told;
    assert.equal(spec.datastore, undefined);
    assert.deepEqual(
      spec.disk?.map(({ diskId, datastore, diskMoveType, profile }) => [
        ...[diskId, datastore.value, diskMoveType, profile?.[0]?.profileId],
      ]),
      [2000, 2001].map((key) => [key, id('Datastore', 'shared'), options.diskMoveType, options.storagePolicy]),
    );
  });

  test('a VM’s own files stay where they are when only a disk beside them is sent elsewhere', async () => {
    const disks = ['shared', 'shared'].map((datastore) => ({ sizeBytes: MIB, datastore }));
    const source = withHosts(alpha([vmSpec('shop', { disks })]), (host) => host);
    const datastores = [{ name: 'local-1', hosts: ['esx-a1'] }, { name: 'shared' }, { name: 'homes' }, { name: 'big' }];
    await using rehearsal = await Rehearsal.make({ oneVCenter: true, source: { ...source, datastores } });
    const { world } = rehearsal;
    const vm = refOf(world.source, 'VirtualMachine', 'shop');
    const [shared, homes, big] = ['shared', 'homes', 'big'].map((name) => refOf(world.source, 'Datastore', name));
    world.source.endpoint.objects.set(vm, { datastore: [shared, homes] as readonly MoRef[] });
    saysOfVm('config', { files: { _typeName: 'VirtualMachineFileInfo', vmPathName: '[homes] shop/shop.vmx' } })(world);
    await rehearsal.move(await rehearsal.driver({}, { diskMap: { 'Hard disk 2': 'big' } }));
    const { spec } = world.source.endpoint.lastParameters('RelocateVM_Task') as unknown as { spec: Spec };
    assert.deepEqual(
      [spec.datastore?.value, ...(spec.disk ?? []).map(({ datastore }) => datastore.value)],
      [homes?.value, shared?.value, big?.value],
    );
    assert.deepEqual(world.violations(), []);
  });

  test('inside one vCenter a destination is all of its hosts, also when one of them was asked for', async () => {
    const { hosts, ...spec } = alpha([vmSpec('shop', { disks: [{ sizeBytes: MIB, datastore: 'shared' }] })]);
    const third = changeAdapters(hosts[1] as HostSpec, (nic) => ({
      ...nic,
      address: nic.address.replace(/12$/, '13'),
    }));
    const source = routed({ ...spec, hosts: [...hosts, { ...third, name: 'esx-a3' }] });
    await using rehearsal = await Rehearsal.make({ oneVCenter: true, source });
    const { world, signal } = rehearsal;
    const driver = async (from: string[], to: string[], destinationHost: string) => {
      const ends = {
        source: await world.session('source', { hosts: from }),
        destination: await world.session('destination', { hosts: to }),
      };
      return plugin.migration(ends, rehearsal.request({ destinationHost }), rehearsal.context());
    };
    const asked = await driver(['esx-a1'], ['esx-a2', 'esx-a3'], 'esx-a2');
    const prepared = await asked.prepare({ signal });
    await rehearsal.perform(asked, prepared);
    assert.deepEqual(world.running(), ['esx-a2']);
    await rehearsal.move(await driver(['esx-a2'], ['esx-a3'], 'esx-a3'));
    assert.deepEqual(world.running(), ['esx-a3'], 'as DRS may do it');
    assert.equal((await asked.locate({ signal })).where, 'destination');
    assert.match((await asked.confirm(prepared, { signal })).warnings.join(), /and not on esx-a2/);
    const outside = await driver(['esx-a1', 'esx-a3'], ['esx-a2'], 'esx-a1');
    const { findings } = await outside.check({ signal });
    assert.ok(findings.some(({ code }) => code === 'NO_DESTINATION_HOST'));
    await assert.rejects((await driver(['esx-a1'], ['esx-a2', 'esx-a3'], 'esx-a2')).prepare({ signal }), {
      code: 'NOT_MIGRATABLE',
    });
  });

  test('inside one vCenter on local storage the disks are copied', async () => {
    await using told = await moved({ oneVCenter: true, ...withVm({}) }, { datastore: 'local-2' }, {});
    assert.equal(told.spec.disk?.[0]?.datastore.value, told.id('Datastore', 'local-2'));
    assert.deepEqual(told.rehearsal.world.running(), ['esx-a2']);
  });

  test('what is one datastore at both vCenters stays where it is, and nothing of it is counted as copied', async () => {
    const url = 'ds:///vmfs/volumes/5f0c7c3e-shared/';
    const source = routed({ ...alpha([vmSpec('shop')]), datastores: [{ name: 'local-1', url }] });
    const destination = routed({
      ...beta(),
      datastores: [{ name: 'big' }, { name: 'the-same', url, freeBytes: MIB * 64 }],
    });
    assert.equal((await check({ source, destination })).diskBytes, 0);
    await using told = await moved({ source, destination }, {}, {});
    assert.equal(told.spec.disk?.[0]?.datastore.value, told.id('Datastore', 'the-same'));
  });
});

test('a privilege that is needed to put the encryption setting back is asked for where the VM will be', async () => {
  const destination = { ...routed(beta()), withheldPrivileges: [{ privilege: 'VirtualMachine.Config.Settings' }] };
  await using rehearsal = await Rehearsal.make({ destination });
  const missing = async (encryption: 'leave' | 'disable') => {
    const driver = await rehearsal.driver({ encryption }, TUNNELLED);
    const { findings } = await driver.check({ signal: rehearsal.signal });
    return findings.filter(({ code }) => code === 'PRIVILEGES_MISSING').map(({ message }) => message);
  };
  assert.deepEqual(await missing('leave'), []);
  const [told, ...others] = await missing('disable');
  assert.match(told ?? '', /lacks VirtualMachine\.Config\.Settings on the folder at 127/);
  assert.deepEqual(others, []);
});

test('every host is verified, however many there are; some are told of by name, those with trouble first', async () => {
  const [first] = alpha().hosts;
  assert.ok(first !== undefined);
  const numbers = Array.from({ length: 40 }, (_, i) => i + 1);
  const hosts = numbers.map((number) => {
    const at = { ...first, name: `esx-${number}`, vms: [] };
    return changeAdapters(at, (adapter) => ({
      ...adapter,
      address: adapter.address.replace(/\.11$/, `.${number + 10}`),
      // The last one has no vMotion.
      ...(number === 40 && adapter.stack === 'vmotion' ? { stack: 'defaultTcpipStack', services: [] } : {}),
    }));
  });
  await using rehearsal = await Rehearsal.make({ source: { hosts: [...alpha().hosts, ...hosts.slice(2)] } });
  const session = await rehearsal.world.session('source');
  const steps = await Array.fromAsync(session.verify?.({ signal: rehearsal.signal }) ?? []);
  const vmotion = steps.find(({ name }) => name === 'vmotion');
  assert.equal(vmotion?.outcome, 'failed');
  assert.match(vmotion?.seen ?? '', /^1 of 40 have none\. esx-40: none; .*; and 8 more\.$/);
  assert.match(steps.find(({ name }) => name === 'hosts')?.seen ?? '', /^40: esx-a1 .*, and 8 more\.$/);
});

test('an operator sees, step by step and read-only, what only that vCenter can show', async () => {
  const bad = {
    ...routed(alpha([vmSpec('shop')])),
    withheldPrivileges: [{ privilege: 'Resource.HotMigrate' }, { privilege: 'Host.Config.Network' }],
  };
  await using rehearsal = await Rehearsal.make({ source: bad });
  const session = await rehearsal.world.session('source', { hosts: ['esx-a1', 'esx-a9'], routes: 'temporary' });
  const steps = await Array.fromAsync(session.verify?.({ signal: rehearsal.signal }) ?? []);
  const outcome = (name: string) => steps.find((step) => step.name === name);
  assert.deepEqual([outcome('hosts')?.outcome, outcome('vmotion')?.outcome], ['failed', 'skipped']);
  assert.match(outcome('hosts')?.seen ?? '', /not there: esx-a9/);
  const other = await rehearsal.world.session('source', { routes: 'temporary' });
  const seen = await Array.fromAsync(other.verify?.({ signal: rehearsal.signal }) ?? []);
  assert.deepEqual(
    seen.map(({ name, outcome: is }) => `${name} ${is}`),
    [
      'version ok',
      'certificate ok',
      'hosts ok',
      'vmotion ok',
      'gateway ok',
      'provisioning skipped',
      'updates ok',
      'check ok',
      'rights failed',
    ],
  );
  assert.match(seen.at(-1)?.seen ?? '', /Resource\.HotMigrate/);
  const changing = ['RelocateVM_Task', 'ReconfigVM_Task', 'UpdateNetworkConfig', 'CheckRelocate_Task'];
  assert.ok(!rehearsal.world.source.endpoint.calls.some((call) => changing.includes(call)));
});

test('a gateway that no migration could use fails the verification, in the words of the check', async () => {
  const [spec] = [alpha([vmSpec('shop')])];
  const withIpv6 = (host: HostSpec, i: number): HostSpec => {
    const vmk3 = { device: 'vmk3', address: `fd00:1::${11 + i}`, prefixLength: 64 };
    return { ...host, vmkernels: [...host.vmkernels, { ...vmk3, stack: 'vmotion', services: [] }] };
  };
  await using routedOnes = await Rehearsal.make({ source: routed(spec) });
  await using without = await Rehearsal.make({ source: spec });
  await using both = await Rehearsal.make({ source: routed({ ...spec, hosts: spec.hosts.map(withIpv6) }) });
  const stepOf = async ({ world, signal }: Rehearsal, settings: Record<string, unknown>) => {
    const session = await world.session('source', settings);
    const steps = await Array.fromAsync(session.verify?.({ signal }) ?? []);
    const { outcome, seen, remedy } = steps.find(({ name }) => name === 'gateway') ?? {};
    return `${outcome} ${seen} ${remedy}`;
  };
  assert.match(await stepOf(routedOnes, {}), /^ok .*default 127\.1\.1\.1/);
  assert.match(await stepOf(routedOnes, { vmotionGateway: '127.1.1.1' }), /^ok /);
  for (const routes of ['permanent', 'temporary']) {
    const wrong = await stepOf(routedOnes, { vmotionGateway: '9.9.9.9', routes });
    assert.match(wrong, /^failed The gateway 9\.9\.9\.9 is in no network of esx-a1 \(vmotion, vmk1, stack vmotion\)/);
  }
  assert.match(
    await stepOf(routedOnes, { vmotionGateway: '127.1.1.5' }),
    /^failed At esx-a1 .* every route leads to 127\.1\.1\.1, not to the gateway 127\.1\.1\.5\..*esxcli network ip route ipv4 add/,
  );
  assert.match(
    await stepOf(without, {}),
    /^failed At esx-a1 .* is missing: IPv4 has neither .*esxcli network ip route ipv4/,
  );
  assert.match(await stepOf(without, { routes: 'temporary' }), /^ok /);
  assert.match(
    await stepOf(both, { vmotionGateway: '127.1.1.1' }),
    /^failed At esx-a1 \(vmotion, vmk3.*IPv6 has neither .* Nobody has said at which address of IPv6 .*hypervisorAddress/,
  );
});

test('a login may do what it needs where that is done: nothing on the root folder, and on one object of each kind', async () => {
  const rightsWithout = async (...withheldPrivileges: { privilege: string; object?: string }[]) => {
    await using rehearsal = await Rehearsal.make({
      source: { ...routed(alpha([vmSpec('shop')])), withheldPrivileges },
    });
    const session = await rehearsal.world.session('source');
    const steps = await Array.fromAsync(session.verify?.({ signal: rehearsal.signal }) ?? []);
    assert.deepEqual(rehearsal.world.violations(), []);
    const { outcome, seen } = steps.find(({ name }) => name === 'rights') ?? {};
    return { outcome, seen: seen ?? '' };
  };
  const privileges = ['Resource.HotMigrate', 'Resource.AssignVMToPool', 'Datastore.AllocateSpace', 'Network.Assign'];
  const onRoot = [...privileges, 'VirtualMachine.Inventory.Create'].map((privilege) => ({
    ...{ privilege, object: 'Datacenters' },
  }));
  const readme = await rightsWithout(...onRoot);
  assert.deepEqual(readme, {
    outcome: 'ok',
    seen: 'All that a migration needs, looked at on 1 VMs, 1 resource pools, 3 datastores, 2 networks, 3 folders of VMs.',
  });
  const inner = await rightsWithout({ privilege: 'VirtualMachine.Inventory.Create', object: 'vm' });
  assert.equal(inner.outcome, 'ok', 'a role on a folder below is enough, for the option `folder` may name it');
  assert.match(inner.seen, /; without VirtualMachine\.Inventory\.Create on Alpha\/vm \(folders of VMs\)\.$/);
  const some = await rightsWithout({ privilege: 'Datastore.AllocateSpace', object: 'local-1' });
  assert.equal(some.outcome, 'ok');
  assert.match(some.seen, /; without Datastore\.AllocateSpace on local-1 \(datastores\)\.$/);
  const none = await rightsWithout({ privilege: 'Datastore.AllocateSpace' });
  assert.equal(none.outcome, 'failed');
  assert.match(none.seen, /lacks Datastore\.AllocateSpace on local-1, shared, local-2 \(datastores\)\.$/);
});
