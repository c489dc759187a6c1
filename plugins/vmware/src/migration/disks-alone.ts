/**
 * A move of a VM's disks alone, to other datastores that its host sees: vSphere's Storage vMotion. The VM runs on one host all the while, so that
 * where it runs tells no ends apart. It counts as at the destination once all that was to move is where it was to go: vSphere goes over to
 * the copies in one step, and removes what they were made from.
 */
import { type MigrationRequest, PluginError } from '@lmas/plugin-api';
import type { Options } from '../client.ts';
import type { VmwareOptions } from '../config.ts';
import { decodeName, type Host } from '../inventory/places.ts';
import { isDisk, labelOf } from '../inventory/summary.ts';
import { type Row, readObjects } from '../properties.ts';
import { datastoreSchema, vmSchema } from '../records.ts';
import type { VmwareSession } from '../session.ts';
import { type Ref, sameRef } from '../wire/data-objects.ts';
import type { Gap } from './gap.ts';

type Request = MigrationRequest<VmwareOptions>;

const storageSchema = vmSchema.pick({
  datastore: true,
  'config.hardware.device': true,
  'config.files.vmPathName': true,
});
const namedSchema = datastoreSchema.pick({ name: true });

/** Says of a disk, or of all, in which datastore it is to be. */
export const namesStorage = ({ options, diskMap }: Request): boolean =>
  options.datastore !== undefined || Object.keys(diskMap).length > 0;

/** Only the disks tell whether the move is done: so it has to be said where they go, and the VM stays where it is. */
export function gapsOfDisksAlone(request: Request, sourceHost: Host | undefined, host: Host | undefined): Gap[] {
  if (request.disksAlone !== true) return [];
  const gaps: Gap[] = [];
  if (host !== undefined && sourceHost !== undefined && !sameRef(host.ref, sourceHost.ref)) {
    gaps.push({
      kind: 'site',
      message: `Inside one endpoint a VM's disks move alone, and ${host.record.name} is not the host that runs it.`,
      remedy: 'Leave destinationHost out; or register the vCenter once more, with such hosts, and move the VM there.',
    });
  }
  const { resourcePool, folder } = request.options;
  if (resourcePool !== undefined || folder !== undefined || Object.keys(request.networkMap).length > 0) {
    gaps.push({
      kind: 'site',
      message: 'Inside one endpoint a VM’s disks move alone: its networks, folder and resource pool stay.',
      remedy: 'Leave out networkMap, folder and resourcePool.',
    });
  }
  if (!namesStorage(request)) {
    gaps.push({
      kind: 'storage',
      message: 'Inside one endpoint a VM’s disks move alone, and nobody has said where to.',
      remedy: 'Name a datastore for each in diskMap, or one for all in the option datastore.',
    });
  }
  return gaps;
}

/** @throws PluginError VM_NOT_FOUND, and whatever the connection suffers */
export async function areDisksThere(session: VmwareSession, request: Request, options: Options): Promise<boolean> {
  const vm = await session.vm(request.vm.id, storageSchema, options);
  if (vm === null) throw new PluginError('VM_NOT_FOUND', `The vCenter has no VM ${request.vm.id} any more.`);
  const { datastore: refs, 'config.hardware.device': devices, 'config.files.vmPathName': path } = vm.record;
  const disks = devices.filter(isDisk);
  const isStranger = (label: string): boolean => !disks.some((disk) => labelOf(disk) === label);
  // What is not there can't be where it was to go.
  if (!namesStorage(request) || Object.keys(request.diskMap).some(isStranger)) return false;
  const datastores = await readObjects(session.client, refs, namedSchema, { ...options, complete: true });
  const isIn = (wanted: string | undefined, now: Ref | undefined): boolean =>
    wanted === undefined || datastores.some((datastore) => sameRef(datastore.ref, now) && isCalled(datastore, wanted));
  const { datastore: forAll } = request.options;
  const home = homeOf(path, datastores)?.ref;
  return (
    (home === undefined || isIn(forAll, home)) && // of a home that cannot be made out the disks tell
    disks.every((disk) => isIn(request.diskMap[labelOf(disk)] ?? forAll, disk.backing?.datastore))
  );
}

const isCalled = ({ ref, record }: Row<{ readonly name: string }>, wanted: string): boolean =>
  ref.value === wanted || decodeName(record.name) === wanted;

/** Where a VM's own files are: its .vmx is at `[datastore] directory/name.vmx`. */
export function homeOf<Datastore extends Row<{ readonly name: string }>>(
  vmPathName: string | undefined,
  datastores: readonly Datastore[],
): Datastore | undefined {
  return datastores.find(({ record: { name } }) =>
    [name, decodeName(name)].some((each) => vmPathName?.startsWith(`[${each}] `) === true),
  );
}
