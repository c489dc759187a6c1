import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { errorCode } from '../errors.ts';
import { createVault } from './vault.ts';

const vault = createVault(randomBytes(32));
const refused = (error: unknown) => errorCode(error) === 'SECRET_KEY_INVALID';

test('what was sealed for an id opens for that id, and differs every time', () => {
  const sealed = vault.seal('site-a', 'geheim ü');
  assert.equal(vault.open('site-a', sealed), 'geheim ü');
  assert.notEqual(vault.seal('site-a', 'geheim ü'), sealed);
  assert.ok(!Buffer.from(sealed, 'base64').includes('geheim'));
});

test('it opens for no other id, under no other key, and not after any change', () => {
  const sealed = vault.seal('site-a', 'geheim');
  assert.throws(() => vault.open('site-b', sealed), refused);
  assert.throws(() => createVault(randomBytes(32)).open('site-a', sealed), refused);
  const bytes = Buffer.from(sealed, 'base64');
  for (let i = 0; i < bytes.length; i++) {
    const changed = Buffer.from(bytes);
    changed.writeUInt8((changed.readUInt8(i) + 1) % 256, i);
    assert.throws(() => vault.open('site-a', changed.toString('base64')), refused, `byte ${i}`);
  }
  for (const length of [0, 1, 12, 28]) {
    assert.throws(() => vault.open('site-a', bytes.subarray(0, length).toString('base64')), refused, `${length} bytes`);
  }
});

test('a key of another length is refused', () => {
  assert.throws(() => createVault(randomBytes(16)), refused);
});
