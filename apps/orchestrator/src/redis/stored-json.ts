/**
 * Records as they stand in Redis, where a later version of this program may have written them: two versions work on one Redis
 * while an installation is upgraded. Fields that are not known here are not looked at, also where requests may have none,
 * and stay when the record is written again. Anything else that does not fit is refused: it is not guessed at.
 *
 * What a version that is too old would get wrong it must not read at all. Such a record is stored as
 * `{ "readableFrom": <version>, "record": { … } }`, in which versions that know no such thing find none of what they ask for.
 */
import type { z } from 'zod';
import { LmasError } from '../errors.ts';
import { STORE_VERSION } from './record-versions.ts';

type Json = Record<string, unknown>;

/** Fields of a record that its schema here does not know, in their places; `undefined`: there are none. */
export type UnknownFields = Readonly<Json> | undefined;

/** @throws ZodError for what is no such record; LmasError STORE_TOO_NEW for one that only later versions may read */
export function readStored<T>(schema: z.ZodType<T>, json: string): T {
  return parse(schema, unwrap(JSON.parse(json)));
}

/** A record with what its schema does not know of it. @throws as `readStored` */
export function readWhole<T>(
  schema: z.ZodType<T>,
  json: string,
): { readonly value: T; readonly unknown: UnknownFields } {
  const raw = unwrap(JSON.parse(json));
  const value = parse(schema, raw);
  return { value, unknown: lacking(raw, value) };
}

/**
 * `value` as JSON, with the fields that were not known when it was read.
 * @param readableFrom for what versions before that one must not read
 */
export function writeWhole(value: unknown, unknown: UnknownFields, readableFrom?: number): string {
  const record = unknown === undefined ? value : filled(value, unknown);
  return JSON.stringify(readableFrom === undefined ? record : { readableFrom, record });
}

/** The record in `json`, changed to `value`, as JSON. */
export function rewriteStored<T>(schema: z.ZodType<T>, json: string, value: T): string {
  return writeWhole(value, readWhole(schema, json).unknown);
}

function unwrap(raw: unknown): unknown {
  if (!isObject(raw) || typeof raw.readableFrom !== 'number' || !isObject(raw.record)) return raw;
  if (raw.readableFrom <= STORE_VERSION) return raw.record;
  const text = `The record is for versions of the records from ${raw.readableFrom} on; this LMAS reads those up to ${STORE_VERSION}.`;
  throw new LmasError('STORE_TOO_NEW', text, { remedy: 'End this process, and start the version that wrote it.' });
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
