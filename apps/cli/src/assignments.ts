/**
 * `key=value` flags. Simple maps (`--network-map lan=lan-b`) stay text. Settings of a plugin (`--option`, `--config`)
 * become JSON: dots in the key go into nested objects, and the plugin's own JSON schema, when it is at hand, decides
 * whether `5` is a number or a text, and that a list is meant when a key is given twice.
 */
import { CliError } from './errors.ts';

/** A JSON schema, as far as it is looked at here. */
export type JsonSchema = Readonly<Record<string, unknown>>;

export function parseAssignment(text: string, flag: string): [key: string, value: string] {
  const equals = text.indexOf('=');
  if (equals < 1) {
    throw new CliError('INVALID_VALUE', `${flag} ${text}: not of the form key=value.`, {
      remedy: `Write ${flag} key=value, once for each key.`,
    });
  }
  return [text.slice(0, equals), text.slice(equals + 1)];
}

/** A map of texts; the same key twice is refused. */
export function parseTextMap(texts: readonly string[], flag: string): Record<string, string> {
  const map = new Map<string, string>();
  for (const text of texts) {
    const [key, value] = parseAssignment(text, flag);
    if (map.has(key)) throw new CliError('INVALID_VALUE', `${flag} names ${key} twice.`);
    map.set(key, value);
  }
  return Object.fromEntries(map);
}

/** An object made of assignments, after `schema` where it says something. */
export function parseSettings(texts: readonly string[], flag: string, schema?: JsonSchema): Record<string, unknown> {
  const settings: Record<string, unknown> = {};
  for (const text of texts) {
    const [key, value] = parseAssignment(text, flag);
    assign(settings, key, value, flag, schema);
  }
  return settings;
}

/** What is named, over what is there; lists and values are replaced, objects are gone into. */
export function mergeSettings(
  current: Readonly<Record<string, unknown>>,
  named: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const merged: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(current)) define(merged, name, value);
  for (const [name, value] of Object.entries(named)) {
    const before = Object.hasOwn(merged, name) ? merged[name] : undefined;
    define(merged, name, isObject(before) && isObject(value) ? mergeSettings(before, value) : value);
  }
  return merged;
}

function assign(root: Record<string, unknown>, key: string, text: string, flag: string, schema?: JsonSchema): void {
  const path = key.split('.');
  const last = path.pop() ?? key;
  let target = root;
  let at = schema;
  for (const step of path) {
    at = property(at, step);
    if (!Object.hasOwn(target, step)) define(target, step, {});
    const next = target[step];
    if (!isObject(next)) throw new CliError('INVALID_VALUE', `${flag} ${key}: ${step} has a value of its own already.`);
    target = next;
  }
  at = property(at, last);
  const listed = typesOf(at).includes('array') && !text.startsWith('[');
  const had = Object.hasOwn(target, last) ? target[last] : undefined;
  const wanted = listed ? (isObject(at?.items) ? at.items : undefined) : at;
  refuseBrokenJson(text, `${flag} ${key}`, wanted);
  if (listed) {
    const item = typedValue(text, wanted);
    define(target, last, [...(Array.isArray(had) ? had : []), item]);
    return;
  }
  if (had !== undefined) throw new CliError('INVALID_VALUE', `${flag} names ${key} twice.`);
  define(target, last, typedValue(text, at));
}

/** What begins as an object or a list of JSON was meant as one, unless the schema wants text. */
function refuseBrokenJson(text: string, what: string, schema?: JsonSchema): void {
  if (!/^\s*[{[]\s*["{[]/.test(text) || typesOf(schema).includes('string')) return;
  try {
    JSON.parse(text);
  } catch (error) {
    throw new CliError('INVALID_VALUE', `${what}: ${text} is not JSON: ${(error as Error).message}.`, {
      remedy: 'Put single quotes around it, so that the shell leaves it as it is.',
      cause: error,
    });
  }
}

/** With a schema that wants text, text; else JSON where it is JSON (numbers, true, false, null, lists), else text. */
export function typedValue(text: string, schema?: JsonSchema): unknown {
  const types = typesOf(schema);
  if (types.length > 0 && types.every((type) => type === 'string')) return text;
  try {
    const value: unknown = JSON.parse(text);
    // A number for a field that takes only texts (or null) is a text that looks like one.
    if (
      typeof value === 'number' &&
      types.includes('string') &&
      !types.includes('number') &&
      !types.includes('integer')
    ) {
      return text;
    }
    return value;
  } catch (error) {
    if (error instanceof SyntaxError) return text;
    throw error;
  }
}

function typesOf(schema: JsonSchema | undefined): string[] {
  if (schema === undefined) return [];
  if (Array.isArray(schema.enum))
    return [...new Set(schema.enum.map((value) => (value === null ? 'null' : typeof value)))];
  if ('const' in schema) return [schema.const === null ? 'null' : typeof schema.const];
  if (typeof schema.type === 'string') return [schema.type];
  if (Array.isArray(schema.type)) return schema.type.filter((type) => typeof type === 'string');
  const choices = schema.anyOf ?? schema.oneOf;
  return Array.isArray(choices) ? choices.flatMap((choice) => (isObject(choice) ? typesOf(choice) : [])) : [];
}

function property(schema: JsonSchema | undefined, name: string): JsonSchema | undefined {
  for (const candidate of [schema, ...(Array.isArray(schema?.anyOf) ? schema.anyOf : [])]) {
    if (!isObject(candidate) || !isObject(candidate.properties)) continue;
    const found = Object.hasOwn(candidate.properties, name) ? candidate.properties[name] : undefined;
    if (isObject(found)) return found;
  }
  return undefined;
}

/** As an own property, whatever its name is (`__proto__` too). */
function define(target: Record<string, unknown>, name: string, value: unknown): void {
  Object.defineProperty(target, name, { value, writable: true, enumerable: true, configurable: true });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
