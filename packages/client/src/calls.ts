/**
 * What all methods of the client have in common: the body of a good answer, or one of our two errors.
 */
import type { Client } from 'openapi-fetch';
import { apiErrorOf, LmasConnectionError } from './errors.ts';
import { explainNetworkError } from './network-errors.ts';
import type { paths } from './schema.ts';

export type Http = Client<paths>;

export interface CallOptions {
  signal?: AbortSignal;
}

/** Of a list: only what a person has to look after. */
export interface Needs {
  needs?: 'person';
}

export const asking = (needs: Needs['needs']): { params?: { query: { needs: 'person' } } } =>
  needs === undefined ? {} : { params: { query: { needs } } };

export interface FetchResult<Data, Failure> {
  data?: Data | undefined;
  error?: Failure;
  response: Response;
}

/** By what was answered: its `etag`. */
const versions = new WeakMap<object, string>();

/** The version of something that a method has answered, for the `ifMatch` of a change of it; undefined: it bears none. */
export const versionOf = (data: object): string | undefined => versions.get(data);

/** The body of a good answer. */
export async function answer<Data>(
  base: string,
  signal: AbortSignal | undefined,
  call: Promise<FetchResult<Data, unknown>>,
): Promise<Data> {
  const { data, error, response } = await settled(base, signal, call);
  if (!response.ok) throw apiErrorOf(response, error);
  if (data === undefined) {
    throw new LmasConnectionError('NOT_LMAS', `What answers at ${base} is not LMAS: it answered with nothing.`);
  }
  const version = response.headers.get('etag');
  if (version !== null && typeof data === 'object' && data !== null) versions.set(data, version);
  return data;
}

/** For answers without a body. */
export async function done(
  base: string,
  signal: AbortSignal | undefined,
  call: Promise<FetchResult<unknown, unknown>>,
): Promise<void> {
  const { error, response } = await settled(base, signal, call);
  if (!response.ok) throw apiErrorOf(response, error);
}

export async function settled<Result>(
  base: string,
  signal: AbortSignal | undefined,
  call: Promise<Result>,
): Promise<Result> {
  try {
    return await call;
  } catch (error) {
    throw explainNetworkError(error, base, { signal });
  }
}

/** Leaves out what is undefined: `exactOptionalPropertyTypes` tells absent and undefined apart. */
export function only<T extends object>(values: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [Key in keyof T]?: Exclude<T[Key], undefined>;
  };
}
