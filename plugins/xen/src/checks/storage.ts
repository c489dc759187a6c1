/** Where the disks go: seen by that host, with room, and in a state in which XAPI moves them. */
import { blocker, type Finding, warning } from '@lmas/plugin-api';
import { usesPoolMigrate } from '../migration/call.ts';
import type { PlannedDisk } from '../migration/plan.ts';
import { detoursOf, forbids } from '../migration/storage.ts';
import type { CheckContext } from './types.ts';

/** More than these made older releases refuse; newer ones move them, disk by disk. */
const MANY_SNAPSHOTS = 1;

export function checkStorage(context: CheckContext): Finding[] {
  const { plan } = context;
  const findings = [
    ...checkNames(context),
    ...plan.disks.flatMap((disk) => checkDisk(disk, context)),
    ...checkDetours(context),
  ];
  findings.push(...checkRoom(context));
  if (plan.vm.record.snapshots.length > MANY_SNAPSHOTS) {
    findings.push(
      warning(
        'MANY_SNAPSHOTS',
        `The VM has ${plan.vm.record.snapshots.length} snapshots; each disk of each crosses the link, and old releases refuse.`,
        'Remove the snapshots that nobody needs.',
      ),
    );
  }
  return findings;
}

/** A slip of the pen would send a disk to other storage than was meant. */
function checkNames({ plan, request }: CheckContext): Finding[] {
  const known = new Set(plan.disks.flatMap(({ device, name, record }) => [device, name, record.uuid]));
  const has = plan.disks.map(({ name }) => name).join(', ') || 'none';
  return Object.keys(request.diskMap).flatMap((name) =>
    known.has(name)
      ? []
      : [
          blocker(
            'DISK_UNKNOWN',
            `The disk map names ${name}, which the VM does not have.`,
            `Correct the disk map: its disks are ${has}.`,
          ),
        ],
  );
}

function checkDisk({ name, record, place, copied }: PlannedDisk, { plan, request }: CheckContext): Finding[] {
  const findings: Finding[] = [];
  // Of the guest's own disks. `VM.pool_migrate` minds only one with a cache at its host beside (xapi_vm_lifecycle.ml).
  const resets = place !== undefined && record.on_boot === 'reset';
  if (resets && (record.sm_config.caching === 'true' || !usesPoolMigrate(plan, request))) {
    findings.push(
      blocker(
        'DISK_RESETS',
        `Disk ${name} is reset at every boot; XAPI does not move it.`,
        'Set on-boot to persist for the move.',
      ),
    );
  }
  // It goes by references, so that between pools no storage is the same.
  const isElsewhere = copied || !plan.samePool;
  if (isElsewhere && record.cbt_enabled) {
    findings.push(
      blocker(
        'CHANGED_BLOCK_TRACKING',
        `Disk ${name} has changed-block tracking on.`,
        'Turn it off for the move (xe vdi-disable-cbt); backups start afresh afterwards.',
      ),
    );
  }
  if (isElsewhere && 'key_hash' in record.sm_config) {
    findings.push(
      blocker(
        'DISK_ENCRYPTED',
        `Disk ${name} is encrypted by its storage; XAPI does not move it.`,
        'Decrypt it. Only inside one pool may it stay as it is, on storage that both hosts see.',
      ),
    );
  }
  return findings;
}

/** The destination would send the source to another member, past the gateway. */
function checkDetours({ plan, request }: CheckContext): Finding[] {
  if (plan.host === undefined) return [];
  return detoursOf(plan.destinationPool, plan.host.ref, plan).flatMap((detour) => {
    if (detour.kind === 'redirected' && !request.tunnelled) return [];
    const finding = forbids(detour, request) ? blocker : warning;
    const code = detour.kind === 'not-attached' ? 'STORAGE_NOT_ATTACHED' : 'STORAGE_REDIRECTED';
    return [finding(code, detour.message, detour.remedy)];
  });
}

function checkRoom({ plan }: CheckContext): Finding[] {
  const needed = new Map<string, number>();
  for (const { copied, destinationSr, record } of plan.disks) {
    if (copied && destinationSr !== undefined) {
      needed.set(destinationSr, (needed.get(destinationSr) ?? 0) + record.physical_utilisation);
    }
  }
  return [...needed].flatMap(([ref, bytes]) => {
    const sr = plan.destinationPool.srs.get(ref);
    if (sr === undefined || sr.physical_size <= 0) return [];
    const free = sr.physical_size - sr.physical_utilisation;
    if (free >= bytes) return [];
    const gib = (size: number) => `${(size / 1024 ** 3).toFixed(1)} GiB`;
    return [
      blocker(
        'NOT_ENOUGH_STORAGE',
        `Storage "${sr.name_label}" has ${gib(free)} free, the disks need ${gib(bytes)}.`,
        'Make room there, or name other storage: for a disk in diskMap, for all in the option defaultStorage.',
      ),
    ];
  });
}
