// The libvirt XML of a guest of the lab: emulated (TCG), a serial line on a Unix socket, an RTL8139 for the heartbeats, IDE disks.

import { IMAGES_DIR, SHARED_DIR, type SiteName } from './names.ts';

export interface VmDisk {
  /** `local`: in the site's own images directory, to be copied by a migration. `shared`: the same file at both sites. */
  kind: 'local' | 'shared';
  format: 'raw' | 'qcow2';
  sizeMib: number;
}

/** `lab`: the same bridge name at both hosts. `site`: br-a here and br-b there, which a migration must map. */
export type VmNetwork = 'lab' | 'site' | 'none';

export interface VmOptions {
  name: string;
  /** Where it is defined; `a` unless told. */
  site?: SiteName;
  uuid?: string;
  /** All memory of the VM; 256 unless told. */
  memoryMib?: number;
  /** Memory the guest fills and checks; all but 32 MiB unless told. */
  fillMib?: number;
  /** The part of it that is written to again and again; all unless told. */
  workingSetMib?: number;
  /** Pages of 4 KiB rewritten per second. */
  dirtyPagesPerSec?: number;
  zeroPercent?: number;
  compressiblePercent?: number;
  /** Pages of which a rewrite changes 64 bytes only. */
  littleChangedPercent?: number;
  /** At most two; the guest writes to the first. */
  disks?: VmDisk[];
  /** How much of the first disk the guest writes to, and how fast. */
  diskUseMib?: number;
  diskSectorsPerSec?: number;
  network?: VmNetwork;
}

export interface VmIdentity {
  uuid: string;
  seed: number;
}

export function diskPath(name: string, disk: VmDisk, position: number): string {
  const directory = disk.kind === 'shared' ? SHARED_DIR : IMAGES_DIR;
  return `${directory}/${name}-${position}.${disk.format === 'raw' ? 'img' : 'qcow2'}`;
}

/** Where the guest's serial line ends, inside the host. */
export const serialPath = (name: string): string => `/run/lab/serial/${name}.sock`;

export function domainXml(options: VmOptions, identity: VmIdentity): string {
  const memoryMib = options.memoryMib ?? 256;
  const bridge = options.network === 'site' ? `br-${options.site ?? 'a'}` : 'br-lab';
  const nic = `<interface type='bridge'><mac address='${macOf(identity.uuid)}'/><source bridge='${bridge}'/><model type='rtl8139'/><rom enabled='no'/></interface>`;
  return `<domain type='qemu'>
  <name>${options.name}</name>
  <uuid>${identity.uuid}</uuid>
  <memory unit='MiB'>${memoryMib}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>/usr/local/share/lab/guest.elf</kernel>
    <cmdline>${commandLine(options, identity, memoryMib)}</cmdline>
  </os>
  <features><acpi/></features>
  <clock offset='utc'><timer name='hpet' present='no'/></clock>
  <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>
  <devices>
    <emulator>/usr/local/bin/lab-qemu</emulator>
    ${(options.disks ?? []).map((disk, position) => diskXml(options.name, disk, position)).join('\n    ')}
    ${options.network === 'none' ? '' : nic}
    <serial type='unix'><source mode='bind' path='${serialPath(options.name)}'/><target port='0'/></serial>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <video><model type='none'/></video>
  </devices>
</domain>
`;
}

function commandLine(options: VmOptions, identity: VmIdentity, memoryMib: number): string {
  const firstDisk = options.disks?.[0];
  return Object.entries({
    uuid: identity.uuid,
    seed: identity.seed,
    fill: options.fillMib ?? Math.max(1, memoryMib - 32),
    wss: options.workingSetMib ?? 0,
    dirty: options.dirtyPagesPerSec ?? 0,
    zero: options.zeroPercent ?? 0,
    repeat: options.compressiblePercent ?? 0,
    little: options.littleChangedPercent ?? 0,
    disk: firstDisk ? (options.diskUseMib ?? firstDisk.sizeMib) : 0,
    sectors: options.diskSectorsPerSec ?? 0,
  })
    .map(([name, value]) => `${name}=${value}`)
    .join(' ');
}

function diskXml(name: string, disk: VmDisk, position: number): string {
  const path = diskPath(name, disk, position);
  return `<disk type='file' device='disk'><driver name='qemu' type='${disk.format}' cache='none'/><source file='${path}'/><target dev='hd${'ab'[position]}' bus='ide'/></disk>`;
}

/** Of the VM's one NIC: QEMU's own prefix, the rest from the UUID. */
export function macOf(uuid: string): string {
  const digits = uuid.replaceAll('-', '').slice(-6);
  return `52:54:00:${digits.slice(0, 2)}:${digits.slice(2, 4)}:${digits.slice(4, 6)}`;
}
