/** Disks: shared or copied, whether copying is safe, and whether there is a place for each copy. */
import { dirname } from 'node:path';
import { type Finding, pluginErrorCode } from '@lmas/plugin-api';
import { VERSION_8_0 } from '../client.ts';
import type { DiskDefinition } from '../definition/definition.ts';
import { type FileFacts, freeBytes, imageInfo, isSameFile, statFile, wholeSectors } from '../files.ts';
import type { CopiedDisk } from '../migration/plan.ts';
import { mayOverwrite, poolOf, userOf } from '../volumes.ts';
import { attempt, blocker, type CheckContext, warning } from './types.ts';

const SAFE_CACHES: readonly (string | undefined)[] = ['none', 'directsync'];

export async function checkDisks(context: CheckContext): Promise<Finding[]> {
  const { plan } = context;
  const findings = checkDiskNames(context);
  const copied = new Map(plan.copied.map((disk) => [disk.name, disk]));
  for (const disk of plan.definition.disks) {
    findings.push(...checkDevice(disk, context));
    const copy = copied.get(disk.name);
    const check = () => (copy === undefined ? checkShared(disk, context) : checkCopy(copy, disk, context));
    findings.push(...(await attempt(context, check, (reason) => diskNotChecked(disk.name, reason))));
  }
  if (plan.copied.length === 0) return findings;
  for (const check of [checkSpace, checkWrites]) findings.push(...(await attempt(context, () => check(context))));
  return findings;
}

/** A slip of the pen would leave a disk to be copied to where it was not meant to go. */
export function checkDiskNames({ plan, request }: CheckContext): Finding[] {
  const known = plan.definition.disks.map(({ name }) => name);
  const strangers = Object.keys(request.diskMap).filter((name) => !known.includes(name));
  const remedy = `Correct the disk map: its disks are ${known.join(', ') || 'none'}.`;
  return strangers.map((name) =>
    blocker('DISK_UNKNOWN', `The disk map names ${name}, which the VM does not have.`, remedy),
  );
}

/** Nobody knows what would be written over. */
export const diskNotChecked = (name: string, reason: string): Finding =>
  blocker(
    'DISK_NOT_CHECKED',
    `${name} could not be checked: ${reason}`,
    'Grant the login the rights to see the image at both ends (stat, qemu-img info), or map the disk elsewhere.',
  );

async function checkWrites({ ends, request, signal }: CheckContext): Promise<Finding[]> {
  if (!request.options.synchronousWrites) return [];
  for (const end of ['source', 'destination'] as const) {
    const client = await ends[end].query({ signal });
    if ((await client.libvirtVersion({ signal })) >= VERSION_8_0) continue;
    const message = `libvirt at the ${end} is older than 8.0: disks are mirrored in the background.`;
    return [
      warning(
        'BACKGROUND_MIRROR',
        message,
        'A guest that writes steadily may never get across: quiet it meanwhile, or update libvirt there.',
      ),
    ];
  }
  return [];
}

const DETACH = 'Detach it before the migration (virsh detach-disk), or leave the VM where it is.';

export function checkDevice(disk: DiskDefinition, { request }: CheckContext): Finding[] {
  const findings: Finding[] = [];
  if (disk.transient) {
    const message = `${disk.name} is transient: what the guest writes to it is gone when it ends, and cannot move.`;
    findings.push(blocker('DISK_TRANSIENT', message, DETACH));
  }
  if (disk.sourceType === 'vhostuser' || disk.sourceType === 'nvme' || disk.device === 'lun') {
    const message = `${disk.name} is bound to a device of this host (${disk.sourceType}, ${disk.device}).`;
    findings.push(blocker('DISK_HOST_BOUND', message, DETACH));
  }
  if (disk.sourceType === 'network' && request.diskMap[disk.name] !== undefined) {
    const message = `${disk.name} is on network storage, which is not mapped to another place.`;
    findings.push(blocker('DISK_NOT_MAPPABLE', message, 'Take it out of the disk map.'));
  }
  return findings;
}

/** A disk that both ends are said to see. */
export async function checkShared(disk: DiskDefinition, context: CheckContext): Promise<Finding[]> {
  const { request, ends } = context;
  if (disk.location === undefined || disk.sourceType === 'network' || disk.sourceType === 'volume') return [];
  const findings: Finding[] = [];
  const path = request.diskMap[disk.name] ?? disk.location;
  const there = await statFile(ends.destination.transport, path, context);
  const here = await statFile(ends.source.transport, disk.location, context);
  if (!disk.readOnly && here?.kind === 'file' && there?.kind === 'file' && here.inode !== there.inode) {
    const message = `${disk.name} is not copied, but ${path} at the destination is another file.`;
    findings.push(blocker('SHARED_DISK_DIFFERS', message, 'Correct sharedPaths, or let the disk be copied.'));
  }
  if (there === null) {
    findings.push(
      blocker(
        'SHARED_DISK_MISSING',
        `${disk.name} is not copied, but the destination does not have ${path}.`,
        disk.readOnly ? 'Eject it, or put it there.' : 'Mount the shared storage there, or let the disk be copied.',
      ),
    );
  }
  const flushed = disk.readOnly || SAFE_CACHES.includes(disk.cache) || request.options.allowUnsafe;
  if (!flushed && disk.cache !== undefined) {
    findings.push(
      warning(
        'DISK_CACHE',
        `${disk.name} is shared and has cache mode ${disk.cache}: libvirt may call the migration unsafe.`,
        'Set its cache to none, or set allowUnsafe if the storage keeps both hosts coherent.',
      ),
    );
  }
  return findings;
}

export async function checkCopy(copy: CopiedDisk, disk: DiskDefinition, context: CheckContext): Promise<Finding[]> {
  const { ends, request } = context;
  const findings: Finding[] = [];
  if (disk.shareable) {
    const message = `${copy.name} is shared with other VMs: a copy would part them.`;
    findings.push(
      blocker('DISK_SHAREABLE', message, 'Put it on storage that both hosts see, and list that in sharedPaths.'),
    );
  }
  if (disk.sourceType === 'volume' || disk.sourceType === 'dir') {
    const message = `${copy.name} is given by ${disk.sourceType}, not by path.`;
    findings.push(blocker('DISK_NOT_COPYABLE', message, 'Define it by its path, or keep it on shared storage.'));
    return findings;
  }
  if (copy.capacityBytes === null) {
    findings.push(
      warning(
        'DISK_SIZE_UNKNOWN',
        `libvirt does not tell the size of ${copy.name}.`,
        'See at the source why it cannot read the image (virsh domblkinfo), and that the destination has room for it.',
      ),
    );
  }
  const there = await statDestination(copy, context);
  if (there === 'no-directory') {
    const message = `The destination has no directory ${dirname(copy.to)} that we can see.`;
    findings.push(
      blocker('DESTINATION_DIRECTORY_MISSING', message, 'Make it there, map the disk elsewhere, or log in as root.'),
    );
    return findings;
  }
  if (there === null) {
    if (copy.to.startsWith('/dev/')) {
      const message = `The destination has no device ${copy.to}.`;
      findings.push(
        blocker('DESTINATION_DEVICE_MISSING', message, 'Make it there with the size of the disk, or map the disk.'),
      );
    }
    return findings;
  }
  const here = await statFile(ends.source.transport, copy.from, context);
  if (here !== null && isSameFile(here, there)) {
    findings.push(
      blocker(
        'DISK_IS_SHARED',
        `${copy.to} at the destination is the very file that ${copy.name} uses: copying it onto itself would destroy it.`,
        'List its directory in sharedPaths of both endpoints.',
      ),
    );
    return findings;
  }
  if (!mayOverwrite(request, copy.to)) {
    findings.push(
      blocker(
        'DESTINATION_DISK_EXISTS',
        `The destination has something at ${copy.to} already.`,
        'If it is the same storage, list it in sharedPaths; if it may be overwritten, set overwriteDisks; else map the disk elsewhere.',
      ),
    );
    return findings;
  }
  const user = await userOf(ends.destination, copy.to, request.vm.id, context);
  if (user !== null) {
    const message = `${copy.to} at the destination belongs to the VM ${user} there: ${copy.name} would be copied over its data.`;
    findings.push(
      blocker(
        'DESTINATION_DISK_IN_USE',
        message,
        'Map the disk elsewhere, or take it from that VM if it needs it no more.',
      ),
    );
    return findings;
  }
  return [...findings, ...(await checkSize(copy, there.kind === 'block' ? 'raw' : copy.format, context))];
}

async function statDestination(copy: CopiedDisk, context: CheckContext): Promise<FileFacts | null | 'no-directory'> {
  try {
    return await statFile(context.ends.destination.transport, copy.to, context);
  } catch (error) {
    if (pluginErrorCode(error) === 'INVALID_CONFIG') return 'no-directory';
    throw error;
  }
}

async function checkSize(copy: CopiedDisk, format: string, context: CheckContext): Promise<Finding[]> {
  const { capacityBytes } = await imageInfo(context.ends.destination.transport, copy.to, format, context);
  if (copy.capacityBytes === null || capacityBytes === wholeSectors(copy.capacityBytes)) return [];
  const message = `${copy.to} holds ${capacityBytes} bytes, ${copy.name} has ${copy.capacityBytes}.`;
  return [blocker('DESTINATION_DISK_SIZE', message, 'Make it exactly as large as the disk, or remove it.')];
}

export async function checkSpace(context: CheckContext): Promise<Finding[]> {
  const byDirectory = new Map<string, { used: number; promised: number; path: string }>();
  for (const copy of context.plan.copied) {
    if (copy.to.startsWith('/dev/') || (await statDestination(copy, context)) === 'no-directory') continue;
    const sum = byDirectory.get(dirname(copy.to)) ?? { used: 0, promised: 0, path: copy.to };
    const takenBytes = await takenAlready(copy, context);
    sum.used += Math.max(0, (copy.allocationBytes ?? copy.capacityBytes ?? 0) - takenBytes);
    sum.promised += Math.max(0, (copy.capacityBytes ?? 0) - takenBytes);
    byDirectory.set(dirname(copy.to), sum);
  }
  const findings: Finding[] = [];
  for (const [directory, { used, promised, path }] of byDirectory) {
    const available = await room(context, directory, path);
    if (used > available) {
      const message = `The copies need ${used} bytes in ${directory} at the destination, ${available} are free.`;
      findings.push(blocker('SPACE_SHORT', message, 'Free space there, or map the disks elsewhere.'));
    } else if (promised > available) {
      const message = `The disks may grow to ${promised} bytes in ${directory} at the destination, ${available} are free.`;
      findings.push(
        warning(
          'SPACE_OVERCOMMITTED',
          message,
          'Make room there, or map disks elsewhere: a guest whose disk cannot grow stands still.',
        ),
      );
    }
  }
  return findings;
}

/** What the copy is written over has its room already. */
async function takenAlready(copy: CopiedDisk, context: CheckContext): Promise<number> {
  const there = await statDestination(copy, context);
  if (there === null || there === 'no-directory' || there.kind !== 'file') return 0;
  if (!mayOverwrite(context.request, copy.to)) return 0;
  // One that cannot be read so is a finding of its own.
  const facts = await imageInfo(context.ends.destination.transport, copy.to, copy.format, context).catch(() => null);
  return facts?.allocationBytes ?? 0;
}

async function room(context: CheckContext, directory: string, path: string): Promise<number> {
  const { destination } = context.ends;
  const pool = await poolOf(destination, path, context);
  if (pool === null) return freeBytes(destination.transport, directory, context);
  const client = await destination.query(context);
  return Number((await client.call('storagePoolGetInfo', { pool }, context)).available);
}
