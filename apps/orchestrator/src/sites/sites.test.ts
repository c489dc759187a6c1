import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { after, before, test } from 'node:test';
import { z } from 'zod';
import { LmasError } from '../errors.ts';
import { createRegistry, validatePlugin } from '../plugins/registry.ts';
import { startTestRedis, type TestRedis } from '../testing/test-redis.ts';
import { createInventory, type Inventory } from './sites.ts';

const plugin = (name: string, more: object = {}) =>
  validatePlugin(name, {
    name,
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
    connect: () => assert.fail(),
    migration: () => assert.fail(),
    ...more,
  });

let redis: TestRedis;
let inventory: Inventory;
before(async () => {
  redis = await startTestRedis();
  const plugins = createRegistry([plugin('any'), plugin('picky', { credentialKinds: ['password'] })]);
  const vault = { seal: async (_id: string, text: string) => text, open: async (_id: string, text: string) => text };
  inventory = createInventory(redis.redis, { vault, plugins, migrations: { unfinished: async () => [] } });
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 });
  const pem = String(privateKey.export({ type: 'pkcs1', format: 'pem' }));
  const common = { username: 'lmas', project: null };
  await inventory.credentials.add({ ...common, id: 'key', kind: 'ssh-key', privateKey: pem });
  await inventory.credentials.add({ ...common, id: 'word', kind: 'password', password: 'secret' });
  await inventory.sites.add({ id: 'here', description: '', gateway: null });
});
after(() => redis[Symbol.asyncDispose]());

const endpoint = (id: string, of: string, credential: string) => ({
  ...{ id, site: 'here', plugin: of, credential, config: {} },
});
const unfit = (error: unknown) => {
  assert.ok(error instanceof LmasError);
  assert.deepEqual([error.code, error.issues?.map(({ path }) => path)], ['INVALID_CREDENTIAL', ['credential']]);
  assert.match(error.message, /picky log in with a credential of kind password; key is of kind ssh-key/);
  return true;
};

test('an endpoint is registered with a credential that its plugin can log in with', async () => {
  const { endpoints } = inventory;
  await assert.rejects(endpoints.add(endpoint('a', 'picky', 'key')), unfit);
  await assert.rejects(endpoints.add(endpoint('a', 'picky', 'nobody')), { code: 'UNKNOWN_REFERENCE' });
  await endpoints.add(endpoint('a', 'picky', 'word'));
  for (const credential of ['key', 'word']) await endpoints.add(endpoint(`any-${credential}`, 'any', credential));
  assert.deepEqual(
    (await endpoints.list()).map(({ id, credential }) => `${id} ${credential}`),
    ['a word', 'any-key key', 'any-word word'],
  );
});

test('and is given no other one later', async () => {
  const { endpoints } = inventory;
  await endpoints.add(endpoint('b', 'picky', 'word'));
  const seen = () => undefined;
  await assert.rejects(endpoints.change('b', { credential: 'key' }, seen), unfit);
  await assert.rejects(endpoints.change('b', { credential: 'nobody' }, seen), { code: 'UNKNOWN_REFERENCE' });
  assert.equal((await endpoints.change('b', { credential: 'word' }, seen)).credential, 'word');
});
