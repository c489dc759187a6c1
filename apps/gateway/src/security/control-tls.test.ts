// What the check of a peer says to a resumed session: one that was truly resumed, which our own acceptor never lets happen.
import assert from 'node:assert/strict';
import type net from 'node:net';
import { test } from 'node:test';
import tls from 'node:tls';
import { makeIdentity } from './certificate.ts';
import { checkPeer } from './control-tls.ts';

test('a resumed session is TLS_RESUMED, though it carries the pinned certificate of the handshake before it', {
  timeout: 10_000,
}, async () => {
  const [own, peer] = [makeIdentity(1), makeIdentity(1)];
  const pin = { certificateDer: peer.certificateDer };
  // Unlike our acceptor: one context for all connections, and tickets.
  const server = tls.createServer({
    cert: own.certificatePem,
    key: own.keyPem,
    minVersion: 'TLSv1.3',
    requestCert: true,
    rejectUnauthorized: false,
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;

  /** Connects, looks at the server's side of it, and resolves with the session that was handed out. */
  const connect = (options: tls.ConnectionOptions, look: (socket: tls.TLSSocket) => void) =>
    new Promise<Buffer>((resolve, reject) => {
      const client = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options });
      server.once('secureConnection', (socket) => {
        socket.on('error', () => undefined);
        try {
          look(socket);
          socket.end('seen');
        } catch (error) {
          reject(error);
          socket.destroy();
        }
      });
      let session = Buffer.alloc(0);
      client.on('session', (handed) => {
        session = handed;
      });
      client.on('error', reject);
      client.on('data', () => undefined);
      client.once('close', () => resolve(session));
    });

  try {
    const session = await connect({ cert: peer.certificatePem, key: peer.keyPem }, (socket) => {
      assert.equal(socket.isSessionReused(), false);
      checkPeer(socket, own, pin);
      assert.throws(() => checkPeer(socket, own, pin, Date.UTC(2000, 0, 1)), {
        code: 'PEER_CERTIFICATE_EXPIRED',
        message: /not valid now\. \(valid from 2\S+Z to 2\S+Z; the clock here says 2000-01-01T00:00:00Z\)$/,
      });
    });
    assert.ok(session.length > 0, 'a session was handed out');
    await connect({ session }, (socket) => {
      assert.equal(socket.isSessionReused(), true);
      assert.ok(socket.getPeerX509Certificate()?.raw.equals(peer.certificateDer), 'nothing else would refuse it');
      assert.throws(() => checkPeer(socket, own, pin), { code: 'TLS_RESUMED' });
    });
  } finally {
    server.close();
  }
});
