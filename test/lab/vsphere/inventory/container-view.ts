/**
 * What a ContainerView shows: everything of some types below an entity. As at a real vCenter it follows the inventory: what comes later is in
 * it, too, for whoever selects through it.
 */
import { isObject, listOf, type MoRef, type Value } from '../schema/value.ts';
import type { ManagedObject, Objects } from './objects.ts';

const CHILD_PROPERTIES = [
  ...['childEntity', 'vmFolder', 'hostFolder', 'datastoreFolder', 'networkFolder'],
  ...['host', 'resourcePool', 'datastore', 'network', 'vm', 'portgroup'],
] as const;

const childrenOf = (properties: ReadonlyMap<string, Value> | undefined): MoRef[] =>
  CHILD_PROPERTIES.flatMap((property) => listOf<Value>(properties?.get(property))).filter(
    (value): value is MoRef => isObject(value) && value._typeName === 'ManagedObjectReference',
  );

export interface Contents {
  readonly container: MoRef;
  /** Every one where there are none. */
  readonly types: readonly string[];
  readonly recursive: boolean;
}

export function contentsOf(objects: Objects, { container, types, recursive }: Contents): MoRef[] {
  const seen = new Map<string, MoRef>();
  const visit = (ref: MoRef): void => {
    for (const child of childrenOf(objects.find(ref)?.properties)) {
      if (seen.has(child.value)) continue;
      seen.set(child.value, child);
      if (recursive) visit(child);
    }
  };
  visit(container);
  return [...seen.values()].filter(
    ({ type }) => types.length === 0 || types.some((wanted) => objects.schema.managedDerives(type, wanted)),
  );
}

/** Of a view that was made before. */
export const viewedNow = (objects: Objects, { properties }: ManagedObject): MoRef[] =>
  contentsOf(objects, {
    container: properties.get('container') as MoRef,
    types: listOf<string>(properties.get('type')),
    recursive: properties.get('recursive') === true,
  });
