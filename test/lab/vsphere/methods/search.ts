/** SearchIndex: by UUID, and by the path in the inventory. Nothing found is no fault, and no answer. */
import type { Call, Methods } from '../endpoint.ts';
import { ROOT_FOLDER } from '../inventory/seed.ts';
import { listOf, type MoRef, textOf } from '../schema/value.ts';

function byUuid({ endpoint, parameters }: Call): MoRef[] {
  const { objects } = endpoint;
  if (parameters.datacenter !== undefined) objects.need(parameters.datacenter as MoRef);
  const uuid = String(parameters.uuid).toLowerCase();
  if (parameters.vmSearch !== true)
    return objects
      .all('HostSystem')
      .map(({ ref }) => ref)
      .filter((ref) => objects.at(ref, 'hardware.systemInfo.uuid') === uuid);
  const path = parameters.instanceUuid === true ? 'config.instanceUuid' : 'config.uuid';
  return objects
    .all('VirtualMachine')
    .map(({ ref }) => ref)
    .filter((ref) => objects.at(ref, path) === uuid);
}

/** Folders between a datacenter and its VMs are named: `DC/vm/production/shop`. */
function byPath({ endpoint, parameters }: Call): MoRef | undefined {
  const { objects } = endpoint;
  const names = String(parameters.inventoryPath).split('/').filter(Boolean).map(decodeURIComponent);
  let at: MoRef | undefined = ROOT_FOLDER;
  for (const name of names) {
    if (at === undefined) return undefined;
    const properties = objects.need(at).properties;
    const inside: MoRef[] = [
      'childEntity',
      'vmFolder',
      'hostFolder',
      'datastoreFolder',
      'networkFolder',
      'host',
      'resourcePool',
    ].flatMap((property) => listOf<MoRef>(properties.get(property)));
    at = inside.find((child) => textOf(objects.find(child)?.properties.get('name')) === name);
  }
  return at;
}

export const SEARCH_METHODS: Methods = {
  'SearchIndex.FindByUuid': (call) => byUuid(call)[0],
  'SearchIndex.FindAllByUuid': byUuid,
  'SearchIndex.FindByInventoryPath': byPath,
};
