/** A value with every member that its published type requires: zero, false, empty or the first of an enumeration where nothing is said. */
import type { Schema } from './schema.ts';
import { type DataObject, isObject, type Value } from './value.ts';

const ZEROS: Readonly<Record<string, Value>> = {
  ...{ boolean: false, byte: 0, short: 0, int: 0, long: 0, float: 0, double: 0, string: '', anyURI: '' },
  dateTime: '1970-01-01T00:00:00Z',
};

/** @throws when a reference is required: no object stands for another */
export function fill(schema: Schema, declared: string, said: DataObject = {}): DataObject {
  const name = typeof said._typeName === 'string' ? said._typeName : declared;
  const filled: Record<string, Value | undefined> = { ...said, _typeName: name };
  for (const field of schema.type(name)?.fields ?? []) {
    const value = said[field.name];
    if (value === undefined) {
      if (!field.optional) filled[field.name] = field.array ? [] : zero(schema, field.type, `${name}.${field.name}`);
    } else if (schema.type(field.type) !== undefined && field.type !== 'ManagedObjectReference') {
      filled[field.name] = deep(schema, field.type, value);
    }
  }
  return filled;
}

function deep(schema: Schema, type: string, value: Value): Value {
  if (Array.isArray(value)) return value.map((item: Value) => deep(schema, type, item));
  return isObject(value) ? fill(schema, type, value) : value;
}

function zero(schema: Schema, type: string, path: string): Value {
  const [first] = schema.enumValues(type) ?? [];
  if (first !== undefined) return first;
  const primitive = ZEROS[type];
  if (primitive !== undefined) return primitive;
  if (type === 'ManagedObjectReference') throw new Error(`${path}: a reference that nobody gave`);
  return fill(schema, type);
}
