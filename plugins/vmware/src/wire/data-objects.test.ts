/** The order of elements is what SOAP stands on, so the tables are compared with a published description of it, where there is one. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { DATA_OBJECTS, fieldsOf, fieldType, METHODS } from './data-objects.ts';

/** govmomi's types, generated from the WSDL (Debian: golang-github-vmware-govmomi-dev). */
const TYPES = '/usr/share/gocode/src/github.com/vmware/govmomi/vim25/types/types.go';
/** Younger than that description. */
const YOUNGER: Readonly<Record<string, readonly string[]>> = { ServiceLocator: ['sslCertificate'] };
/** Methods whose parameters it has under another name. */
const REQUEST_TYPES = (method: string): string[] => [`${method.replace(/_Task$/, '')}RequestType`, method];

const source = existsSync(TYPES) ? readFileSync(TYPES, 'utf8') : '';

/** The elements of a type in their order, those of what it is derived from first. */
function published(type: string): string[] | undefined {
  const body = new RegExp(`^type ${type} struct \\{\\n([\\s\\S]*?)^\\}`, 'm').exec(source)?.[1];
  if (body === undefined) return undefined;
  return body.split('\n').flatMap((line) => {
    const [first = '', second] = line.trim().split(/\s+/);
    const element = /xml:"(\w+)/.exec(line)?.[1];
    if (element !== undefined) return element === '_this' ? [] : [element];
    return first !== '' && second === undefined && first !== 'DynamicData' ? (published(first) ?? []) : [];
  });
}

const inOrder = (names: readonly string[], all: readonly string[]): boolean =>
  names.every((name, i) => all.includes(name) && (i === 0 || all.indexOf(name) > all.indexOf(names[i - 1] ?? '')));

test('every table names published elements, in the published order', {
  skip: source === '' && 'no description here',
}, () => {
  for (const [type, table] of Object.entries(DATA_OBJECTS)) {
    const names = Object.keys(table).filter((name) => YOUNGER[type]?.includes(name) !== true);
    assert.ok(inOrder(names, published(type) ?? []), `${type}: ${names} in ${published(type)}`);
  }
  for (const [method, table] of Object.entries(METHODS)) {
    const all = REQUEST_TYPES(method)
      .map(published)
      .find((elements) => elements !== undefined);
    assert.ok(inOrder(Object.keys(table), all ?? []), `${method}: ${Object.keys(table)} in ${all}`);
  }
});

test('every type that a field names is in the table', () => {
  const basic = ['string', 'int', 'boolean', 'ref', 'raw'];
  for (const [owner, table] of [...Object.entries(DATA_OBJECTS), ...Object.entries(METHODS)]) {
    for (const written of Object.values(table) as string[]) {
      const { type } = fieldType(written);
      assert.ok(basic.includes(type) || fieldsOf(type) !== undefined, `${owner}: ${written}`);
    }
  }
});
