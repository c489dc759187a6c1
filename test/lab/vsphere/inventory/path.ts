/** Property paths: `config.hardware.device`, `config.hardware.device[4000].backing`, `info.state`. */
import { VimFault } from '../fault.ts';
import { box } from '../schema/check.ts';
import type { Field, Schema } from '../schema/schema.ts';
import { isObject, type Value } from '../schema/value.ts';
import type { ManagedObject } from './objects.ts';

/**
 * The value there, boxed for where anything may stand; `undefined` when something on the way is unset.
 * @throws VimFault InvalidProperty when the type has nothing of that name
 */
export function valueAt(schema: Schema, { ref, properties }: ManagedObject, path: string): Value | undefined {
  const invalid = new VimFault('InvalidProperty', { name: path }, `The property ${path} of ${ref.type} does not exist`);
  const [head, ...rest] = path.split('.').map(stepOf);
  let field = head && schema.properties(ref.type)?.get(head.name);
  if (field === undefined) throw invalid;
  let value = select(properties.get(head?.name ?? ''), head?.key);
  if (head?.key !== undefined) field = { ...field, array: false };
  for (const { name, key } of rest) {
    const type: string = isObject(value) && typeof value._typeName === 'string' ? value._typeName : field.type;
    const next: Field | undefined = schema.type(type)?.fields.find((one) => one.name === name);
    if (next === undefined || field.array) throw invalid;
    value = select(isObject(value) ? value[name] : undefined, key);
    field = key === undefined ? next : { ...next, array: false };
  }
  return value === undefined ? undefined : box(schema, field, value);
}

interface Step {
  readonly name: string;
  /** Of one element: `device[4000]`, `netStackInstance["vmotion"]`. */
  readonly key: string | undefined;
}

function stepOf(step: string): Step {
  const [, name = step, key] = /^(\w+)\[(?:"([^"]*)"|(\w+))\]$/.exec(step) ?? [];
  return { name, key: key ?? /\[(\w+)\]$/.exec(step)?.[1] };
}

function select(value: Value | undefined, key: string | undefined): Value | undefined {
  if (key === undefined || !Array.isArray(value)) return value;
  return (value as readonly Value[]).find((item) => isObject(item) && String(item.key) === key);
}
