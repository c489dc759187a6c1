import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fieldsOf, textOf, valuesOf } from './schema-values.ts';

const SCHEMA = {
  type: 'object',
  properties: {
    port: { type: 'integer', default: 22 },
    host: { type: 'string', description: 'Name or address' },
    migrationAddress: { anyOf: [{ type: 'string' }, { type: 'string' }] },
    hostKeys: { type: 'array', items: { type: 'string' } },
    shelf: { type: 'string', names: 'storage' },
    folder: { type: 'string', names: 'something newer' },
    protocol: { type: 'string', enum: ['auto', 'soap'], default: 'auto' },
    autoConverge: { type: 'boolean', default: false },
    rate: { anyOf: [{ type: 'integer' }, { type: 'null' }], default: null },
    mixed: { anyOf: [{ type: 'integer' }, { type: 'string' }] },
    portRange: { type: 'object', properties: {}, default: { from: 1, to: 2 } },
  },
  required: ['host', 'hostKeys'],
};
const fields = fieldsOf(SCHEMA);

test('what is needed comes first, and each thing has the field that fits it', () => {
  assert.deepEqual(
    fields.map(({ name, kind, isRequired }) => [name, kind, isRequired]),
    [
      ['host', 'text', true],
      ['hostKeys', 'lines', true],
      ['port', 'number', false],
      ['migrationAddress', 'text', false],
      ['shelf', 'text', false],
      ['folder', 'text', false],
      ['protocol', 'choice', false],
      ['autoConverge', 'flag', false],
      ['rate', 'number', false],
      ['mixed', 'json', false],
      ['portRange', 'json', false],
    ],
  );
  assert.equal(fields.find(({ name }) => name === 'portRange')?.usual, '{"from":1,"to":2}');
});

test('what names a place says of which kind', () => {
  assert.deepEqual(
    fields.filter(({ names }) => names !== undefined).map(({ name, names }) => [name, names]),
    [['shelf', 'storage']],
  );
});

test('what was typed becomes what the plugin wants; empty fields are left to their defaults', () => {
  const values = {
    host: 'kvm-a',
    hostKeys: ['SHA256:a', 'SHA256:b'],
    port: 2_222,
    protocol: 'soap',
    autoConverge: false,
    portRange: { from: 5, to: 9 },
  };
  const typed = Object.fromEntries(
    fields.map(({ name, kind }) => [name, textOf((values as Record<string, unknown>)[name], kind)]),
  );
  assert.deepEqual(valuesOf(fields, typed), values);
  assert.deepEqual(valuesOf(fields, { host: '' }), {});
});

test('JSON that is none is told with the name of its field', () => {
  assert.throws(() => valuesOf(fields, { portRange: '{from: 5}' }), /^Error: portRange is not JSON/);
});
