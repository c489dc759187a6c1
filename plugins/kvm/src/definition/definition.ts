/**
 * Reads from a domain's XML what a migration has to know. Pure; the XML itself stays the truth.
 */
import type { Element } from '@xmldom/xmldom';
import { attribute, childElements, descend, parseXml, serializeXml, textOf } from './xml.ts';

export interface DiskDefinition {
  /** Target name: `vda`. */
  readonly name: string;
  /** `disk`, `cdrom`, `floppy`, `lun`. */
  readonly device: string;
  /** `file`, `block`, `network`, `volume`, `dir`, `nvme`, `vhostuser`. */
  readonly sourceType: string;
  /** File or device path, `pool/volume`, or `protocol:name`; `undefined` for an empty drive. */
  readonly location: string | undefined;
  readonly format: string;
  readonly readOnly: boolean;
  readonly shareable: boolean;
  readonly transient: boolean;
  readonly cache: string | undefined;
  /** The image is an overlay: what it does not hold is in images below it. */
  readonly hasBacking: boolean;
}

export interface InterfaceDefinition {
  /** `network`, `bridge`, `direct`, `user`, `hostdev` … */
  readonly type: string;
  /** Network, bridge or device name. */
  readonly source: string | undefined;
}

export interface Definition {
  readonly name: string;
  readonly uuid: string;
  readonly memoryBytes: number;
  readonly vcpus: number;
  readonly virtType: string;
  readonly arch: string | undefined;
  readonly machine: string | undefined;
  readonly emulator: string | undefined;
  /** The `<cpu>` element. */
  readonly cpuXml: string | undefined;
  readonly cpuMode: string | undefined;
  readonly disks: readonly DiskDefinition[];
  readonly interfaces: readonly InterfaceDefinition[];
  /** Devices of the host that the guest holds: `hostdev pci`, `filesystem virtiofs`, `shmem` … */
  readonly hostDevices: readonly string[];
  /** UEFI variables at the source. */
  readonly nvram: string | undefined;
  readonly emulatedTpm: boolean;
  readonly hugePages: boolean;
  readonly managedBy: string | null;
  /** Of our own element in its metadata. */
  readonly labels: readonly string[];
}

const UNIT_BYTES: Readonly<Record<string, number>> = {
  b: 1,
  bytes: 1,
  KB: 1e3,
  k: 1024,
  KiB: 1024,
  MB: 1e6,
  M: 1024 ** 2,
  MiB: 1024 ** 2,
  GB: 1e9,
  G: 1024 ** 3,
  GiB: 1024 ** 3,
  TB: 1e12,
  T: 1024 ** 4,
  TiB: 1024 ** 4,
};

function bytesOf(element: Element | undefined): number {
  return Number(textOf(element) ?? 0) * (UNIT_BYTES[attribute(element, 'unit') ?? 'KiB'] ?? 1024);
}

function locationOf(disk: Element, type: string): string | undefined {
  const source = descend(disk, 'source');
  switch (type) {
    case 'file':
      return attribute(source, 'file');
    case 'block':
      return attribute(source, 'dev');
    case 'dir':
      return attribute(source, 'dir');
    case 'volume':
      return source === undefined ? undefined : `${attribute(source, 'pool')}/${attribute(source, 'volume')}`;
    case 'network':
      return source === undefined ? undefined : `${attribute(source, 'protocol')}:${attribute(source, 'name') ?? ''}`;
    default:
      return attribute(source, 'path');
  }
}

function readDisk(disk: Element): DiskDefinition {
  const sourceType = attribute(disk, 'type') ?? 'file';
  const device = attribute(disk, 'device') ?? 'disk';
  const driver = descend(disk, 'driver');
  return {
    name: attribute(descend(disk, 'target'), 'dev') ?? '',
    device,
    sourceType,
    location: locationOf(disk, sourceType),
    format: attribute(driver, 'type') ?? 'raw',
    readOnly: descend(disk, 'readonly') !== undefined || device === 'cdrom',
    shareable: descend(disk, 'shareable') !== undefined,
    transient: descend(disk, 'transient') !== undefined,
    cache: attribute(driver, 'cache'),
    hasBacking: descend(disk, 'backingStore', 'source') !== undefined,
  };
}

function readInterface(element: Element): InterfaceDefinition {
  const type = attribute(element, 'type') ?? 'network';
  const source = descend(element, 'source');
  return { type, source: attribute(source, 'network') ?? attribute(source, 'bridge') ?? attribute(source, 'dev') };
}

/** Devices that live in the host and cannot follow the guest. */
function hostDevicesOf(devices: Element): string[] {
  const found = childElements(devices, 'hostdev').map((device) => `hostdev ${attribute(device, 'type') ?? ''}`.trim());
  for (const device of childElements(devices, 'interface')) {
    const type = attribute(device, 'type');
    if (type === 'hostdev' || type === 'vdpa') found.push(`interface ${type}`);
  }
  for (const device of childElements(devices, 'filesystem')) {
    found.push(`filesystem ${attribute(descend(device, 'driver'), 'type') ?? '9p'}`);
  }
  for (const device of childElements(devices, 'shmem')) found.push(`shmem ${attribute(device, 'name') ?? ''}`.trim());
  for (const device of childElements(devices, 'memory')) {
    if (attribute(device, 'model') === 'nvdimm') found.push('memory nvdimm');
  }
  return found;
}

/** Managers known by the namespace of their metadata, and by how they name domains. */
const MANAGERS: readonly [RegExp, string][] = [
  // Its drill undoes it, and nobody else: moved away it would stay for ever (drill/definition.ts).
  [/urn:lmas:drill:1/, 'a drill of LMAS'],
  // It lets it go, or takes it away (relocation/definition.ts).
  [/urn:lmas:relocation:1/, 'a relocation of LMAS'],
  [/openstack\.org\/xmlns\/libvirt\/nova/, 'nova'],
  [/ovirt\.org\/vm/, 'ovirt'],
  [/proxmox/i, 'proxmox'],
  [/clusterlabs\.org|pacemaker/i, 'pacemaker'],
  [/kubevirt\.io/, 'kubevirt'],
  [/opennebula/i, 'opennebula'],
  [/cloudstack/i, 'cloudstack'],
  [/harvesterhci|rancher\.io/, 'harvester'],
];

function managerOf(root: Element, name: string): string | null {
  const metadata = descend(root, 'metadata');
  const marks = metadata === undefined ? '' : serializeXml(metadata);
  for (const [pattern, manager] of MANAGERS) if (pattern.test(marks)) return manager;
  const sysinfo = descend(root, 'sysinfo');
  const product = sysinfo === undefined ? '' : serializeXml(sysinfo);
  if (/OpenStack (Nova|Compute)/.test(product)) return 'nova';
  if (/oVirt|RHEV/.test(product)) return 'ovirt';
  if (/^instance-[0-9a-f]{8}$/.test(name)) return 'nova';
  if (/^one-\d+$/.test(name)) return 'opennebula';
  if (/^i-\d+-\d+-VM$/.test(name)) return 'cloudstack';
  return null;
}

/** libvirt keeps whatever stands in `<metadata>` under a namespace of its own; `virsh metadata` writes it there. */
const LABELS_NAMESPACE = 'urn:lmas:labels:1';

function labelsOf(root: Element): string[] {
  const metadata = descend(root, 'metadata');
  const texts = Array.from(metadata?.getElementsByTagNameNS(LABELS_NAMESPACE, '*') ?? [])
    .filter(({ localName }) => localName === 'label')
    .map((element) => textOf(element) ?? '');
  return [...new Set(texts.filter((text) => text !== ''))];
}

/** @throws PluginError HYPERVISOR_FAULT for XML that is no domain */
export function readDefinition(xml: string): Definition {
  const { root } = parseXml(xml, 'domain');
  const devices = descend(root, 'devices') ?? root.ownerDocument?.createElement('devices') ?? root;
  const type = descend(root, 'os', 'type');
  const cpu = descend(root, 'cpu');
  const name = textOf(descend(root, 'name')) ?? '';
  return {
    name,
    uuid: textOf(descend(root, 'uuid')) ?? '',
    memoryBytes: bytesOf(descend(root, 'memory')),
    vcpus: Number(textOf(descend(root, 'vcpu')) ?? 1),
    virtType: attribute(root, 'type') ?? 'kvm',
    arch: attribute(type, 'arch'),
    machine: attribute(type, 'machine'),
    emulator: textOf(descend(devices, 'emulator')),
    cpuXml: cpu === undefined ? undefined : serializeXml(cpu),
    cpuMode: attribute(cpu, 'mode') ?? (cpu === undefined ? undefined : 'custom'),
    disks: childElements(devices, 'disk').map(readDisk),
    interfaces: childElements(devices, 'interface').map(readInterface),
    hostDevices: hostDevicesOf(devices),
    nvram: textOf(descend(root, 'os', 'nvram')) || undefined,
    emulatedTpm: childElements(devices, 'tpm').some((tpm) => attribute(descend(tpm, 'backend'), 'type') === 'emulator'),
    hugePages: descend(root, 'memoryBacking', 'hugepages') !== undefined,
    managedBy: managerOf(root, name),
    labels: labelsOf(root),
  };
}

/**
 * The path of every image of the domain's disks, also of those below an overlay and those that a disk is mirrored to; of a
 * volume of a pool only its name.
 */
export function imagesOf(xml: string): string[] {
  const { root } = parseXml(xml, 'domain');
  const devices = descend(root, 'devices');
  const disks = devices === undefined ? [] : childElements(devices, 'disk');
  return disks
    .flatMap((disk) => Array.from(disk.getElementsByTagName('source')))
    .flatMap((source) => attribute(source, 'file') ?? attribute(source, 'dev') ?? attribute(source, 'volume') ?? []);
}
