/**
 * VI/JSON (vCenter 8.0 U1 and later): the same objects as in SOAP, each with its type in `_typeName`; what is declared `any` is
 * boxed as `{ _typeName, _value }`. A call's parameters are the members of one object. Pure.
 *
 * Source: the published OpenAPI description of the Virtual Infrastructure JSON API.
 */
import { fieldsOf, fieldType, isRef, METHODS, type MethodName, type Ref } from './data-objects.ts';

/** @param release of the description: `8.0.1.0` */
export const pathOf = (release: string, { type, value }: Ref, member: string): string =>
  `/sdk/vim25/${release}/${encodeURIComponent(type)}/${encodeURIComponent(value)}/${member}`;

/** The body of a call; `undefined` for a method without parameters. @throws TypeError for what no table knows */
export function encodeParameters(method: MethodName, params: Readonly<Record<string, unknown>>): string | undefined {
  const fields = METHODS[method];
  if (Object.keys(fields).length === 0) return undefined;
  return JSON.stringify(membersOf(params, fields));
}

function membersOf(value: Readonly<Record<string, unknown>>, fields: Readonly<Record<string, string>>) {
  const members: Record<string, unknown> = {};
  for (const [name, given] of Object.entries(value)) {
    if (name === '_typeName' || given === undefined) continue;
    const written = fields[name];
    if (written === undefined) throw new TypeError(`There is no field ${name} in the table.`);
    const { type, list } = fieldType(written);
    members[name] = list ? (given as readonly unknown[]).map((each) => encode(each, type)) : encode(given, type);
  }
  return members;
}

function encode(value: unknown, type: string): unknown {
  if (type === 'raw') return encodeRaw(value);
  if (typeof value !== 'object' || value === null) return value;
  if (type === 'ref' && isRef(value))
    return { _typeName: 'ManagedObjectReference', type: value.type, value: value.value };
  const { _typeName: typeName } = value as { _typeName?: string };
  const fields = fieldsOf(typeName ?? type);
  if (fields === undefined) throw new TypeError(`There is no data object ${typeName ?? type} in the table.`);
  return { _typeName: typeName ?? type, ...membersOf(value as Record<string, unknown>, fields) };
}

/** As it was read, with whatever was put into it since. */
function encodeRaw(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(encodeRaw);
  if (typeof value !== 'object' || value === null) return value;
  if (isRef(value)) return encode(value, 'ref');
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, encodeRaw(each)]));
}

/** Boxes are opened, lists of `ArrayOf…` are lists; all else stays. */
export function decodeValue(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(decodeValue);
  if (typeof value !== 'object' || value === null) return value;
  if ('_value' in value) return decodeValue(value._value);
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, decodeValue(each)]));
}

/** A fault is its data object, with its type's name; the text beside it is for people. */
export function decodeFault(body: unknown): { name: string; message: string; detail: unknown } | undefined {
  if (typeof body !== 'object' || body === null || !('_typeName' in body)) return undefined;
  const { _typeName: name, faultstring } = body as { _typeName: unknown; faultstring?: unknown };
  if (typeof name !== 'string') return undefined;
  return { name, message: typeof faultstring === 'string' ? faultstring : '', detail: decodeValue(body) };
}
