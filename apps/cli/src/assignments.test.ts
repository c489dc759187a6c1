import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSettings, parseTextMap } from './assignments.ts';
import { CliError } from './errors.ts';

const schema = {
  type: 'object',
  properties: {
    ssh: {
      type: 'object',
      properties: {
        host: { type: 'string' },
        port: { type: 'integer' },
        hostKeys: { type: 'array', items: { type: 'string' } },
      },
    },
    name: { anyOf: [{ type: 'string' }, { type: 'null' }] },
    mode: { enum: ['1', '2'] },
  },
};

test('the schema says what is a number, a text and a list', () => {
  const settings = parseSettings(
    ['ssh.host=10', 'ssh.port=22', 'ssh.hostKeys=SHA256:a', 'ssh.hostKeys=SHA256:b=', 'name=007', 'mode=1', 'free=5'],
    '--config',
    schema,
  );
  assert.deepEqual(settings, {
    ssh: { host: '10', port: 22, hostKeys: ['SHA256:a', 'SHA256:b='] },
    name: '007',
    mode: '1',
    free: 5,
  });
  assert.deepEqual(parseSettings(['name=null'], '--config', schema), { name: null });
});

test('without a schema JSON is JSON and all else is text', () => {
  assert.deepEqual(parseSettings(['a=true', 'b=x=y', 'c=[1,2]', 'd="5"', 'e='], '--option'), {
    a: true,
    b: 'x=y',
    c: [1, 2],
    d: '5',
    e: '',
  });
});

test('a key given twice, no key, and a value below a value are refused', () => {
  for (const texts of [['a=1', 'a=2'], ['=1'], ['a'], ['a=1', 'a.b=2']]) {
    assert.throws(() => parseSettings(texts, '--option'), CliError, texts.join(' '));
  }
  assert.throws(() => parseTextMap(['lan=x', 'lan=y'], '--network-map'), CliError);
});

test('broken JSON is refused, unless a text is wanted', () => {
  for (const text of ['vms={"bad', 'vms=["a"', 'vms=[{"a":1}', 'ssh.port={"a"}']) {
    assert.throws(() => parseSettings([text], '--config', schema), /--config .* is not JSON: /, text);
  }
  const settings = parseSettings(
    ['ssh.host={"bad', 'ssh.hostKeys={"bad', 'name=["', 'note=[draft] x'],
    '--config',
    schema,
  );
  assert.deepEqual(settings, { ssh: { host: '{"bad', hostKeys: ['{"bad'] }, name: '["', note: '[draft] x' });
});

test('no name reaches the prototype', () => {
  const settings = parseSettings(['__proto__.polluted=true', 'constructor.prototype.x=1'], '--option');
  assert.equal(({} as { polluted?: boolean }).polluted, undefined);
  assert.equal(Object.getPrototypeOf(settings), Object.prototype);
  assert.ok(Object.hasOwn(settings, '__proto__'));
});
