/**
 * The tables of a pool, as XAPI keeps them: records by reference, with the field names and types of the published data model
 * (xapi-project/xen-api, ocaml/idl); and what has changed in them, for `event.from`.
 */
import { randomUUID } from 'node:crypto';

export const NULL_REF = 'OpaqueRef:NULL';

export type Scalar = string | number | boolean;
export type Field = Scalar | string[] | Record<string, string>;
export type XapiRecord = Record<string, Field>;
export const CLASS_NAMES = [
  'pool',
  'host',
  'host_metrics',
  'network',
  'PIF',
  'SR',
  'PBD',
  'VM',
  'VM_guest_metrics',
  'VBD',
  'VDI',
  'VIF',
  'VGPU',
  'GPU_group',
  'task',
] as const;
export type ClassName = (typeof CLASS_NAMES)[number];

/** Tables that tell when a record was written, for `event.from`. */
export class Database {
  readonly #tables = new Map<ClassName, Map<string, XapiRecord>>();
  readonly #listeners = new Set<() => void>();
  #changes: {
    readonly generation: number;
    readonly kind: ClassName;
    readonly ref: string;
    readonly operation: 'add' | 'mod' | 'del';
  }[] = [];
  generation = 1;

  table(kind: ClassName): Map<string, XapiRecord> {
    const table = this.#tables.get(kind) ?? new Map<string, XapiRecord>();
    this.#tables.set(kind, table);
    return table;
  }

  get(kind: ClassName, ref: string): XapiRecord | undefined {
    return this.table(kind).get(ref);
  }

  /** @throws when there is none: for records that the endpoint itself refers to. */
  need(kind: ClassName, ref: string): XapiRecord {
    const record = this.get(kind, ref);
    if (record === undefined) throw new Error(`no ${kind} ${ref}`);
    return record;
  }

  /** Under a reference that no other pool has either. */
  add(kind: ClassName, record: XapiRecord): string {
    const ref = `OpaqueRef:${randomUUID()}`;
    this.table(kind).set(ref, record);
    this.#changed(kind, ref, 'add');
    return ref;
  }

  update(kind: ClassName, ref: string, fields: XapiRecord): void {
    Object.assign(this.need(kind, ref), fields);
    this.#changed(kind, ref, 'mod');
  }

  remove(kind: ClassName, ref: string): void {
    if (this.table(kind).delete(ref)) this.#changed(kind, ref, 'del');
  }

  find(kind: ClassName, matches: (record: XapiRecord) => boolean): [string, XapiRecord] | undefined {
    return [...this.table(kind)].find(([, record]) => matches(record));
  }

  byUuid(kind: ClassName, uuid: string): string | undefined {
    return this.find(kind, (record) => record.uuid === uuid)?.[0];
  }

  byName(kind: ClassName, name: string): string {
    const found = this.find(kind, (record) => record.name_label === name);
    if (found === undefined) throw new Error(`no ${kind} is called ${name}`);
    return found[0];
  }

  changesSince(generation: number) {
    return this.#changes.filter((change) => change.generation > generation);
  }

  /** Nobody who asks for what has changed since is told of it. */
  forgetChanges(): void {
    this.#changes = [];
  }

  /** Resolves at the next change, or after `ms`. */
  async changed(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#listeners.delete(done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.#listeners.add(done);
    });
  }

  #changed(kind: ClassName, ref: string, operation: 'add' | 'mod' | 'del'): void {
    this.generation += 1;
    this.#changes.push({ generation: this.generation, kind, ref, operation });
    if (this.#changes.length > 5_000) this.#changes = this.#changes.slice(-2_500);
    for (const listener of [...this.#listeners]) listener();
  }
}
