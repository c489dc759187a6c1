/** A JSON schema as a list of settings that people can read: dotted keys, types, defaults. Pure. */
import type { JsonSchema } from '../assignments.ts';

export interface Setting {
  /** As `--config` and `--option` take it. */
  readonly key: string;
  readonly type: string;
  /** The default in JSON, `required`, or empty. */
  readonly fallback: string;
  readonly meaning: string;
}

/** `within`: the optional setting that these belong to; they are required only when it is given at all. */
export function listSettings(schema: JsonSchema, prefix = '', within?: string): Setting[] {
  const properties = isObject(schema.properties) ? schema.properties : {};
  const required = Array.isArray(schema.required) ? schema.required : [];
  return Object.entries(properties).flatMap(([name, property]) => {
    if (!isObject(property)) return [];
    const key = `${prefix}${name}`;
    const needed = required.includes(name) && !('default' in property);
    if (isObject(property.properties)) return listSettings(property, `${key}.`, needed ? within : key);
    const requirement = within === undefined ? 'required' : `required in ${within}`;
    const fallback = 'default' in property ? JSON.stringify(property.default) : needed ? requirement : '';
    const meaning = typeof property.description === 'string' ? property.description : '';
    return [{ key, type: describeType(property), fallback, meaning }];
  });
}

function describeType(schema: JsonSchema): string {
  if (Array.isArray(schema.enum)) return schema.enum.map((value) => String(value)).join(' | ');
  if ('const' in schema) return String(schema.const);
  if (schema.type === 'array') return `list of ${isObject(schema.items) ? describeType(schema.items) : 'anything'}`;
  if (schema.type === 'object') {
    return isObject(schema.additionalProperties) ? `map to ${describeType(schema.additionalProperties)}` : 'object';
  }
  if (typeof schema.type === 'string') return schema.type;
  if (Array.isArray(schema.type)) return schema.type.join(' | ');
  const choices = schema.anyOf ?? schema.oneOf;
  if (!Array.isArray(choices)) return 'anything';
  return [...new Set(choices.map((choice) => (isObject(choice) ? describeType(choice) : '?')))].join(' | ');
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
