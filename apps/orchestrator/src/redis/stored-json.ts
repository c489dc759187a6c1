/**
 * Records as they stand in Redis, where a later version of this program may have written them: two versions work on one Redis
 * while an installation is upgraded. Fields that are not known here are not looked at, also where requests may have none,
 * and stay when the record is written again. Anything else that does not fit is refused: it is not guessed at.
 */
import type { z } from 'zod';

type Json = Record<string, unknown>;

/** Fields of a record that its schema here does not know, in their places; `undefined`: there are none. */
export type UnknownFields = Readonly<Json> | undefined;

/** @throws ZodError for what is no such record */
export function readStored<T>(schema: z.ZodType<T>, json: string): T {
  return parse(schema, JSON.parse(json));
}

/** A record with what its schema does not know of it. @throws ZodError */
export function readWhole<T>(
  schema: z.ZodType<T>,
  json: string,
): { readonly value: T; readonly unknown: UnknownFields } {
  const raw: unknown = JSON.parse(json);
  const value = parse(schema, raw);
  return { value, unknown: lacking(raw, value) };
}

/** `value` as JSON, with the fields that were not known when it was read. */
export function writeWhole(value: unknown, unknown: UnknownFields): string {
  return JSON.stringify(unknown === undefined ? value : filled(value, unknown));
}

/** The record in `json`, changed to `value`, as JSON. */
export function rewriteStored<T>(schema: z.ZodType<T>, json: string, value: T): string {
  return writeWhole(value, readWhole(schema, json).unknown);
}

function parse<T>(schema: z.ZodType<T>, raw: unknown): T {
  const parsed = schema.safeParse(raw);
  if (parsed.success) return parsed.data;
  const unknown = parsed.error.issues.flatMap((issue) => (issue.code === 'unrecognized_keys' ? [issue] : []));
  if (unknown.length < parsed.error.issues.length) throw parsed.error;
  const known = structuredClone(raw);
  for (const { path, keys } of unknown) for (const key of keys) remove(known, [...path, key]);
  return schema.parse(known);
}

function remove(root: unknown, path: readonly PropertyKey[]): void {
  let at = root;
  for (const step of path.slice(0, -1)) at = (at as Record<PropertyKey, unknown>)[step];
  delete (at as Record<PropertyKey, unknown>)[path.at(-1) ?? ''];
}

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** What `raw` has and `value` has not. Lists are left alone: nobody knows which entry is which when they have changed. */
function lacking(raw: unknown, value: unknown): UnknownFields {
  if (!isObject(raw) || !isObject(value)) return undefined;
  const found = Object.entries(raw).flatMap(([name, part]): [string, unknown][] => {
    if (!Object.hasOwn(value, name)) return [[name, part]];
    const inside = lacking(part, value[name]);
    return inside === undefined ? [] : [[name, inside]];
  });
  return found.length === 0 ? undefined : Object.fromEntries(found);
}

/** What has gone meanwhile does not come back for the sake of a field in it. */
function filled(value: unknown, unknown: Readonly<Json>): unknown {
  if (!isObject(value)) return value;
  const result: Json = { ...value };
  for (const [name, part] of Object.entries(unknown)) {
    if (!Object.hasOwn(value, name)) result[name] = part;
    else if (isObject(part)) result[name] = filled(value[name], part);
  }
  return result;
}
