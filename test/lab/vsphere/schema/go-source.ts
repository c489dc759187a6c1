/**
 * Reads struct and enumeration definitions from Go source, as far as generated files of the govmomi library use the language: one
 * definition after the other, one field a line, embedded structs first. It reads nothing else and invents nothing: a line that it
 * does not understand is an error, so that a newer library cannot silently become a smaller schema.
 */

export interface GoField {
  /** As the tag names it: the element in XML, the member in JSON, the property of a managed object. */
  readonly name: string;
  /** Without `*` and `[]`. */
  readonly type: string;
  readonly pointer: boolean;
  /** How many `[]` stand before it. */
  readonly slices: number;
  readonly omitEmpty: boolean;
  readonly tag: 'xml' | 'mo';
  /** Further words of the tag: `typeattr`, `attr`, `chardata`. */
  readonly words: readonly string[];
}

export interface GoStruct {
  readonly embedded: readonly string[];
  readonly fields: readonly GoField[];
}

export interface GoDefinitions {
  readonly structs: ReadonlyMap<string, GoStruct>;
  /** `type A B`. */
  readonly aliases: ReadonlyMap<string, string>;
  /** Values of the constants of a string type. */
  readonly enums: ReadonlyMap<string, ReadonlySet<string>>;
}

const FIELD = /^\t(\w+)\s+([*[\]]*)([\w.{}]+)(?:\s+`(xml|mo):"([^"]*)"[^`]*`)?$/;
const EMBEDDED = /^\t\*?([\w.]+)$/;
const CONSTANT = /^\t\w+\s*=\s*(\w+)\("([^"]*)"\)$/;

export function readGo(source: string): GoDefinitions {
  const structs = new Map<string, GoStruct>();
  const aliases = new Map<string, string>();
  const enums = new Map<string, Set<string>>();
  for (const [, name = '', body = ''] of source.matchAll(/^type (\w+) struct \{\n((?:\t.*\n|\n)*)\}$/gm))
    structs.set(name, readStruct(name, body));
  for (const [, name = ''] of source.matchAll(/^type (\w+) struct \{\}$/gm))
    structs.set(name, { embedded: [], fields: [] });
  for (const [, name = '', target = ''] of source.matchAll(/^type (\w+) (\w+)$/gm)) {
    if (target === 'string') enums.set(name, enums.get(name) ?? new Set());
    else aliases.set(name, target);
  }
  for (const line of source.split('\n')) {
    const [, type = '', value = ''] = CONSTANT.exec(line) ?? [];
    enums.get(type)?.add(value);
  }
  return { structs, aliases, enums };
}

function readStruct(name: string, body: string): GoStruct {
  const embedded: string[] = [];
  const fields: GoField[] = [];
  for (const line of body.split('\n')) {
    if (line === '' || line.startsWith('\t//')) continue;
    const inner = EMBEDDED.exec(line)?.[1];
    if (inner !== undefined) {
      embedded.push(inner.replace(/^types\./, ''));
      continue;
    }
    const [, , marks, type, tag, words] = FIELD.exec(line) ?? [];
    if (type === undefined || marks === undefined) throw new Error(`${name}: cannot read "${line.trim()}"`);
    if (tag === undefined || words === undefined) continue; // no part of the published type
    const [field = '', ...more] = words.split(',');
    fields.push({
      name: field,
      type: type.replace(/^types\./, ''),
      pointer: marks.includes('*'),
      slices: marks.split('[]').length - 1,
      omitEmpty: more.includes('omitempty'),
      tag: tag as GoField['tag'],
      words: more.filter((word) => word !== 'omitempty'),
    });
  }
  return { embedded, fields };
}
