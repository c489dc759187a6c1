/** The disks of a drill: whether each can be copied, and whether there is room for the copies and for what a backup keeps. */
import { dirname } from 'node:path';
import { type Finding, pluginErrorCode } from '@lmas/plugin-api';
import { attempt, blocker, warning } from '../checks/types.ts';
import type { DiskDefinition } from '../definition/definition.ts';
import { attribute, childElements, descend, parseXml } from '../definition/xml.ts';
import { freeBytes, statFile } from '../files.ts';
import type { KvmSession } from '../session.ts';
import type { DrillCheckContext } from './check.ts';
import type { PlannedDisk } from './plan.ts';
import { SPARE_BYTES, scratchBytes, scratchRoom } from './scratch.ts';

export async function checkDrillDisks(context: DrillCheckContext): Promise<Finding[]> {
  const { plan } = context;
  const findings: Finding[] = [];
  if (plan.disks.length === 0) {
    const message = 'The VM has no disk with anything in it, from which a copy could start.';
    findings.push(blocker('DRILL_NO_DISK', message, 'Leave this VM out of the drill.'));
  }
  const encrypted = encryptedDisks(plan.xml);
  const planned = new Map(plan.disks.map((disk) => [disk.name, disk]));
  for (const disk of plan.definition.disks) {
    findings.push(...checkKind(disk, encrypted.has(disk.name)));
    const copy = planned.get(disk.name);
    if (copy !== undefined) findings.push(...(await attempt(context, () => checkCopy(copy, disk, context))));
  }
  for (const check of [checkRoom, checkScratch]) findings.push(...(await attempt(context, () => check(context))));
  return findings;
}

/** By QEMU, which reads and writes them with a secret. */
export function encryptedDisks(xml: string): Set<string> {
  const devices = descend(parseXml(xml, 'domain').root, 'devices');
  const disks = devices === undefined ? [] : childElements(devices, 'disk');
  return new Set(
    disks
      .filter((disk) => descend(disk, 'encryption') ?? descend(disk, 'source', 'encryption'))
      .map((disk) => attribute(descend(disk, 'target'), 'dev') ?? ''),
  );
}

function checkKind(disk: DiskDefinition, encrypted: boolean): Finding[] {
  const { name, sourceType, device, location } = disk;
  if (location === undefined) return [];
  const findings: Finding[] = [];
  const add = (...[code, message, remedy]: Parameters<typeof blocker>): void => {
    findings.push(blocker(code, message, remedy));
  };
  if (disk.transient)
    add('DISK_TRANSIENT', `${name} is transient.`, 'Leave this VM out of the drill, or detach the disk.');
  if (disk.shareable) {
    const message = `${name} is shared with other VMs, whose writes no backup of this one holds back.`;
    add('DISK_SHAREABLE', message, 'Leave this VM out of the drill.');
  }
  if (encrypted) {
    const message = `${name} is encrypted by QEMU: its copy would lie at the destination in the clear.`;
    add('DISK_ENCRYPTED', message, 'Leave this VM out of the drill.');
  }
  if (sourceType === 'vhostuser' || sourceType === 'nvme' || sourceType === 'dir' || device === 'lun') {
    const message = `${name} is bound to a device or a directory of this host (${sourceType}, ${device}).`;
    add('DISK_HOST_BOUND', message, 'Leave this VM out of the drill, or detach the disk.');
  }
  return findings;
}

async function checkCopy(copy: PlannedDisk, disk: DiskDefinition, context: DrillCheckContext): Promise<Finding[]> {
  const { ends } = context;
  if (copy.via === 'file' && disk.sourceType !== 'file' && disk.sourceType !== 'block') {
    const message = `${copy.name} cannot be written, and is no file or device of the source (${disk.sourceType}).`;
    return [blocker('DISK_NOT_COPYABLE', message, 'Leave this VM out of the drill, or detach the disk.')];
  }
  if (copy.capacityBytes === null) {
    const message = `libvirt does not tell the size of ${copy.name}, which its copy must have to the byte.`;
    return [
      blocker('DISK_SIZE_UNKNOWN', message, 'See at the source why libvirt cannot read the image (virsh domblkinfo).'),
    ];
  }
  if (!(await isDirectory(ends.destination, dirname(copy.to), context))) {
    const message = `The destination has no directory ${dirname(copy.to)} that we can see.`;
    return [
      blocker('DESTINATION_DIRECTORY_MISSING', message, 'Make it there, set drill.directory, or log in as root.'),
    ];
  }
  if (copy.scratch !== undefined && !(await isDirectory(ends.source, dirname(copy.scratch), context))) {
    const message = `The source has no directory ${dirname(copy.scratch)} for what a backup keeps of ${copy.name}.`;
    return [blocker('SCRATCH_DIRECTORY_MISSING', message, 'Make it there, or set drill.scratchDirectory.')];
  }
  return [];
}

async function isDirectory(session: KvmSession, path: string, { signal }: DrillCheckContext): Promise<boolean> {
  try {
    return (await statFile(session.transport, path, { signal }))?.kind === 'other';
  } catch (error) {
    if (pluginErrorCode(error) === 'INVALID_CONFIG') return false;
    throw error;
  }
}

/** Sums up what each directory has to take. */
function byDirectory(disks: readonly PlannedDisk[], placeOf: (disk: PlannedDisk) => string | undefined) {
  const sums = new Map<string, { used: number; promised: number }>();
  for (const disk of disks) {
    const place = placeOf(disk);
    if (place === undefined) continue;
    const sum = sums.get(dirname(place)) ?? { used: 0, promised: 0 };
    sums.set(dirname(place), { used: sum.used + disk.heldBytes, promised: sum.promised + (disk.capacityBytes ?? 0) });
  }
  return sums;
}

async function checkRoom({ ends, plan, signal }: DrillCheckContext): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const [directory, { used, promised }] of byDirectory(plan.disks, ({ to }) => to)) {
    const free = await freeBytes(ends.destination.transport, directory, { signal });
    if (used > free) {
      const message = `The copies need ${used} bytes in ${directory} at the destination, ${free} are free.`;
      findings.push(blocker('SPACE_SHORT', message, 'Free space there, or set drill.directory.'));
    } else if (promised > free) {
      const message = `The copies may grow to ${promised} bytes in ${directory} at the destination, ${free} are free.`;
      findings.push(
        warning(
          'SPACE_OVERCOMMITTED',
          message,
          'Make room there, or set drill.directory: a copy whose disk cannot grow stands still.',
        ),
      );
    }
  }
  return findings;
}

async function checkScratch({ ends, plan, signal }: DrillCheckContext): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const [directory, needed] of scratchNeeds(plan.disks)) {
    const free = await scratchRoom(ends.source.transport, directory, { signal });
    if (free >= needed) continue;
    const message = `While the disks are copied, up to ${needed} bytes are needed in ${directory} at the source for what the VM overwrites; ${Math.max(0, free)} are free and not set aside.`;
    findings.push(blocker('SCRATCH_SPACE_SHORT', message, 'Free space there, or set drill.scratchDirectory.'));
  }
  return findings;
}

/** By directory. */
export function scratchNeeds(disks: readonly PlannedDisk[]): ReadonlyMap<string, number> {
  const needs = new Map<string, number>();
  for (const { scratch, heldBytes } of disks) {
    if (scratch === undefined) continue;
    needs.set(dirname(scratch), (needs.get(dirname(scratch)) ?? SPARE_BYTES) + scratchBytes(heldBytes));
  }
  return needs;
}
