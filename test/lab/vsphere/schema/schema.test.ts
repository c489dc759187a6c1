/** The reading of the published types: from Go source to a table, and from the table to sentences. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkField, checkOne } from './check.ts';
import { fill } from './fill.ts';
import { readGo } from './go-source.ts';
import { Schema } from './schema.ts';
import type { Value } from './value.ts';

const schema = Schema.read();

function problems(type: string, value: Value): string[] {
  const violations: string[] = [];
  checkOne({ schema, violations }, type, value, 'it');
  return violations;
}

test('Go source: embedded structs, tags, pointers and slices, aliases, enumerations', () => {
  const source = [
    'type Colour string',
    '',
    'const (',
    '\tColourRed = Colour("red")',
    ')',
    '',
    'type Empty struct {',
    '\tDynamicData',
    '}',
    '',
    'type Thing struct {',
    '\tEmpty',
    '',
    '\tName   string           `xml:"name"`',
    '\tParts  []BasePart       `xml:"parts,omitempty,typeattr"`',
    '\tHidden *types.Reference `xml:"hidden"`',
    '}',
    '',
    'type Other Thing',
    '',
  ].join('\n');
  const { structs, aliases, enums } = readGo(source);
  assert.deepEqual(structs.get('Thing'), {
    embedded: ['Empty'],
    fields: [
      { name: 'name', type: 'string', pointer: false, slices: 0, omitEmpty: false, tag: 'xml', words: [] },
      { name: 'parts', type: 'BasePart', pointer: false, slices: 1, omitEmpty: true, tag: 'xml', words: ['typeattr'] },
      { name: 'hidden', type: 'Reference', pointer: true, slices: 0, omitEmpty: false, tag: 'xml', words: [] },
    ],
  });
  assert.equal(aliases.get('Other'), 'Thing');
  assert.deepEqual([...(enums.get('Colour') ?? [])], ['red']);
  assert.throws(() => readGo('type Odd struct {\n\tA, B int\n}\n'), /Odd: cannot read "A, B int"/);
});

test('inherited members come first, and a type may stand for what it extends', () => {
  assert.deepEqual(
    schema
      .type('VirtualVmxnet3')
      ?.fields.slice(0, 2)
      .map(({ name }) => name),
    ['key', 'deviceInfo'],
  );
  assert.equal(schema.derives('VirtualVmxnet3', 'VirtualDevice'), true);
  assert.equal(schema.derives('VirtualDevice', 'VirtualVmxnet3'), false);
  assert.equal(schema.managedDerives('ClusterComputeResource', 'ManagedEntity'), true);
  assert.equal(schema.properties('DistributedVirtualPortgroup')?.has('summary'), true);
});

test('methods have their parameters and results; additions are in their places', () => {
  const { parameters, result } = schema.method('RelocateVM_Task') ?? {};
  assert.deepEqual(
    parameters?.map(({ name, optional }) => [name, optional]),
    [
      ['spec', false],
      ['priority', true],
    ],
  );
  assert.equal(result?.type, 'ManagedObjectReference');
  assert.equal(schema.method('RelocateVM'), undefined);
  assert.equal(schema.type('ServiceLocator')?.fields.at(-1)?.name, 'sslCertificate');
  assert.equal(schema.type('TaskInfo')?.fields.at(-1)?.name, 'progressDetails');
});

test('every difference is a sentence', () => {
  assert.deepEqual(problems('HostIpRouteEntry', { network: '10.0.0.0', prefixLength: 24, gateway: '10.0.1.1' }), []);
  assert.deepEqual(problems('HostIpRouteEntry', { network: 10, prefixLength: '24', via: 'x' }), [
    'it: HostIpRouteEntry has no member via',
    'it.network: 10 is no string',
    'it.prefixLength: "24" is no int',
    'it.gateway: required by the published type, and not there',
  ]);
  assert.deepEqual(problems('int', 2 ** 31), ['it: 2147483648 is no int']);
  assert.deepEqual(problems('dateTime', 'yesterday'), ['it: "yesterday" is no dateTime']);
  assert.deepEqual(problems('anyType', 'text'), ['it: what stands for anything has to say its type']);
  assert.deepEqual(problems('anyType', { _typeName: 'ArrayOfString', _value: ['a', 1] }), ['it[1]: 1 is no string']);
  assert.deepEqual(problems('MethodFault', { _typeName: 'InvalidLogin' }), []);
  assert.deepEqual(problems('MethodFault', { _typeName: 'InvalidLogon' }), [
    'it: the type InvalidLogon is not published',
  ]);
});

test('what is filled fits, and has nothing that was not required', () => {
  const config = fill(schema, 'VirtualMachineConfigInfo', { name: 'shop' });
  assert.deepEqual(problems('VirtualMachineConfigInfo', config), []);
  assert.equal('annotation' in config, false);
  assert.throws(() => fill(schema, 'ServiceContent'), /ServiceContent\.rootFolder: a reference that nobody gave/);
});

test('a list where one belongs, one where a list belongs', () => {
  const violations: string[] = [];
  const field = { name: 'vm', type: 'string', array: true, optional: true };
  checkField({ schema, violations }, field, 'one', 'it');
  checkField({ schema, violations }, { ...field, array: false }, ['one'], 'it');
  assert.deepEqual(violations, ['it: has to be an array of string', 'it: ["one"] is no string']);
});
