import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { errorCode, LmasError } from '../errors.ts';
import { createRegistry, loadPlugins, validatePlugin } from './registry.ts';

const plugin = {
  name: 'some',
  apiVersion: 1,
  capabilities: {
    redirectedRoute: true,
    transparentRoute: false,
    copiesDisks: false,
    postCopy: false,
    survivesController: false,
  },
  configSchema: z.object({}),
  optionsSchema: z.object({}),
  connect: async () => assert.fail(),
  migration: () => assert.fail(),
};
const invalid = (error: unknown) => errorCode(error) === 'PLUGIN_INVALID';

test('a plugin is looked up by its name', () => {
  const registry = createRegistry([validatePlugin('here', plugin)]);
  assert.equal(registry.get('some'), plugin);
  assert.equal(registry.find('other'), undefined);
  assert.throws(() => registry.get('other'), invalid);
});

test('everything that is wrong with a plugin is named', () => {
  const broken = { ...plugin, apiVersion: 2, configSchema: {}, connect: undefined };
  assert.throws(
    () => validatePlugin('pkg', broken),
    (error) =>
      invalid(error) &&
      error instanceof LmasError &&
      ['pkg', 'apiVersion', 'configSchema', 'connect'].every((part) => error.message.includes(part)),
  );
  assert.throws(() => validatePlugin('pkg', undefined), invalid);
});

test('a drill is there exactly when the capabilities say so', () => {
  const can = { ...plugin, capabilities: { ...plugin.capabilities, drills: true } };
  const drill = () => assert.fail();
  assert.equal(validatePlugin('pkg', { ...can, drill }).drill, drill);
  for (const half of [can, { ...plugin, drill }, { ...can, drill: 'yes' }]) {
    assert.throws(
      () => validatePlugin('pkg', half),
      (error) => invalid(error) && error instanceof LmasError && error.message.includes('drill'),
    );
  }
});

test('what moves VMs that are off is there exactly when the capabilities say so', () => {
  const can = { ...plugin, capabilities: { ...plugin.capabilities, movesPoweredOff: true } };
  const relocation = () => assert.fail();
  assert.equal(validatePlugin('pkg', { ...can, relocation }).relocation, relocation);
  for (const half of [can, { ...plugin, relocation }]) {
    assert.throws(
      () => validatePlugin('pkg', half),
      (error) => invalid(error) && error instanceof LmasError && error.message.includes('relocation'),
    );
  }
});

test('two of one name, and packages that are not there, are refused', async () => {
  const value = validatePlugin('here', plugin);
  assert.throws(() => createRegistry([value, value]), invalid);
  await assert.rejects(loadPlugins(['@lmas/there-is-none']), invalid);
});
