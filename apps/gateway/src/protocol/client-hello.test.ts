import assert from 'node:assert/strict';
import { duplexPair } from 'node:stream';
import { test } from 'node:test';
import tls from 'node:tls';
import { makeIdentity } from '../security/certificate.ts';
import { handshakeRecordLength, offersSession } from './client-hello.ts';

/** The first bytes of a real client. */
async function helloOf(options: tls.ConnectionOptions): Promise<Buffer> {
  const [here, there] = duplexPair();
  tls.connect({ socket: here, minVersion: 'TLSv1.3', ...options }).on('error', () => undefined);
  const bytes = await new Promise<Buffer>((resolve) => there.once('data', resolve));
  here.destroy();
  there.destroy();
  return bytes;
}

/** One that a real server has handed out. */
async function handedOutSession(): Promise<Buffer> {
  const identity = makeIdentity(1);
  const server = tls.createServer({ cert: identity.certificatePem, key: identity.keyPem });
  const [here, there] = duplexPair();
  server.emit('connection', there);
  const client = tls.connect({ socket: here, rejectUnauthorized: false });
  client.on('error', () => undefined);
  const session = await new Promise<Buffer>((resolve) => client.once('session', resolve));
  client.destroy();
  return session;
}

test('a client that offers a session is told from one that does not', { timeout: 10_000 }, async () => {
  const plain = await helloOf({});
  const resuming = await helloOf({ session: await handedOutSession() });
  assert.equal(offersSession(plain), false);
  assert.equal(offersSession(resuming), true);
  for (const hello of [plain, resuming]) assert.equal(handshakeRecordLength(hello), hello.length - 5);
});

test('what is no whole ClientHello offers nothing', { timeout: 10_000 }, async () => {
  const resuming = await helloOf({ session: await handedOutSession() });
  const withoutLast = [...resuming.keys()].filter((length) => offersSession(resuming.subarray(0, length)));
  assert.ok(
    withoutLast.every((length) => length > resuming.length - 400),
    'only from the extension on, which is the last',
  );
  assert.equal(offersSession(Buffer.alloc(0)), false);
  assert.equal(offersSession(Buffer.from('GET / HTTP/1.1\r\n\r\n')), false);
  assert.equal(offersSession(Buffer.alloc(2_000, 0xff)), false);
  assert.equal(handshakeRecordLength(Buffer.from('GET /')), 0);
  assert.equal(handshakeRecordLength(Buffer.from([22, 3, 1, 0xff, 0xff])), 0);
});
