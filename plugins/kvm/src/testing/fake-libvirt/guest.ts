/** An imaginary guest, as one host has it. */
import { uuidBytes } from '../../client.ts';
import type { Domain } from '../../rpc/procedures.ts';
import type { Backup } from './backups.ts';
import type { FakeConnection } from './connection.ts';

export interface Guest {
  name: string;
  uuid: string;
  id: number;
  state: number;
  reason: number;
  persistent: boolean;
  autostart: boolean;
  job: {
    kind: 'out' | 'in';
    owner: FakeConnection;
    phase: 'begun' | 'performing' | 'performed' | 'finishing' | 'broken';
  } | null;
  /** Somebody else's job (OPERATION.*), which keeps migrations out and must never be aborted. */
  foreignJob: number | null;
  /** libvirt's checkpoints, without which an undefine is refused. */
  checkpoints: number;
  /** Its memory was saved when it was ended. */
  hasManagedSave: boolean;
  /** A backup in pull mode. */
  backup: Backup | null;
  /** As it was made here; a guest that was only added is described by what the tests need. */
  xml: string | null;
  /** What the measurement of its dirty rate, begun by somebody, has come to; null: nobody has begun one. */
  dirtyRate: { mibPerSec: number; isOver: boolean } | null;
  /** A part of its memory is at the other end, or of the other one's here. */
  postCopy: boolean;
  /** Which moment of the guest's life this copy holds: a resumption of an older one than has run is a violation. */
  life: number;
}

/** How libvirt refers to it. */
export function domainOf({ name, uuid, id }: Guest): Domain {
  return { name, uuid: uuidBytes(uuid), id };
}

export function guestXml({ name, uuid, xml }: Guest, files: string): string {
  if (xml !== null) return xml;
  return `<domain type='kvm'><name>${name}</name><uuid>${uuid}</uuid><memory unit='KiB'>1048576</memory><vcpu>2</vcpu>
    <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>
    <devices><disk type='file' device='disk'><driver name='qemu' type='raw' cache='none'/>
    <source file='${files}/vda.img'/><target dev='vda' bus='virtio'/></disk>
    <interface type='network'><source network='default'/></interface></devices></domain>`;
}
