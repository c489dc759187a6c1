import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sessionConfigSchema } from '@lmas/gateway-api';
import { staticConfigSchema } from './static-config.ts';

test('the file knows everything that can be said of a session; the certificate of the peer is a file of its own', () => {
  const wanted = Object.keys(sessionConfigSchema.shape).filter((key) => key !== 'peerCertificate');
  assert.deepEqual(Object.keys(staticConfigSchema.shape.session.shape).toSorted(), wanted.toSorted());
});
