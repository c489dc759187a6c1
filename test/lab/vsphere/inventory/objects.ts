/**
 * The managed objects of an endpoint, by reference: their properties as published, and a version for each property, for whoever
 * waits for updates. Every value is compared with its published type when it is written.
 */
import { EventEmitter, once } from 'node:events';
import { notFound } from '../fault.ts';
import { type Check, checkField } from '../schema/check.ts';
import type { Field, Schema } from '../schema/schema.ts';
import { type DataObject, isObject, type MoRef, moRef, type Value } from '../schema/value.ts';

export interface ManagedObject {
  readonly ref: MoRef;
  readonly properties: Map<string, Value>;
  /** When each property was last written. */
  readonly versions: Map<string, number>;
}

export class Objects {
  readonly schema: Schema;
  readonly #violations: string[];
  readonly #objects = new Map<string, ManagedObject>();
  readonly #changes = new EventEmitter().setMaxListeners(0);
  #numbers = new Map<string, number>();
  version = 1;

  constructor(schema: Schema, violations: string[]) {
    this.schema = schema;
    this.#violations = violations;
  }

  /** `vm-12`, `group-v13`: what vCenter's references look like; never one that was used before. */
  newRef(type: string, prefix: string): MoRef {
    const number = (this.#numbers.get(prefix) ?? 10) + 1;
    this.#numbers.set(prefix, number);
    return moRef(type, `${prefix}${number}`);
  }

  add(ref: MoRef, properties: DataObject = {}): MoRef {
    this.#objects.set(ref.value, { ref, properties: new Map(), versions: new Map() });
    this.set(ref, properties);
    return ref;
  }

  /** Writes properties of an object; `undefined` unsets one. */
  set(ref: MoRef, properties: DataObject): void {
    const object = this.need(ref);
    const types = this.schema.properties(ref.type);
    this.version += 1;
    for (const [name, value] of Object.entries(properties)) {
      const field = types?.get(name);
      if (field === undefined) throw new Error(`${ref.type} has no property ${name}`);
      if (value === undefined) object.properties.delete(name);
      else object.properties.set(name, this.#checked(field, value, `${ref.value}.${name}`));
      object.versions.set(name, this.version);
    }
    this.#changes.emit('change');
  }

  /** Changes members inside one property. */
  merge(ref: MoRef, property: string, members: DataObject): void {
    const before = this.need(ref).properties.get(property);
    this.set(ref, { [property]: { ...(isObject(before) ? before : {}), ...members } });
  }

  remove(ref: MoRef): void {
    this.#objects.delete(ref.value);
    this.version += 1;
    this.#changes.emit('change');
  }

  find(ref: MoRef): ManagedObject | undefined {
    const object = this.#objects.get(ref.value);
    return object?.ref.type === ref.type ? object : undefined;
  }

  /** @throws VimFault ManagedObjectNotFound */
  need(ref: MoRef): ManagedObject {
    const object = this.find(ref);
    if (object === undefined) throw notFound(ref);
    return object;
  }

  get(ref: MoRef, property: string): Value | undefined {
    return this.need(ref).properties.get(property);
  }

  /** A member inside, as `config.hardware.device`; `undefined` where something on the way is unset. */
  at(ref: MoRef, path: string): Value | undefined {
    const [property = '', ...rest] = path.split('.');
    return rest.reduce<Value | undefined>(
      (value, member) => (isObject(value) ? value[member] : undefined),
      this.get(ref, property),
    );
  }

  all(type: string): readonly ManagedObject[] {
    return [...this.#objects.values()].filter(({ ref }) => this.schema.managedDerives(ref.type, type));
  }

  byName(type: string, name: string): MoRef | undefined {
    return this.all(type).find(({ properties }) => properties.get('name') === name)?.ref;
  }

  /** Adds to, or takes from, a property that is a list of references. */
  link(ref: MoRef, property: string, target: MoRef): void {
    const list = (this.get(ref, property) ?? []) as readonly MoRef[];
    if (!list.some(({ value }) => value === target.value)) this.set(ref, { [property]: [...list, target] });
  }

  unlink(ref: MoRef, property: string, target: MoRef): void {
    const list = (this.get(ref, property) ?? []) as readonly MoRef[];
    this.set(ref, { [property]: list.filter(({ value }) => value !== target.value) });
  }

  /** Wakes whoever waits: something else than a property has changed. */
  touch(): void {
    this.#changes.emit('change');
  }

  /** Resolves at the next change. @throws AbortError */
  async changed({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    await once(this.#changes, 'change', { signal });
  }

  #checked(field: Field, value: Value, path: string): Value {
    const check: Check = { schema: this.schema, violations: this.#violations };
    return checkField(check, { ...field, optional: false }, value, path) ?? value;
  }
}
