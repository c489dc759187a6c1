/** Where each disk of a VM goes. Pure. */
import type { Datastore, Host } from '../inventory/places.ts';
import { findByNameOrId } from '../inventory/places.ts';
import { bytesOf, isDisk, labelOf } from '../inventory/summary.ts';
import type { Device } from '../records.ts';
import { type Ref, sameRef } from '../wire/data-objects.ts';
import type { Gap, Parts } from './plan.ts';

export interface PlannedDisk {
  readonly device: Device;
  /** As the vSphere Client shows it, and as `diskMap` names it: `Hard disk 1`. */
  readonly label: string;
  readonly sizeBytes: number;
  /** Where it goes; `undefined` when nobody could say. */
  readonly datastore: Datastore | undefined;
  /** Whether its bytes have to cross the link. */
  readonly copied: boolean;
}

export interface PlannedStorage {
  readonly disks: readonly PlannedDisk[];
  /** Of the VM's own files; `undefined`: they stay where they are. */
  readonly datastore: Ref | undefined;
  readonly gaps: readonly Gap[];
}

export function placeDisks(parts: Parts, host: Host | undefined): PlannedStorage {
  const { request, vm } = parts;
  const gaps: Gap[] = [];
  const disks = vm.record['config.hardware.device'].filter(isDisk).map((device): PlannedDisk => {
    const label = labelOf(device);
    const wanted = request.diskMap[label] ?? request.options.datastore;
    const datastore = host === undefined ? undefined : choose(parts, host, device.backing?.datastore, wanted);
    if (datastore === undefined && host !== undefined) gaps.push(gapOf(label, host, wanted));
    const copied = !isSame(parts, device.backing?.datastore, datastore);
    return { device, label, sizeBytes: bytesOf(device), datastore, copied };
  });
  const strangers = Object.keys(request.diskMap).filter((name) => !disks.some(({ label }) => label === name));
  for (const name of strangers) {
    gaps.push({
      kind: 'storage',
      message: `The VM has no disk ${name}.`,
      remedy: `It has ${disks.map(({ label }) => label).join(', ')}.`,
    });
  }
  const [firstDatastore] = vm.record.datastore;
  const home =
    disks[0]?.datastore ??
    (host === undefined ? undefined : choose(parts, host, firstDatastore, request.options.datastore));
  const stays =
    parts.sameVCenter &&
    disks.every(({ copied }) => !copied) &&
    isSame(parts, disks[0]?.device.backing?.datastore ?? firstDatastore, home);
  return { disks, datastore: stays ? undefined : home?.ref, gaps };
}

const isUsable = ({ record }: Datastore): boolean =>
  record['summary.accessible'] && (record['summary.maintenanceMode'] ?? 'normal') === 'normal';

function choose(parts: Parts, host: Host, now: Ref | undefined, wanted: string | undefined): Datastore | undefined {
  const seen = parts.destinationPlaces.datastores.filter(
    (datastore) => isUsable(datastore) && host.record.datastore.some((ref) => sameRef(ref, datastore.ref)),
  );
  if (wanted !== undefined) return findByNameOrId(seen, wanted, 'datastores');
  const shared = seen.find((datastore) => isSame(parts, now, datastore));
  return (
    shared ?? seen.toSorted((one, other) => other.record['summary.freeSpace'] - one.record['summary.freeSpace'])[0]
  );
}

/** Across vCenters one and the same datastore has two objects; its URL tells (a VMFS UUID, an NFS server and path). */
function isSame({ sameVCenter, sourcePlaces }: Parts, now: Ref | undefined, other: Datastore | undefined): boolean {
  if (sameVCenter) return sameRef(now, other?.ref);
  const url = sourcePlaces.datastores.find(({ ref }) => sameRef(ref, now))?.record['summary.url'];
  return url !== undefined && url !== '' && url === other?.record['summary.url'];
}

const gapOf = (label: string, host: Host, wanted: string | undefined): Gap => ({
  kind: 'storage',
  message: `${label} has no place: ${host.record.name} ${wanted === undefined ? 'sees no datastore that is accessible' : `does not see the datastore ${wanted}, or it is not accessible`}.`,
  remedy: 'Name a datastore that the host sees, in diskMap or in the option datastore.',
});
