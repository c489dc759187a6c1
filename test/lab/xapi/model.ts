/**
 * What a pool of the lab consists of, by a specification, and the records that make it up. Only the fields that clients of a migration
 * look at; no field under a name that XAPI does not have.
 */
import { createHash } from 'node:crypto';
import { type ClassName, type Database, NULL_REF, type XapiRecord } from './database.ts';

export interface MemberSpec {
  readonly name: string;
  /** Where its API answers, and what `host.address` says. */
  readonly management: string;
  /** Its address in the network "migration". */
  readonly migration: string;
  readonly memoryBytes?: number;
  readonly platformVersion?: string;
}

export interface DiskSpec {
  readonly sizeBytes: number;
  readonly sr?: string;
}

export interface VmSpec {
  readonly name: string;
  readonly uuid: string;
  readonly memoryBytes: number;
  readonly disks: readonly DiskSpec[];
  readonly member?: string;
  readonly networks?: readonly string[];
}

export interface PoolSpec {
  readonly name: string;
  readonly login: { readonly username: string; readonly password: string };
  readonly members: readonly MemberSpec[];
  /** Beside "management" and "migration". */
  readonly guestNetworks: readonly string[];
  /** Each is attached to every member unless it names some. */
  readonly storage: readonly {
    readonly name: string;
    readonly members?: readonly string[];
    readonly sizeBytes?: number;
  }[];
  readonly vms: readonly VmSpec[];
  /** `migration-https-only` in xapi.conf: what the pool does with `http` URLs of a receive map, https to port 443, or as they stand. No call tells it. */
  readonly httpsOnly?: boolean;
  /** XenServer 7.2: no maps of GPUs and formats, and no compression. */
  readonly oldRelease?: boolean;
}

const GIB = 1024 ** 3;

/** The same name gives the same uuid, so that a pool that starts again is the same pool. */
export function uuidOf(...names: readonly string[]): string {
  const hex = createHash('sha256').update(names.join('/')).digest('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), `4${hex.slice(13, 16)}`, `a${hex.slice(17, 20)}`, hex.slice(20, 32)].join(
    '-',
  );
}

/** Fills an empty database with what the specification describes. */
export function seed(database: Database, spec: PoolSpec): void {
  const uuid = (...names: string[]) => uuidOf(spec.name, ...names);
  const networks = ['management', 'migration', ...spec.guestNetworks];
  for (const name of networks) {
    database.add('network', {
      uuid: uuid('network', name),
      name_label: name,
      name_description: '',
      bridge: `xapi-${name}`,
      MTU: 1500,
      PIFs: [],
      VIFs: [],
      other_config: {},
    });
  }
  const hosts = spec.members.map((member) => seedHost(database, spec, member, uuid));
  for (const { name, members, sizeBytes = 64 * GIB } of spec.storage) {
    const attached = spec.members.flatMap((member, i) =>
      members === undefined || members.includes(member.name) ? [hosts[i] ?? ''] : [],
    );
    const sr = database.add('SR', {
      ...{
        uuid: uuid('SR', name),
        name_label: name,
        name_description: '',
        type: 'ext',
        content_type: 'user',
        shared: attached.length > 1,
      },
      ...{
        physical_size: sizeBytes,
        physical_utilisation: 0,
        virtual_allocation: 0,
        PBDs: [],
        VDIs: [],
        other_config: {},
        sm_config: {},
      },
    });
    for (const host of attached) {
      const pbd = database.add('PBD', {
        uuid: uuid('PBD', name, host),
        host,
        SR: sr,
        currently_attached: true,
        device_config: {},
        other_config: {},
      });
      append(database, 'SR', sr, 'PBDs', pbd);
      append(database, 'host', host, 'PBDs', pbd);
    }
  }
  database.add('pool', {
    ...{ uuid: uuid('pool'), name_label: spec.name, name_description: '', master: hosts[0] ?? NULL_REF },
    ...{ default_SR: [...database.table('SR').keys()][0] ?? NULL_REF, other_config: {} },
    ...(spec.oldRelease === true ? {} : { migration_compression: false }),
  });
  for (const vm of spec.vms) seedVm(database, spec, vm, uuid);
}

function seedHost(
  database: Database,
  spec: PoolSpec,
  member: MemberSpec,
  uuid: (...names: string[]) => string,
): string {
  const { memoryBytes = 16 * GIB, platformVersion = '3.4.0' } = member;
  const metrics = database.add('host_metrics', {
    uuid: uuid('metrics', member.name),
    live: true,
    memory_total: memoryBytes,
    memory_free: memoryBytes - GIB,
    other_config: {},
  });
  const host = database.add('host', {
    ...{
      uuid: uuid('host', member.name),
      name_label: member.name,
      name_description: '',
      hostname: member.name,
      address: member.management,
      enabled: true,
      metrics,
    },
    ...versionsOf(spec, platformVersion),
    cpu_info: { cpu_count: '8', socket_count: '1', vendor: 'GenuineIntel', features_hvm: 'ffff' },
    ...{ PIFs: [], PBDs: [], resident_VMs: [], other_config: {}, https_only: false },
  });
  const pifs: readonly [network: string, address: string, management: boolean][] = [
    ['management', member.management, true],
    ['migration', member.migration, false],
  ];
  for (const [name, address, management] of pifs) {
    const network = database.byName('network', name);
    const pif = database.add('PIF', {
      ...{
        uuid: uuid('PIF', member.name, name),
        device: management ? 'eth0' : 'eth1',
        network,
        host,
        IP: address,
        netmask: '255.255.255.192',
      },
      ...{
        ip_configuration_mode: 'Static',
        IPv6: ['fe80::1/64'],
        primary_address_type: 'IPv4',
        management,
        currently_attached: true,
        MTU: 1500,
        other_config: {},
      },
    });
    append(database, 'host', host, 'PIFs', pif);
    append(database, 'network', network, 'PIFs', pif);
  }
  return host;
}

function versionsOf({ oldRelease = false }: PoolSpec, platform: string): XapiRecord {
  const common = { platform_name: 'XCP', platform_version: platform };
  if (oldRelease) {
    const software_version = { ...common, product_brand: 'XenServer', product_version: '7.2.0' };
    return { software_version, API_version_major: 2, API_version_minor: 7 };
  }
  const software_version = { ...common, product_brand: 'XCP-ng', product_version: '8.3.0', xapi_build: '25.6.0' };
  return { software_version, API_version_major: 2, API_version_minor: 21 };
}

function seedVm(database: Database, spec: PoolSpec, vm: VmSpec, uuid: (...names: string[]) => string): void {
  const host = database.byName('host', vm.member ?? spec.members[0]?.name ?? '');
  const ref = database.add(
    'VM',
    emptyVm({
      uuid: vm.uuid,
      name_label: vm.name,
      memory_static_max: vm.memoryBytes,
      memory_dynamic_min: vm.memoryBytes,
      memory_dynamic_max: vm.memoryBytes,
    }),
  );
  const metrics = database.add('VM_guest_metrics', {
    uuid: uuid('guest', vm.uuid),
    PV_drivers_detected: true,
    live: true,
    other: { 'feature-suspend': '1' },
    other_config: {},
  });
  database.update('VM', ref, { power_state: 'Running', resident_on: host, domid: 7, guest_metrics: metrics });
  vm.disks.forEach(({ sizeBytes, sr }, i) => {
    const place = sr === undefined ? ([...database.table('SR').keys()][0] ?? NULL_REF) : database.byName('SR', sr);
    const vdi = addVdi(database, place, {
      uuid: uuid('VDI', vm.uuid, String(i)),
      name_label: `${vm.name} ${i}`,
      virtual_size: sizeBytes,
    });
    addVbd(database, ref, vdi, String(i));
  });
  const networks = vm.networks ?? [spec.guestNetworks[0] ?? 'management'];
  for (const [i, name] of networks.entries()) addVif(database, ref, database.byName('network', name), String(i));
}

export function emptyVm(fields: XapiRecord): XapiRecord {
  return {
    ...{
      name_description: '',
      power_state: 'Halted',
      is_a_template: false,
      is_control_domain: false,
      is_a_snapshot: false,
    },
    ...{
      resident_on: NULL_REF,
      affinity: NULL_REF,
      domid: -1,
      VCPUs_max: 2,
      VCPUs_at_startup: 2,
      guest_metrics: NULL_REF,
    },
    ...{ VBDs: [], VIFs: [], VGPUs: [], VUSBs: [], attached_PCIs: [], snapshots: [], ha_restart_priority: '' },
    ...{
      other_config: {},
      current_operations: {},
      allowed_operations: ['migrate_send', 'pool_migrate', 'hard_shutdown'],
      platform: {},
    },
    ...fields,
  };
}

export function addVdi(database: Database, sr: string, fields: XapiRecord): string {
  const size = Number(fields.virtual_size);
  const vdi = database.add('VDI', {
    ...{
      name_description: '',
      SR: sr,
      physical_utilisation: size,
      type: 'user',
      on_boot: 'persist',
      cbt_enabled: false,
    },
    ...{ sm_config: {}, other_config: {}, VBDs: [], read_only: false, sharable: false, location: '' },
    ...fields,
  });
  append(database, 'SR', sr, 'VDIs', vdi);
  return vdi;
}

export function addVbd(database: Database, vm: string, vdi: string, userdevice: string): void {
  const device = `xvd${String.fromCharCode(97 + Number(userdevice))}`;
  const vbd = database.add('VBD', {
    ...{
      uuid: uuidOf('VBD', vm, userdevice),
      VM: vm,
      VDI: vdi,
      userdevice,
      device,
      type: 'Disk',
      mode: 'RW',
      bootable: userdevice === '0',
    },
    ...{ empty: false, currently_attached: true, other_config: {} },
  });
  append(database, 'VM', vm, 'VBDs', vbd);
  append(database, 'VDI', vdi, 'VBDs', vbd);
}

export function addVif(database: Database, vm: string, network: string, device: string): void {
  const vif = database.add('VIF', {
    uuid: uuidOf('VIF', vm, device),
    VM: vm,
    network,
    device,
    MAC: '02:00:00:00:00:01',
    MTU: 1500,
    currently_attached: true,
    other_config: {},
  });
  append(database, 'VM', vm, 'VIFs', vif);
  append(database, 'network', network, 'VIFs', vif);
}

export function addGpuGroup(database: Database, name: string): string {
  return database.add('GPU_group', {
    ...{ uuid: uuidOf('GPU_group', name), name_label: name, name_description: '' },
    ...{ PGPUs: [], VGPUs: [], GPU_types: ['10de/1'], other_config: {} },
  });
}

export function addVgpu(database: Database, vm: string, group: string): string {
  const vgpu = database.add('VGPU', {
    ...{ uuid: uuidOf('VGPU', vm), VM: vm, GPU_group: group, device: '0', type: NULL_REF },
    ...{ currently_attached: true, other_config: {} },
  });
  append(database, 'VM', vm, 'VGPUs', vgpu);
  append(database, 'GPU_group', group, 'VGPUs', vgpu);
  return vgpu;
}

/** Takes a VM and everything that belongs to it out of the pool. */
export function removeVm(database: Database, ref: string): void {
  const vm = database.get('VM', ref);
  if (vm === undefined) return;
  for (const vbd of vm.VBDs as string[]) {
    const vdi = String(database.get('VBD', vbd)?.VDI ?? NULL_REF);
    database.remove('VBD', vbd);
    database.remove('VDI', vdi);
  }
  for (const vif of vm.VIFs as string[]) database.remove('VIF', vif);
  for (const vgpu of vm.VGPUs as string[]) database.remove('VGPU', vgpu);
  database.remove('VM_guest_metrics', String(vm.guest_metrics));
  database.remove('VM', ref);
}

function append(database: Database, kind: ClassName, ref: string, field: string, value: string): void {
  const list = database.need(kind, ref)[field] as string[];
  database.update(kind, ref, { [field]: [...list, value] });
}
