/**
 * One PropertyCollector of one session: pages of results, filters, and updates by version.
 *
 *   acknowledged ──compute difference──▶ delivered ──(the client's next call names that version)──▶ acknowledged
 *
 * A client that lost an answer asks again with the version before, and gets the difference again. Of quickStats no changes are told.
 */
import { VimFault } from '../fault.ts';
import { box } from '../schema/check.ts';
import type { Schema } from '../schema/schema.ts';
import { type DataObject, isObject, type MoRef, type Value } from '../schema/value.ts';
import type { Objects } from './objects.ts';
import { type Selected, select } from './selection.ts';

/** What a client knows of one object under one filter: JSON of each path's boxed value. */
type Known = ReadonlyMap<string, ReadonlyMap<string, string>>;

interface Filter {
  readonly ref: MoRef;
  readonly spec: DataObject;
  readonly partial: boolean;
}

interface State {
  readonly version: string;
  /** By filter and object. */
  readonly known: ReadonlyMap<string, Known>;
}

const NOTHING: State = { version: '', known: new Map() };

export class Collector {
  readonly ref: MoRef;
  readonly #objects: Objects;
  readonly #filters = new Map<string, Filter>();
  readonly #pages = new Map<string, readonly DataObject[]>();
  readonly #closed = new AbortController();
  #waits = new AbortController();
  #acknowledged = NOTHING;
  #delivered = NOTHING;
  #number = 0;

  constructor(objects: Objects, ref: MoRef) {
    this.#objects = objects;
    this.ref = ref;
  }

  retrieve(specs: readonly DataObject[], maxObjects: number | undefined): DataObject | undefined {
    const contents = specs.flatMap((spec) => select(this.#objects, spec)).map(contentOf);
    return contents.length === 0 ? undefined : this.#page(contents, maxObjects);
  }

  /** @throws VimFault InvalidProperty, as vCenter answers a token that it does not know */
  next(token: string): DataObject | undefined {
    const rest = this.#pages.get(token);
    if (rest === undefined) throw new VimFault('InvalidProperty', { name: 'token' });
    this.#pages.delete(token);
    return this.#page(rest, Number(token.split('/')[1]));
  }

  cancelRetrieve(token: string): void {
    if (!this.#pages.delete(token)) throw new VimFault('InvalidProperty', { name: 'token' });
  }

  createFilter(ref: MoRef, spec: DataObject, partial: boolean): void {
    select(this.#objects, spec); // refuses what it would refuse later
    this.#filters.set(ref.value, { ref, spec, partial });
    this.#objects.touch();
  }

  /** @returns whether it was one of this collector */
  destroyFilter(ref: MoRef): boolean {
    return this.#filters.delete(ref.value);
  }

  cancelWaits(): void {
    this.#waits.abort(new VimFault('RequestCanceled', {}, 'The task was canceled by a user.'));
    this.#waits = new AbortController();
  }

  /** Ends every wait with `reason`. */
  close(reason: Error): void {
    this.#closed.abort(reason);
  }

  /**
   * @param maxWaitMs `undefined` waits for ever
   * @returns `undefined` when nothing changed in time
   * @throws VimFault InvalidCollectorVersion, RequestCanceled
   */
  async updates(
    version: string,
    options: { readonly maxWaitMs: number | undefined; readonly maxObjectUpdates: number | undefined },
    { signal }: { readonly signal: AbortSignal },
  ): Promise<DataObject | undefined> {
    const base = this.#baseOf(version);
    const ends = AbortSignal.any([signal, this.#closed.signal, this.#waits.signal]);
    const timeout = options.maxWaitMs === undefined ? undefined : AbortSignal.timeout(options.maxWaitMs);
    for (;;) {
      ends.throwIfAborted();
      const changed = AbortSignal.any([ends, ...(timeout === undefined ? [] : [timeout])]);
      const next = this.#objects.changed({ signal: changed }).catch(() => undefined);
      const update = this.#difference(base, options.maxObjectUpdates);
      if (update !== undefined) return update;
      if (timeout?.aborted === true || options.maxWaitMs === 0) return undefined;
      await next;
    }
  }

  #baseOf(version: string): State {
    if (version === '') this.#acknowledged = NOTHING;
    else if (version === this.#delivered.version) this.#acknowledged = this.#delivered;
    else if (version !== this.#acknowledged.version) throw new VimFault('InvalidCollectorVersion');
    return this.#acknowledged;
  }

  #page(contents: readonly DataObject[], maxObjects: number | undefined): DataObject {
    if (maxObjects === undefined || maxObjects <= 0 || contents.length <= maxObjects) return { objects: contents };
    this.#number += 1;
    const token = `${this.#number}/${maxObjects}`;
    this.#pages.set(token, contents.slice(maxObjects));
    return { token, objects: contents.slice(0, maxObjects) };
  }

  #difference(base: State, limit = Number.POSITIVE_INFINITY): DataObject | undefined {
    const known = new Map<string, Known>();
    const filterSet: DataObject[] = [];
    let room = limit <= 0 ? Number.POSITIVE_INFINITY : limit;
    let truncated = false;
    for (const filter of this.#filters.values()) {
      const before = base.known.get(filter.ref.value) ?? new Map<string, ReadonlyMap<string, string>>();
      const { updates, after } = compare(before, select(this.#objects, filter.spec), filter, this.#objects.schema);
      const told = updates.slice(0, room);
      truncated ||= told.length < updates.length;
      room -= told.length;
      known.set(filter.ref.value, keptBack(before, after, updates.slice(told.length)));
      if (told.length > 0) filterSet.push({ filter: filter.ref, objectSet: told.map(({ update }) => update) });
    }
    if (filterSet.length === 0) return undefined;
    this.#number += 1;
    this.#delivered = { version: String(this.#number), known };
    return { version: this.#delivered.version, filterSet, ...(truncated ? { truncated } : {}) };
  }
}

/** HostListSummaryQuickStats and VirtualMachineQuickStats in the API reference: "does not support notification, for scalability reasons". */
const isUnnoticed = (path: string): boolean => path.startsWith('summary.quickStats');

interface Update {
  readonly object: string;
  readonly update: DataObject;
}

function compare(
  before: Known,
  selected: readonly Selected[],
  filter: Filter,
  schema: Schema,
): { updates: Update[]; after: Map<string, ReadonlyMap<string, string>> } {
  const updates: Update[] = [];
  const after = new Map<string, ReadonlyMap<string, string>>();
  for (const { object, values } of selected) {
    const key = `${object.ref.type}:${object.ref.value}`;
    const old = before.get(key);
    const now = new Map([...values].map(([path, value]) => [path, JSON.stringify(value)] as const));
    after.set(key, now);
    const changeSet = changesOf(schema, old ?? new Map(), values, filter.partial && old !== undefined);
    if (old === undefined || changeSet.length > 0)
      updates.push({
        object: key,
        update: { kind: old === undefined ? 'enter' : 'modify', obj: object.ref, changeSet },
      });
  }
  for (const key of before.keys()) {
    if (after.has(key)) continue;
    const [type = '', value = ''] = key.split(':');
    updates.push({ object: key, update: { kind: 'leave', obj: { _typeName: 'ManagedObjectReference', type, value } } });
  }
  return { updates, after };
}

function changesOf(
  schema: Schema,
  old: ReadonlyMap<string, string>,
  values: ReadonlyMap<string, Value>,
  partial: boolean,
): DataObject[] {
  const changes: DataObject[] = [];
  for (const [path, value] of values) {
    const before = old.get(path);
    if (before === JSON.stringify(value) || (before !== undefined && isUnnoticed(path))) continue;
    const inner =
      partial && before !== undefined ? membersChanged(schema, path, JSON.parse(before) as Value, value) : undefined;
    changes.push(...(inner ?? [{ name: path, op: 'assign', val: value }]));
  }
  for (const path of old.keys()) if (!values.has(path)) changes.push({ name: path, op: 'indirectRemove' });
  return changes;
}

/** With partial updates only the members that changed are told; `undefined` where the value has to be told as a whole. */
function membersChanged(schema: Schema, path: string, before: Value, after: Value): DataObject[] | undefined {
  if (!isObject(before) || !isObject(after) || before._value !== undefined || before._typeName !== after._typeName)
    return undefined;
  if (Object.keys(before).some((member) => !(member in after))) return undefined;
  const changes: DataObject[] = [];
  for (const field of schema.type(String(after._typeName))?.fields ?? []) {
    const [old, value] = [before[field.name], after[field.name]];
    if (value === undefined || JSON.stringify(old) === JSON.stringify(value)) continue;
    const name = `${path}.${field.name}`;
    const inner = old === undefined || field.array ? undefined : membersChanged(schema, name, old, value);
    changes.push(...(inner ?? [{ name, op: 'assign', val: box(schema, field, value) }]));
  }
  return changes;
}

/** What was not told yet counts as not known yet. */
function keptBack(
  before: Known,
  after: ReadonlyMap<string, ReadonlyMap<string, string>>,
  untold: readonly Update[],
): Known {
  const known = new Map(after);
  for (const { object } of untold) {
    const old = before.get(object);
    if (old === undefined) known.delete(object);
    else known.set(object, old);
  }
  return known;
}

const contentOf = ({ object, values }: Selected): DataObject => ({
  obj: object.ref,
  propSet: [...values].map(([name, val]) => ({ name, val })),
});
