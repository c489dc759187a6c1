/**
 * Values as the endpoint keeps them, in the form of VI/JSON: a data object is an object, with `_typeName` where its type is not the
 * declared one; a primitive or an array where anything may stand is boxed as `{ _typeName, _value }`.
 */

export type Value = string | number | boolean | DataObject | readonly Value[];

export interface DataObject {
  readonly [member: string]: Value | undefined;
}

export interface MoRef extends DataObject {
  readonly _typeName: 'ManagedObjectReference';
  readonly type: string;
  readonly value: string;
}

export const moRef = (type: string, value: string): MoRef => ({ _typeName: 'ManagedObjectReference', type, value });

export const isObject = (value: Value | undefined): value is DataObject =>
  typeof value === 'object' && !Array.isArray(value);

export const isMoRef = (value: Value | undefined): value is MoRef =>
  isObject(value) && typeof value.type === 'string' && typeof value.value === 'string';

/** For what has been checked against its type: @returns an empty list for a member that is not there */
export const listOf = <T extends Value = DataObject>(value: Value | undefined): readonly T[] =>
  (Array.isArray(value) ? value : value === undefined ? [] : [value]) as readonly T[];

export const textOf = (value: Value | undefined): string | undefined => (typeof value === 'string' ? value : undefined);
