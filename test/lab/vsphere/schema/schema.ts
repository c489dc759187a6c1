/**
 * The published types of vim25 as a table: data types with their fields in order, enumerations, methods with parameters and result,
 * properties of managed objects. Read when a test starts from the govmomi library that Debian installs (of its code nothing is kept
 * here), plus the few facts in `additions.ts` that are younger than that library.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ENUMERATED_STRINGS, NEWER_ENUM_VALUES, NEWER_FIELDS } from './additions.ts';
import { type GoDefinitions, type GoField, type GoStruct, readGo } from './go-source.ts';

export const LIBRARY = '/usr/share/gocode/src/github.com/vmware/govmomi';

export interface Field {
  readonly name: string;
  /** A primitive of XML Schema (`int`), `anyType`, an enumeration, or a data type. */
  readonly type: string;
  readonly array: boolean;
  readonly optional: boolean;
  /** The release that brought it, where an earlier one is tried as well. */
  readonly since?: string;
}

export interface DataType {
  readonly name: string;
  readonly base: string | undefined;
  /** Inherited ones first: the order of the elements in XML. */
  readonly fields: readonly Field[];
}

export interface Method {
  /** Without `_this`. */
  readonly parameters: readonly Field[];
  readonly result: Field | undefined;
}

const PRIMITIVES: Readonly<Record<string, string>> = {
  ...{
    bool: 'boolean',
    byte: 'byte',
    int16: 'short',
    int32: 'int',
    int64: 'long',
    float32: 'float',
    float64: 'double',
  },
  ...{ string: 'string', 'time.Time': 'dateTime', AnyType: 'anyType', 'interface{}': 'anyType' },
};
const PRIMITIVE_NAMES: ReadonlySet<string> = new Set([...Object.values(PRIMITIVES), 'base64Binary', 'anyURI']);

export class Schema {
  readonly #types = new Map<string, DataType>();
  readonly #enums: ReadonlyMap<string, ReadonlySet<string>>;
  readonly #methods = new Map<string, Method>();
  readonly #properties = new Map<string, ReadonlyMap<string, Field>>();
  readonly #managedBases = new Map<string, readonly string[]>();

  /** @param types text of vim25/types, @param managed text of vim25/mo */
  constructor(types: string, managed: string) {
    const go = readGo(types);
    const enums = new Map([...go.enums].map(([name, values]) => [name, new Set(values)] as const));
    for (const { type, value } of NEWER_ENUM_VALUES) enums.get(type)?.add(value);
    this.#enums = enums;
    for (const name of go.structs.keys()) this.#addType(go, name);
    for (const [method, request] of go.aliases) this.#addMethod(go, method, request);
    for (const [method, struct] of go.structs)
      if (struct.fields[0]?.name === '_this') this.#addMethod(go, method, method);
    const objects = readGo(managed);
    for (const [name, struct] of objects.structs) {
      this.#managedBases.set(name, struct.embedded);
      const properties = propertiesOf(objects, struct, (type) => go.structs.has(type));
      this.#properties.set(name, new Map(properties.map((field) => [field.name, field])));
    }
  }

  /** @throws when the package golang-github-vmware-govmomi-dev is not installed */
  static read(library = LIBRARY): Schema {
    const text = (path: string) => readFileSync(join(library, 'vim25', path), 'utf8');
    return new Schema(`${text('types/types.go')}\n${text('types/enum.go')}`, text('mo/mo.go'));
  }

  type(name: string): DataType | undefined {
    return this.#types.get(name);
  }

  enumValues(name: string): ReadonlySet<string> | undefined {
    return this.#enums.get(name);
  }

  isPrimitive(name: string): boolean {
    return PRIMITIVE_NAMES.has(name);
  }

  method(name: string): Method | undefined {
    return this.#methods.get(name);
  }

  /** Properties of a managed object's type, inherited ones too; `undefined` for a type that is not published. */
  properties(managedType: string): ReadonlyMap<string, Field> | undefined {
    return this.#properties.get(managedType);
  }

  derives(name: string, base: string): boolean {
    for (let type = this.#types.get(name); type !== undefined; type = this.#types.get(type.base ?? ''))
      if (type.name === base) return true;
    return false;
  }

  managedDerives(name: string, base: string): boolean {
    return name === base || (this.#managedBases.get(name) ?? []).some((parent) => this.managedDerives(parent, base));
  }

  #addType(go: GoDefinitions, name: string): DataType {
    const known = this.#types.get(name);
    if (known !== undefined) return known;
    const struct = go.structs.get(name);
    if (struct === undefined) throw new Error(`${name} is embedded and not defined`);
    const base = struct.embedded[0];
    const inherited = base === undefined ? [] : this.#addType(go, base).fields;
    const own = [
      ...struct.fields.map((field) => fieldOf(field, (type) => go.structs.has(type))),
      ...(NEWER_FIELDS[name] ?? []),
    ];
    const fields = own.map((field) => ({ ...field, type: ENUMERATED_STRINGS[`${name}.${field.name}`] ?? field.type }));
    const type = { name, base, fields: [...inherited, ...fields] };
    this.#types.set(name, type);
    return type;
  }

  #addMethod(go: GoDefinitions, method: string, request: string): void {
    const response = this.#types.get(`${method}Response`);
    const fields = this.#types.get(request)?.fields;
    if (response === undefined || fields === undefined || !go.structs.has(request)) return;
    const parameters = fields
      .filter(({ name }) => name !== '_this')
      .map((field) => ({ ...field, type: ENUMERATED_STRINGS[`${method}.${field.name}`] ?? field.type }));
    this.#methods.set(method, { parameters, result: response.fields.find(({ name }) => name === 'returnval') });
  }
}

function propertiesOf(objects: GoDefinitions, struct: GoStruct, isType: (name: string) => boolean): Field[] {
  const inherited = struct.embedded.flatMap((base) => {
    const parent = objects.structs.get(base);
    return parent === undefined ? [] : propertiesOf(objects, parent, isType);
  });
  return [...inherited, ...struct.fields.map((field) => ({ ...fieldOf(field, isType), optional: true }))];
}

/** `BaseX`, unless it is a type itself, is the library's interface for X and whatever extends X. */
function fieldOf({ name, type, pointer, slices, omitEmpty }: GoField, isType: (name: string) => boolean): Field {
  const plain = type.startsWith('Base') && !isType(type) ? type.slice('Base'.length) : type;
  const bytes = type === 'byte' && slices === 2;
  return {
    name,
    type: bytes ? 'base64Binary' : (PRIMITIVES[plain] ?? plain),
    array: slices > (bytes ? 1 : 0),
    optional: omitEmpty || pointer,
  };
}
