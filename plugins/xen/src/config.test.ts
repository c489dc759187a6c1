import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configSchema } from './config.ts';
import plugin from './plugin.ts';
import { configSchema as xlConfigSchema } from './xl/config.ts';

test('a host is a name or address alone: an address of a browser is refused in words', () => {
  for (const host of ['xen1.example.org', '10.213.1.45', 'fd00::45'])
    assert.equal(configSchema.parse({ host }).host, host);
  for (const host of ['https://10.213.1.45/sdk', '10.213.1.45/', 'root@xen1', 'xen1:8443', '[fd00::45]', 'a b', '']) {
    const { error } = configSchema.safeParse({ host });
    assert.ok(error !== undefined, host);
    if (host !== '') assert.match(error.message, /a name or address alone, without https/);
  }
});

test('a host with plain Xen is a name or address alone: where SSH would take more, the rest has settings of its own', () => {
  const rest = { hostKeys: [`SHA256:${'A'.repeat(43)}`], migrationAddress: '10.213.1.45' };
  for (const host of ['xen1', '10.213.1.45', 'fd00::45'])
    assert.equal(xlConfigSchema.parse({ host, ...rest }).host, host);
  for (const host of ['ssh://xen1', 'root@xen1', 'xen1:22', '[fd00::45]', 'a b'])
    assert.match(xlConfigSchema.safeParse({ host, ...rest }).error?.message ?? '', /alone, without ssh.*credential/);
});

test('it says of itself that it logs in with a password alone', () => {
  assert.deepEqual(plugin.credentialKinds, ['password']);
});
