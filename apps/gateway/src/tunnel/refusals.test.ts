// Everybody who has no business at the data port of a whole gateway, with real sockets: what is said to them, and how they are counted.
import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import net from 'node:net';
import { type Duplex, duplexPair } from 'node:stream';
import { describe, test } from 'node:test';
import tls from 'node:tls';
import { encodeJoinBody, encodePreamble, JOIN_BYTES } from '../protocol/handshake.ts';
import { type Identity, makeIdentity } from '../security/certificate.ts';
import type { Chunk } from '../testing/relay.ts';
import { makeGateway, makePair, makeRelayedPair, type Pair, until } from '../testing/support.ts';
import { connectControl } from './connector.ts';
import { HANDSHAKE_TIMEOUT_MS } from './handshake-io.ts';

/** Sends bytes to the data port and resolves when the gateway has closed the connection, with what it said. */
function knock(port: number, bytes: Uint8Array, end = false): Promise<Buffer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const socket = net.connect(port, '127.0.0.1', () => {
      socket.write(bytes);
      if (end) socket.end();
    });
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(Buffer.concat(chunks)));
  });
}

/** A TLS client on the data port; resolves with what the gateway said inside TLS before it closed. */
function knockTls(
  port: number,
  options: tls.ConnectionOptions,
  wrap: (raw: net.Socket) => Duplex = (raw) => raw,
): Promise<Buffer> {
  return new Promise((resolve) => {
    const raw = net.connect(port, '127.0.0.1', () => {
      raw.write(encodePreamble('control'));
      const socket = tls.connect({ socket: wrap(raw), rejectUnauthorized: false, ...options });
      const chunks: Buffer[] = [];
      socket.on('data', (chunk: Buffer) => chunks.push(chunk));
      socket.on('error', () => undefined);
      socket.on('close', () => resolve(Buffer.concat(chunks)));
    });
    raw.on('error', () => undefined);
  });
}

/** Connects as the true peer that holds somebody else's certificate for ours; rejects with what it says about it. */
function refuseOurs(pair: Pair): Promise<unknown> {
  const pin = { certificateDer: makeIdentity(1).certificateDer };
  const peer = { host: '127.0.0.1', port: pair.farPort };
  return connectControl(peer, pair.nearIdentity, pin, { signal: AbortSignal.timeout(5_000) });
}

/** Connects as the true peer, and leaves with a session: OpenSSL hands them out whatever it is told. */
async function takeSession(pair: Pair): Promise<Buffer> {
  const raw = net.connect(pair.farPort, '127.0.0.1');
  raw.write(encodePreamble('control'));
  const client = tls.connect({ socket: raw, rejectUnauthorized: false, ...credentials(pair.nearIdentity) });
  client.on('error', () => undefined);
  const session = new Promise<Buffer>((resolve) => client.once('session', resolve));
  client.resume();
  const taken = await session;
  client.destroy();
  return taken;
}

/** Sends the first record, a ClientHello, in two. */
function inTwoRecords(raw: net.Socket): Duplex {
  const [client, wire] = duplexPair();
  let isFirst = true;
  wire.on('data', (bytes: Buffer) => {
    if (!isFirst) return void raw.write(bytes);
    isFirst = false;
    const half = 40;
    for (const part of [bytes.subarray(5, half), bytes.subarray(half)]) {
      raw.write(Buffer.concat([bytes.subarray(0, 3), Buffer.from([part.length >> 8, part.length & 0xff]), part]));
    }
  });
  raw.on('data', (bytes: Buffer) => wire.write(bytes));
  raw.on('close', () => client.destroy());
  wire.on('error', () => undefined);
  return client;
}

const credentials = (identity: Identity) => ({ cert: identity.certificatePem, key: identity.keyPem });

describe('who is refused at the data port', () => {
  const withPair = (name: string, code: string, body: (pair: Pair) => Promise<unknown>, timeout = 5_000) =>
    test(name, { timeout: 15_000 }, async (t) => {
      const pair = await makePair(t, { subflows: 2 });
      await body(pair);
      await until(
        () => (pair.far.refusals[code] ?? 0) >= 1,
        `${code} is counted (${JSON.stringify(pair.far.refusals)})`,
        timeout,
      );
      assert.equal(pair.far.status().session?.refusals[code], pair.far.refusals[code]);
      assert.equal(pair.near.session?.state, 'established', 'the session goes on');
    });

  withPair('a stranger that speaks something else', 'PREAMBLE_INVALID', (pair) =>
    knock(pair.farPort, Buffer.from('GET / HTTP/1.1\r\n\r\n')),
  );
  withPair('a stranger of another version', 'VERSION_UNSUPPORTED', (pair) =>
    knock(pair.farPort, Buffer.from('4c4d415309010000', 'hex')),
  );
  withPair('a stranger that leaves in the middle', 'HANDSHAKE_TRUNCATED', (pair) =>
    knock(pair.farPort, Buffer.from('LMA'), true),
  );
  withPair(
    'the peer itself, which hangs up because it does not know our certificate',
    'HANDSHAKE_TRUNCATED',
    async (pair) => {
      const beganAtMs = performance.now();
      await assert.rejects(refuseOurs(pair), { code: 'PEER_CERTIFICATE_MISMATCH' });
      await until(() => pair.far.refusals.HANDSHAKE_TRUNCATED === 1, 'it is noticed');
      assert.ok(performance.now() - beganAtMs < HANDSHAKE_TIMEOUT_MS, 'no time-out was waited for');
    },
  );
  withPair('a client without a certificate', 'PEER_WITHOUT_CERTIFICATE', async (pair) => {
    assert.equal((await knockTls(pair.farPort, {})).length, 0, 'nothing is said to it');
  });
  withPair('a client with another valid certificate', 'PEER_CERTIFICATE_MISMATCH', async (pair) => {
    assert.equal((await knockTls(pair.farPort, credentials(makeIdentity(1)))).length, 0);
  });
  withPair("a client with the gateway's own certificate", 'PEER_CERTIFICATE_OWN', async (pair) => {
    assert.equal((await knockTls(pair.farPort, credentials(pair.farIdentity))).length, 0);
  });
  withPair('a client that wants TLS 1.2', 'TLS_FAILED', (pair) =>
    knockTls(pair.farPort, { ...credentials(pair.nearIdentity), maxVersion: 'TLSv1.2' }),
  );
  for (const shown of ['no certificate', 'the pinned certificate']) {
    withPair(`a client that wants to resume a session, showing ${shown}`, 'TLS_RESUMED', async (pair) => {
      const session = await takeSession(pair);
      const shows = shown === 'no certificate' ? {} : credentials(pair.nearIdentity);
      assert.equal((await knockTls(pair.farPort, { session, ...shows })).length, 0, 'nothing is said to it');
    });
  }
  withPair('a client that hides its wish to resume in two records', 'PEER_WITHOUT_CERTIFICATE', async (pair) => {
    const session = await takeSession(pair);
    assert.equal((await knockTls(pair.farPort, { session }, inTwoRecords)).length, 0, 'the handshake was a full one');
  });
  test('a client with the pinned certificate, expired', { timeout: 15_000 }, async (t) => {
    const expired = makeIdentity(-0.5);
    const far = makeGateway(t, makeIdentity(1));
    const { listening } = await far.configureSession({
      sessionId: '7b1c5c0e-5f0e-4f63-9d3a-2f5d3c1a9e10',
      protocolVersion: 1,
      suite: 'aes-256-gcm',
      peerCertificate: expired.certificatePem,
      role: { kind: 'listen', address: '127.0.0.1', port: 0 },
      subflows: 1,
      maxWindowBytes: 1 << 20,
      bandwidthBytesPerSec: null,
      graceMs: 1_000,
    });
    assert.equal((await knockTls(listening?.port ?? 0, credentials(expired))).length, 0, 'nothing is said to it');
    await until(() => far.refusals.PEER_CERTIFICATE_EXPIRED === 1, 'it is counted');
  });
  withPair('a join that does not authenticate', 'JOIN_INVALID', async (pair) => {
    const sessionId = Buffer.from(pair.farConfig.sessionId.replaceAll('-', ''), 'hex');
    const body = encodeJoinBody({ sessionId, epoch: 1, subflowId: 0, generation: 99, nonce: randomBytes(32) });
    const mac = createHmac('sha256', 'guess').update(body).digest();
    assert.equal((await knock(pair.farPort, Buffer.concat([encodePreamble('subflow'), body, mac]))).length, 0);
  });
  withPair('a join of another session', 'SESSION_MISMATCH', (pair) =>
    knock(pair.farPort, Buffer.concat([encodePreamble('subflow'), randomBytes(JOIN_BYTES)])),
  );
  withPair(
    'a stranger that says nothing, after five seconds',
    'HANDSHAKE_TIMEOUT',
    (pair) => knock(pair.farPort, Buffer.alloc(0)),
    6_000,
  );

  test('a replayed join displaces nothing and is counted', { timeout: 15_000 }, async (t) => {
    // Stand in between to hear the join of a real subflow.
    const heard: Buffer[] = [];
    const listenIn = ({ bytes, kind, toPeer }: Chunk) => {
      if (kind === 'subflow' && toPeer && Buffer.concat(heard).length < 8 + JOIN_BYTES) heard.push(bytes);
      return bytes;
    };
    const { near, far, farPort } = await makeRelayedPair(t, { subflows: 1, change: listenIn });
    const join = Buffer.concat(heard).subarray(0, 8 + JOIN_BYTES);
    const before = far.session?.data.subflows[0];
    assert.equal((await knock(farPort, join)).length, 0);
    await until(() => far.refusals.JOIN_REPLAYED === 1, 'the replay is counted');
    assert.ok(before !== undefined && far.session?.data.subflows[0] === before, 'the subflow is the same');
    assert.equal(near.session?.state, 'established');
  });

  test('more strangers than may wait are turned away at once', { timeout: 15_000 }, async (t) => {
    const pair = await makePair(t, { subflows: 1 });
    const sockets = Array.from({ length: 80 }, () =>
      net.connect(pair.farPort, '127.0.0.1').on('error', () => undefined),
    );
    await until(() => (pair.far.refusals.TOO_MANY_STRANGERS ?? 0) >= 16, 'the surplus is refused');
    for (const socket of sockets) socket.destroy();
    assert.equal(pair.near.session?.state, 'established');
  });
});
