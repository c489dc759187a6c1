/** Where each disk of a VM goes, and its own files. Pure. */
import { allNamed, type Datastore, type Host, isUsable } from '../inventory/places.ts';
import { bytesOf, isDisk, labelOf } from '../inventory/summary.ts';
import type { Device } from '../records.ts';
import { type Ref, sameRef } from '../wire/data-objects.ts';
import { homeOf } from './disks-alone.ts';
import { findOrGap, type Gap } from './gap.ts';
import type { Parts } from './plan.ts';

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
    if (host === undefined) gaps.push(...nowhere(parts, request.diskMap[label]));
    const datastore =
      host === undefined
        ? undefined
        : choose(parts, host, device.backing?.datastore, wanted, gapOf(label, host, wanted), gaps);
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
  if (host === undefined) gaps.push(...nowhere(parts, request.options.datastore));
  const now = homeNow(parts);
  const home = host === undefined ? undefined : placeHome(parts, host, now, disks, gaps);
  const stays = parts.sameVCenter && disks.every(({ copied }) => !copied) && isSame(parts, now, home);
  return { disks, datastore: stays ? undefined : home?.ref, gaps };
}

/** Whether a host would see it nobody can say without one; but one that the destination has nowhere is none. */
function nowhere({ destinationPlaces }: Parts, wanted: string | undefined): Gap[] {
  if (wanted === undefined || allNamed(destinationPlaces.datastores, wanted).length > 0) return [];
  return [
    {
      kind: 'storage',
      message: `The destination has no datastore ${wanted}.`,
      remedy: 'Name one that is there, in diskMap or in the option datastore.',
    },
  ];
}

function homeNow({ vm, sourcePlaces }: Parts): Ref | undefined {
  const used = sourcePlaces.datastores.filter(({ ref }) => vm.record.datastore.some((each) => sameRef(each, ref)));
  return homeOf(vm.record['config.files.vmPathName'], used)?.ref ?? vm.record.datastore[0];
}

/** Where the option says, else where they are; beside the first disk where the host does not see that. */
function placeHome(
  parts: Parts,
  host: Host,
  now: Ref | undefined,
  disks: readonly PlannedDisk[],
  gaps: Gap[],
): Datastore | undefined {
  const wanted = parts.request.options.datastore;
  const [first] = disks;
  if (wanted === undefined && parts.request.disksAlone === true) return present(parts, now);
  const stays = seenBy(parts, host).find((datastore) => isSame(parts, now, datastore));
  if (wanted === undefined && first !== undefined) return stays ?? first.datastore;
  // What has no place for the same reason as a disk is told once.
  const isTold = disks.some(({ datastore }) => datastore === undefined);
  return choose(parts, host, now, wanted, gapOf('The VM', host, wanted), isTold ? [] : gaps);
}

/** What nobody has named stays, also in a datastore that is on its way into maintenance. */
const present = ({ sourcePlaces }: Parts, now: Ref | undefined): Datastore | undefined =>
  sourcePlaces.datastores.find(({ ref }) => sameRef(ref, now));

const seenBy = ({ destinationPlaces }: Parts, host: Host): readonly Datastore[] =>
  destinationPlaces.datastores.filter(
    (datastore) => isUsable(datastore) && host.record.datastore.some((ref) => sameRef(ref, datastore.ref)),
  );

function choose(
  parts: Parts,
  host: Host,
  now: Ref | undefined,
  wanted: string | undefined,
  gap: Gap,
  gaps: Gap[],
): Datastore | undefined {
  if (wanted === undefined && parts.request.disksAlone === true) return present(parts, now);
  const seen = seenBy(parts, host);
  if (wanted !== undefined) return findOrGap(seen, wanted, gap, gaps);
  const shared = seen.find((datastore) => isSame(parts, now, datastore));
  const [best] = seen.toSorted((one, other) => other.record['summary.freeSpace'] - one.record['summary.freeSpace']);
  if (best === undefined) gaps.push(gap);
  return shared ?? best;
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
