import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configSchema } from './config.ts';
import plugin from './plugin.ts';

test('a host is a name or address alone: an address of a browser is refused in words', () => {
  for (const host of ['vc1.example.org', '10.213.1.45', 'fd00::45'])
    assert.equal(configSchema.parse({ host }).host, host);
  for (const host of ['https://10.213.1.45/sdk', '10.213.1.45/', 'root@vc1', 'vc1:8443', '[fd00::45]', 'a b', '']) {
    const { error } = configSchema.safeParse({ host });
    assert.ok(error !== undefined, host);
    if (host !== '') assert.match(error.message, /a name or address alone, without https/);
  }
});

test('it says of itself that it logs in with a password alone', () => {
  assert.deepEqual(plugin.credentialKinds, ['password']);
});
