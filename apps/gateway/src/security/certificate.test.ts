import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { identityFromPem, makeIdentity } from './certificate.ts';

test('an identity is a certificate and the key that belongs to it', () => {
  const made = makeIdentity(1);
  const read = identityFromPem(made.certificatePem, made.keyPem);
  assert.equal(read.certificateSha256, made.certificateSha256);
  assert.ok(Date.parse(new X509Certificate(made.certificatePem).validFrom) < Date.now() - 3_600_000, 'backdated');
});

test('a key of another certificate, and what is no key, are refused before anything starts', () => {
  const [one, other] = [makeIdentity(1), makeIdentity(1)];
  assert.throws(() => identityFromPem(one.certificatePem, other.keyPem), { code: 'CERTIFICATE_INVALID' });
  assert.throws(() => identityFromPem(one.certificatePem, 'no key'), { code: 'CERTIFICATE_INVALID' });
  assert.throws(() => identityFromPem('no certificate', one.keyPem), { code: 'CERTIFICATE_INVALID' });
});
