/**
 * Compares a value with its published type, and writes down every difference as a sentence. The result has the members in the
 * published order and every type named: what both wires can write without looking anything up.
 */
import { isAtLeast } from './release.ts';
import type { Field, Schema } from './schema.ts';
import { type DataObject, isObject, type Value } from './value.ts';

export interface Check {
  readonly schema: Schema;
  /** Where the sentences go. */
  readonly violations: string[];
  /** What is younger is not there; default: all that is published. */
  readonly release?: string;
  /** Objects that come over JSON must say their type themselves. */
  readonly typeNamesRequired?: boolean;
}

const RANGES: Readonly<Record<string, number>> = {
  byte: 2 ** 7,
  short: 2 ** 15,
  int: 2 ** 31,
  long: Number.MAX_SAFE_INTEGER,
};
const DATE_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;

/** @returns the completed value; what is wrong with it is in `violations` */
export function checkField(check: Check, field: Field, value: Value | undefined, path: string): Value | undefined {
  if (value === undefined || value === null) {
    if (!field.optional) check.violations.push(`${path}: required by the published type, and not there`);
    return undefined;
  }
  if (!field.array) return checkOne(check, field.type, value, path);
  if (!Array.isArray(value)) {
    check.violations.push(`${path}: has to be an array of ${field.type}`);
    return value;
  }
  return value.map((item: Value, i) => checkOne(check, field.type, item, `${path}[${i}]`));
}

export function checkOne(check: Check, declared: string, value: Value, path: string): Value {
  const { schema, violations } = check;
  if (declared === 'anyType') return checkAny(check, value, path);
  if (schema.isPrimitive(declared)) {
    const problem = primitiveProblem(declared, value);
    if (problem !== undefined) violations.push(`${path}: ${problem}`);
    return value;
  }
  const values = schema.enumValues(declared);
  if (values !== undefined) {
    if (typeof value !== 'string' || !values.has(value))
      violations.push(`${path}: ${JSON.stringify(value)} is no value of ${declared}`);
    return value;
  }
  if (!isObject(value)) {
    violations.push(`${path}: ${JSON.stringify(value)} where ${declared} belongs`);
    return value;
  }
  return checkObject(check, declared, value, path);
}

function checkObject(check: Check, declared: string, value: DataObject, path: string): Value {
  const { schema, violations } = check;
  const said = value._typeName;
  if (said === undefined && check.typeNamesRequired === true) violations.push(`${path}: an object without "_typeName"`);
  const name = typeof said === 'string' ? said : declared;
  const type = schema.type(name);
  if (type === undefined) {
    violations.push(`${path}: the type ${name} is not published`);
    return value;
  }
  if (!schema.derives(name, declared)) violations.push(`${path}: ${name} may not stand for ${declared}`);
  if (name === 'ManagedObjectReference') return checkReference(check, value, path);
  const fields = type.fields.filter(({ since }) => since === undefined || isAtLeast(check.release ?? since, since));
  const known = new Set(fields.map((field) => field.name));
  for (const member of Object.keys(value))
    if (member !== '_typeName' && value[member] !== undefined && !known.has(member))
      violations.push(`${path}: ${name} has no member ${member}`);
  const members: [string, Value][] = [['_typeName', name]];
  for (const field of fields) {
    const checked = checkField(check, field, value[field.name], `${path}.${field.name}`);
    if (checked !== undefined) members.push([field.name, checked]);
  }
  return Object.fromEntries(members);
}

function checkReference({ schema, violations }: Check, value: DataObject, path: string): Value {
  const { type, value: id } = value;
  if (typeof type !== 'string' || typeof id !== 'string') {
    violations.push(`${path}: a reference needs "type" and "value"`);
    return value;
  }
  if (schema.properties(type) === undefined) violations.push(`${path}: ${type} is no managed object's type`);
  return { _typeName: 'ManagedObjectReference', type, value: id };
}

/** Boxed primitives and arrays, or an object that says what it is. */
function checkAny(check: Check, value: Value, path: string): Value {
  const { schema, violations } = check;
  if (!isObject(value) || typeof value._typeName !== 'string') {
    violations.push(`${path}: what stands for anything has to say its type`);
    return value;
  }
  const { _typeName: name, _value: boxed } = value;
  if (boxed === undefined) return checkObject(check, name, value, path);
  if (schema.isPrimitive(name) || schema.enumValues(name) !== undefined)
    return { _typeName: name, _value: checkOne(check, name, boxed, path) };
  const element = elementOfArray(schema, name);
  if (element === undefined) violations.push(`${path}: ${name} is no type of a boxed value`);
  else return { _typeName: name, _value: checkField(check, { ...element, array: true, optional: false }, boxed, path) };
  return value;
}

/** `ArrayOfX` has one field: elements of type X under the name of their type. */
export function elementOfArray(
  schema: Schema,
  arrayType: string,
): { readonly name: string; readonly type: string } | undefined {
  const type = schema.type(arrayType);
  const [field] = type?.fields ?? [];
  return arrayType.startsWith('ArrayOf') && field !== undefined ? { name: field.name, type: field.type } : undefined;
}

/** What stands for anything: a value of a known type, boxed unless it says its type itself. */
export function box(schema: Schema, field: Field, value: Value): Value {
  if (field.array) return { _typeName: arrayTypeOf(field.type), _value: value };
  if (schema.isPrimitive(field.type) || schema.enumValues(field.type) !== undefined)
    return { _typeName: field.type, _value: value };
  return isObject(value) && value._typeName === undefined ? { _typeName: field.type, ...value } : value;
}

export const arrayTypeOf = (type: string): string => `ArrayOf${type[0]?.toUpperCase()}${type.slice(1)}`;

const isWithin = (value: number, limit: number): boolean => value >= -limit && value < limit;

function primitiveProblem(type: string, value: Value): string | undefined {
  const shown = JSON.stringify(value);
  switch (type) {
    case 'boolean':
      return typeof value === 'boolean' ? undefined : `${shown} is no boolean`;
    case 'byte':
    case 'short':
    case 'int':
    case 'long':
      return typeof value === 'number' && Number.isInteger(value) && isWithin(value, RANGES[type] ?? 0)
        ? undefined
        : `${shown} is no ${type}`;
    case 'float':
    case 'double':
      return typeof value === 'number' ? undefined : `${shown} is no ${type}`;
    case 'dateTime':
      return typeof value === 'string' && DATE_TIME.test(value) ? undefined : `${shown} is no dateTime`;
    default:
      return typeof value === 'string' ? undefined : `${shown} is no ${type}`;
  }
}
