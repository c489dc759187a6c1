/**
 * Requests that nobody should send, made from the OpenAPI document: what is nearly right, what is wrong in one place,
 * what is no JSON, too deep, too large, in no known alphabet. Pure; fast-check draws and shrinks.
 */
import fc from 'fast-check';

export interface Operation {
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly query: readonly string[];
  /** Those parameters of the query that are times. */
  readonly times: readonly string[];
  readonly headers: readonly string[];
  /** Valid bodies; empty for an operation that takes none. */
  readonly examples: readonly unknown[];
}

export interface Garbage {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
}

interface Schema {
  readonly $ref?: string;
  readonly format?: string;
  readonly examples?: readonly unknown[];
}
interface Parameter {
  readonly in: string;
  readonly name: string;
  readonly schema?: Schema;
}
export interface Document {
  readonly paths: Record<
    string,
    Record<
      string,
      {
        operationId: string;
        parameters?: Parameter[];
        requestBody?: { content: Record<string, { schema: Schema }> };
        responses: Record<string, unknown>;
      }
    >
  >;
  readonly components: { readonly schemas: Record<string, Schema> };
}

export function operationsOf(document: Document): Operation[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { operationId, parameters = [], requestBody }]) => {
      const schema = requestBody?.content['application/json']?.schema;
      const resolved =
        schema?.$ref === undefined ? schema : document.components.schemas[schema.$ref.split('/').at(-1) ?? ''];
      const named = (place: string) => parameters.filter((each) => each.in === place).map(({ name }) => name);
      const times = parameters.filter((each) => each.in === 'query' && each.schema?.format === 'date-time');
      return {
        id: operationId,
        ...{ method: method.toUpperCase(), path },
        ...{
          query: named('query'),
          times: times.map(({ name }) => name),
          headers: named('header'),
          examples: resolved?.examples ?? [],
        },
      };
    }),
  );
}

const PROTOTYPE_KEYS = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty'];
/** Well-formed, and far from now: before the epoch of computers, and at both ends of what four digits say. */
const ODD_TIMES = [
  '1960-01-01T00:00:00Z',
  '1969-12-31T23:59:59.999Z',
  '0000-01-01T00:00:00Z',
  '9999-12-31T23:59:59.999Z',
];
const NASTY_TEXTS = [
  ...ODD_TIMES,
  '',
  ' ',
  '\u0000',
  '../../etc/passwd',
  '$(id)',
  "'; DROP TABLE",
  '{lmas}:migrations',
  '*',
  '\ud800',
  '\u202e',
  '😀'.repeat(50),
  'a'.repeat(5_000),
  '%00',
  '%2e%2e%2f',
  '-1',
  '1e400',
  'NaN',
  '0x7f000001',
  'null',
  '2026-13-45T99:99:99Z',
  ...PROTOTYPE_KEYS,
];
const text = fc.oneof(
  fc.constantFrom(...NASTY_TEXTS),
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.string({ unit: 'grapheme', maxLength: 60 }),
);
const number = fc.oneof(
  fc.constantFrom(0, -1, 1.5, 1e308, -1e308, Number.MAX_SAFE_INTEGER + 2, 2 ** 53, -(2 ** 63), 5e-324),
  fc.double(),
  fc.integer(),
);
const key = fc.oneof(fc.constantFrom(...PROTOTYPE_KEYS), text);
const deep = fc
  .integer({ min: 2, max: 3_000 })
  .map((depth) => JSON.parse(`${'['.repeat(depth)}${']'.repeat(depth)}`) as unknown);
const value: fc.Arbitrary<unknown> = fc.oneof(
  text,
  number,
  fc.constantFrom(null, true, false),
  fc.array(fc.oneof(text, number), { maxLength: 30 }),
  fc.array(fc.tuple(key, text), { maxLength: 20 }).map((entries) => withOwnKeys(entries)),
  fc.jsonValue({ maxDepth: 5 }),
  deep,
);

/** Also `__proto__`, as a key of its own, the way that JSON.parse makes it. */
function withOwnKeys(entries: readonly (readonly [string, unknown])[]): object {
  const object = {};
  for (const [name, content] of entries) {
    Object.defineProperty(object, name, { value: content, enumerable: true, configurable: true, writable: true });
  }
  return object;
}

/** Every place in a value, as the keys that lead there; the whole of it is []. */
function placesIn(content: unknown, path: readonly string[] = []): (readonly string[])[] {
  if (typeof content !== 'object' || content === null) return [path];
  return [path, ...Object.entries(content).flatMap(([name, part]) => placesIn(part, [...path, name]))];
}

function replaceAt(content: unknown, [first, ...rest]: readonly string[], replacement: unknown): unknown {
  if (first === undefined) return replacement;
  if (typeof content !== 'object' || content === null) return content;
  const copy = Array.isArray(content) ? [...content] : withOwnKeys(Object.entries(content));
  const next: unknown = Reflect.get(copy, first);
  Object.defineProperty(copy, first, {
    value: replaceAt(next, rest, replacement),
    ...{ enumerable: true, configurable: true, writable: true },
  });
  return copy;
}

/** A valid body with something else in one place, or one field more. */
function nearlyValid(examples: readonly unknown[]): fc.Arbitrary<unknown> {
  return fc.constantFrom(...examples).chain((example) =>
    fc.oneof(
      fc.constant(example),
      fc.tuple(fc.constantFrom(...placesIn(example)), value).map(([place, odd]) => replaceAt(example, place, odd)),
      fc.tuple(key, value).map(([name, odd]) => withOwnKeys([...Object.entries(example as object), [name, odd]])),
    ),
  );
}

function bodyFor({ method, examples }: Operation): fc.Arbitrary<string | undefined> {
  const json = (arbitrary: fc.Arbitrary<unknown>) => arbitrary.map((content) => JSON.stringify(content) ?? 'undefined');
  const raw = fc.oneof(
    fc.constantFrom('', '{', '[', '{"a":', 'nul', '"', '{"id":"a","id":"b"}', '\u0000', `${'['.repeat(20_000)}`),
    fc.string({ unit: 'binary', maxLength: 200 }),
    fc.constant(JSON.stringify({ id: 'x'.repeat(300_000) })),
  );
  if (examples.length === 0) {
    const none = fc.constant(undefined);
    return method === 'GET' ? none : fc.oneof({ weight: 8, arbitrary: none }, raw, json(value));
  }
  return fc.oneof(
    { weight: 6, arbitrary: json(nearlyValid(examples)) },
    { weight: 1, arbitrary: raw },
    json(value),
    fc.constant(undefined),
  );
}

const encoded = (content: string): string => encodeURIComponent(content.toWellFormed()).slice(0, 3_000);

/** Where a query has times: one of each, odd and well-formed, and nothing beside them that would be refused first. */
function oddTimesFor({ times }: Operation): fc.Arbitrary<[string, string][]>[] {
  if (times.length === 0) return [];
  const pair = fc.tuple(fc.constantFrom(...times), fc.constantFrom(...ODD_TIMES));
  return [fc.uniqueArray(pair, { selector: ([name]) => name, maxLength: 2 })];
}

/** `known` are names that exist, so that some requests get past the door. */
export function garbageFor(operation: Operation, known: readonly string[]): fc.Arbitrary<Garbage> {
  const segment = fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom(...known).map(encoded) },
    text.map(encoded),
    fc.constantFrom('%', '%zz', '%ff', '..', '.', '%2f', ';', 'a'.repeat(300)),
  );
  const path = fc
    .array(segment, { minLength: 4, maxLength: 4 })
    .map((segments) => operation.path.replaceAll(/\{\w+\}/g, () => segments.shift() ?? ''));
  const names = fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...operation.query, 'x') }, key.map(encoded));
  const pair = fc.tuple(
    names,
    fc.oneof(text.map(encoded), fc.constantFrom(...known, '1', 'a=b', '%zz', '2026-01-01T00:00:00Z')),
  );
  const pairs = fc.array(pair, { maxLength: operation.query.length === 0 ? 1 : 6 });
  const query = fc
    .oneof(pairs, ...oddTimesFor(operation))
    .map((pairs) => (pairs.length === 0 ? '' : `?${pairs.map((pair) => pair.join('=')).join('&')}`));
  const headerText = fc.oneof(
    fc.constantFrom(
      '',
      '*',
      '"x"',
      'W/"x"',
      '0-0',
      '999999999999999-999999999999999',
      '99999999999999999999-1',
      '1'.repeat(400),
      '"',
      '-',
    ),
    fc.string({ maxLength: 80 }).map((content) => content.replaceAll(/[^\x20-\x7e]/g, '?')),
  );
  const headers = fc.record(
    {
      ...Object.fromEntries(operation.headers.map((name) => [name, headerText])),
      'if-match': headerText,
      'idempotency-key': headerText,
      accept: fc.constantFrom('application/json', 'text/html', '*/*', 'x'),
      'content-type': fc.constantFrom(
        'application/json',
        'application/json',
        'application/json; charset=utf-16',
        'text/plain',
        'x',
      ),
    },
    { requiredKeys: [] },
  );
  return fc.record({
    path: fc.tuple(path, query).map((parts) => parts.join('')),
    headers,
    body: bodyFor(operation),
  }) as fc.Arbitrary<Garbage>;
}
