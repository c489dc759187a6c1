/** Which objects a PropertyFilterSpec selects, and what it wants of each: object sets, traversals, named selections. */
import { VimFault } from '../fault.ts';
import { type DataObject, isMoRef, listOf, type MoRef, type Value } from '../schema/value.ts';
import { viewedNow } from './container-view.ts';
import type { ManagedObject, Objects } from './objects.ts';
import { valueAt } from './path.ts';

export interface Selected {
  readonly object: ManagedObject;
  /** Boxed values by path, in the order asked; unset ones are not there. */
  readonly values: ReadonlyMap<string, Value>;
}

/** @throws VimFault InvalidProperty, ManagedObjectNotFound, InvalidArgument (a selection that nobody defined) */
export function select(objects: Objects, spec: DataObject): Selected[] {
  const found = new Map<string, ManagedObject>();
  for (const objectSpec of listOf(spec.objectSet)) {
    const root = objects.find(objectSpec.obj as MoRef);
    if (root === undefined) {
      if (spec.reportMissingObjectsInResults === true) continue;
      objects.need(objectSpec.obj as MoRef);
      continue;
    }
    const selections = listOf(objectSpec.selectSet);
    const walk: Walk = { objects, named: namedIn(selections), found, seen: new Set() };
    if (objectSpec.skip !== true) found.set(root.ref.value, root);
    traverse(walk, root, selections);
  }
  return [...found.values()].flatMap((object) => {
    const paths = pathsFor(objects, spec, object.ref.type);
    return paths === undefined ? [] : [{ object, values: valuesOf(objects, object, paths) }];
  });
}

interface Walk {
  readonly objects: Objects;
  readonly named: ReadonlyMap<string, DataObject>;
  readonly found: Map<string, ManagedObject>;
  /** Object and traversal, so that recursive selections end. */
  readonly seen: Set<string>;
}

function traverse(walk: Walk, from: ManagedObject, selections: readonly DataObject[]): void {
  for (const selection of selections) {
    const spec = selection._typeName === 'TraversalSpec' ? selection : walk.named.get(String(selection.name));
    if (spec === undefined) throw new VimFault('InvalidArgument', { invalidProperty: `selectSet.${selection.name}` });
    if (!walk.objects.schema.managedDerives(from.ref.type, String(spec.type))) continue;
    const key = `${from.ref.value} ${spec.name ?? ''} ${spec.type} ${spec.path} ${JSON.stringify(spec.selectSet ?? [])}`;
    if (walk.seen.has(key)) continue;
    walk.seen.add(key);
    for (const ref of referencesAt(walk.objects, from, String(spec.path))) {
      const object = walk.objects.find(ref);
      if (object === undefined) continue;
      if (spec.skip !== true) walk.found.set(ref.value, object);
      traverse(walk, object, listOf(spec.selectSet));
    }
  }
}

function referencesAt(objects: Objects, object: ManagedObject, path: string): readonly MoRef[] {
  if (object.ref.type === 'ContainerView' && path === 'view') return viewedNow(objects, object);
  const value = valueAt(objects.schema, object, path);
  if (isMoRef(value)) return [value];
  const boxed = (value as DataObject | undefined)?._value;
  return listOf<Value>(boxed).filter(isMoRef);
}

function namedIn(selections: readonly DataObject[]): Map<string, DataObject> {
  const named = new Map<string, DataObject>();
  for (const spec of selections) {
    if (spec._typeName !== 'TraversalSpec') continue;
    if (typeof spec.name === 'string') named.set(spec.name, spec);
    for (const [name, inner] of namedIn(listOf(spec.selectSet))) named.set(name, inner);
  }
  return named;
}

/** `undefined`: nothing is wanted of such objects. */
function pathsFor({ schema }: Objects, spec: DataObject, type: string): readonly string[] | undefined {
  const wanted = listOf(spec.propSet).filter((one) => schema.managedDerives(type, String(one.type)));
  if (wanted.length === 0) return undefined;
  const all = wanted.some((one) => one.all === true) ? [...(schema.properties(type)?.keys() ?? [])] : [];
  return [...new Set([...all, ...wanted.flatMap((one) => listOf<string>(one.pathSet))])];
}

function valuesOf({ schema }: Objects, object: ManagedObject, paths: readonly string[]): Map<string, Value> {
  const values = new Map<string, Value>();
  for (const path of paths) {
    const value = valueAt(schema, object, path);
    if (value !== undefined) values.set(path, value);
  }
  return values;
}
