/** The VM's disks: whether they can be copied while it runs, and fit where they go. */
import { blocker, type Finding, warning } from '@lmas/plugin-api';
import type { PlannedDisk } from '../migration/storage.ts';
import { refKey } from '../wire/data-objects.ts';
import type { CheckContext } from './types.ts';

const RAW = /^VirtualDisk(RawDiskMapping|PartitionedRawDisk|RawDisk)/;
const GIB = 1024 ** 3;

export function checkStorage({ plan }: CheckContext): Finding[] {
  const copied = plan.disks.filter((disk) => disk.copied);
  return [...copied.flatMap(checkDisk), ...checkSpace(copied, plan.vm.record['summary.storage.committed'])];
}

function checkDisk({ device, label }: PlannedDisk): Finding[] {
  const { _typeName: type = '', sharing, diskMode = '' } = device.backing ?? {};
  const findings: Finding[] = [];
  if (RAW.test(type)) {
    findings.push(
      blocker(
        'RAW_DISK',
        `${label} is a raw device mapping; it cannot be copied to another datastore while the VM runs.`,
        'Let the destination see the same LUN and datastore, or convert it to a virtual disk.',
      ),
    );
  }
  if (sharing === 'sharingMultiWriter') {
    findings.push(
      blocker(
        'SHARED_DISK',
        `${label} may be written to by several VMs; such a disk is not copied while they run.`,
        'Let the destination see its datastore, so that it stays there; or power all of these VMs off and move them with vSphere itself.',
      ),
    );
  }
  if (diskMode.startsWith('independent')) {
    findings.push(
      warning(
        'INDEPENDENT_DISK',
        `${label} is ${diskMode}.`,
        'vSphere’s own check says whether it may move; if not, make it dependent.',
      ),
    );
  }
  return findings;
}

/** Thin disks need less; what they have really taken is the least. */
function checkSpace(disks: readonly PlannedDisk[], committed = 0): Finding[] {
  const byDatastore = Map.groupBy(disks, ({ datastore }) => (datastore === undefined ? '' : refKey(datastore.ref)));
  const all = disks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  return [...byDatastore.values()].flatMap((group) => {
    const record = group[0]?.datastore?.record;
    const free = record?.['summary.freeSpace'] ?? Number.POSITIVE_INFINITY;
    const size = group.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const least = all === 0 ? 0 : Math.min(size, (committed * size) / all);
    const sizes = `${(free / GIB).toFixed(1)} GiB free for ${(size / GIB).toFixed(1)} GiB of disks`;
    if (free < least)
      return [
        blocker(
          'NO_SPACE',
          `The datastore ${record?.name} has ${sizes}.`,
          'Make room there, or name another one: for a disk in diskMap, for all in the option datastore.',
        ),
      ];
    if (free < size)
      return [
        warning(
          'SPACE_IS_SHORT',
          `The datastore ${record?.name} has ${sizes}.`,
          'Thin disks fit for now, and stop their guests when they can grow no more: make room there, or name another one in diskMap.',
        ),
      ];
    return [];
  });
}
