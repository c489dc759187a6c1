/**
 * What a plugin asks for, as its JSON schema says it, and what was typed into the fields made of it. Simple things have fields of
 * their own; what is nested is written as JSON. Pure.
 */

interface Schema {
  readonly type?: string;
  readonly description?: string;
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly names?: unknown;
}

/** Of an endpoint: what the value of an option can be the name of. */
const PLACE_KINDS = ['host', 'storage'] as const;
export type PlaceKind = (typeof PLACE_KINDS)[number];

export type FieldKind = 'text' | 'number' | 'flag' | 'choice' | 'lines' | 'json';

export interface SchemaField {
  readonly name: string;
  readonly kind: FieldKind;
  readonly isRequired: boolean;
  readonly description: string;
  /** What counts while the field is empty; '' when nothing does. */
  readonly usual: string;
  readonly choices: readonly string[];
  /** It is the name of such a place at the destination. */
  readonly names: PlaceKind | undefined;
}

/** The fields of an object; those that are needed first. */
export function fieldsOf(schema: Readonly<Record<string, unknown>>): readonly SchemaField[] {
  const properties = (schema.properties ?? {}) as Readonly<Record<string, Schema>>;
  const required = new Set((schema.required ?? []) as readonly string[]);
  return Object.entries(properties)
    .map(([name, property]) => ({
      name,
      kind: kindOf(property),
      isRequired: required.has(name),
      description: property.description ?? '',
      usual:
        property.default === undefined || property.default === null ? '' : textOf(property.default, kindOf(property)),
      choices: (property.enum ?? []).map(String),
      names: PLACE_KINDS.find((kind) => kind === property.names),
    }))
    .toSorted((one, other) => Number(other.isRequired) - Number(one.isRequired));
}

function kindOf({ type, enum: choices, items, anyOf }: Schema): FieldKind {
  if (anyOf !== undefined) {
    // Null is what an empty field means; the others have to agree on a field.
    const kinds = new Set(anyOf.filter((one) => one.type !== 'null').map(kindOf));
    const [kind = 'json'] = kinds;
    return kinds.size === 1 && kind !== 'choice' ? kind : 'json';
  }
  if (choices !== undefined) return 'choice';
  if (type === 'string') return 'text';
  if (type === 'integer' || type === 'number') return 'number';
  if (type === 'boolean') return 'flag';
  return type === 'array' && items?.type === 'string' ? 'lines' : 'json';
}

/** What stands in a field for a value. */
export function textOf(value: unknown, kind: FieldKind): string {
  if (value === undefined || value === null) return '';
  if (kind === 'lines' && Array.isArray(value)) return value.join('\n');
  return kind === 'json' ? JSON.stringify(value) : String(value);
}

/**
 * What was typed, as the plugin wants it; an empty field is left out.
 * @throws Error that names the field whose JSON is none
 */
export function valuesOf(
  fields: readonly SchemaField[],
  typed: Readonly<Record<string, string>>,
): Record<string, unknown> {
  return Object.fromEntries(
    fields
      .filter(({ name }) => (typed[name] ?? '').trim() !== '')
      .map((field) => [field.name, typedValue(field, typed[field.name] ?? '')]),
  );
}

function typedValue({ name, kind }: SchemaField, text: string): unknown {
  if (kind === 'number') return Number(text);
  if (kind === 'flag') return text === 'true';
  if (kind === 'lines') return linesOf(text);
  if (kind !== 'json') return text;
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Error(`${name} is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

const linesOf = (text: string): string[] =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
