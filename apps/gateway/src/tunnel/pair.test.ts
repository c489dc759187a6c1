// Two whole gateways on loopback, with real sockets, and everybody who has no business with them.
import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import net from 'node:net';
import { describe, test } from 'node:test';
import tls from 'node:tls';
import { encodeJoinBody, encodePreamble, JOIN_BYTES } from '../protocol/handshake.ts';
import { type Identity, makeIdentity } from '../security/certificate.ts';
import {
  exchange,
  hashServer,
  listen,
  makeGateway,
  makePair,
  makeRoute,
  type Pair,
  sha1,
  until,
} from '../testing/support.ts';

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
function knockTls(port: number, options: tls.ConnectionOptions): Promise<Buffer> {
  return new Promise((resolve) => {
    const raw = net.connect(port, '127.0.0.1', () => {
      raw.write(encodePreamble('control'));
      const socket = tls.connect({ socket: raw, rejectUnauthorized: false, ...options });
      const chunks: Buffer[] = [];
      socket.on('data', (chunk: Buffer) => chunks.push(chunk));
      socket.on('error', () => undefined);
      socket.on('close', () => resolve(Buffer.concat(chunks)));
    });
    raw.on('error', () => undefined);
  });
}

const credentials = (identity: Identity) => ({ cert: identity.certificatePem, key: identity.keyPem });

describe('who is refused at the data port', () => {
  const withPair = (name: string, code: string, body: (pair: Pair) => Promise<unknown>, timeout = 5_000) =>
    test(name, { timeout: 15_000 }, async () => {
      const pair = await makePair({ subflows: 2, relayed: true });
      try {
        await body(pair);
        await until(
          () => (pair.far.refusals[code] ?? 0) >= 1,
          `${code} is counted (${JSON.stringify(pair.far.refusals)})`,
          timeout,
        );
        assert.equal(pair.far.status().session?.refusals[code], pair.far.refusals[code]);
        assert.equal(pair.near.session?.state, 'established', 'the session goes on');
      } finally {
        pair.close();
      }
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
  // No session is kept here, so that the handshake is a full one after all: what is left to see is that nothing was shown in it.
  withPair(
    'a client that resumes a session instead of showing a certificate',
    'PEER_WITHOUT_CERTIFICATE',
    async (pair) => {
      // First as the true peer, to get a session: OpenSSL hands them out whatever it is told.
      const sessions: Buffer[] = [];
      const raw = net.connect(pair.farPort, '127.0.0.1');
      raw.write(encodePreamble('control'));
      const first = tls.connect({ socket: raw, rejectUnauthorized: false, ...credentials(pair.nearIdentity) });
      first.on('session', (session) => sessions.push(session));
      first.on('error', () => undefined);
      await new Promise((resolve) => first.once('data', resolve));
      await until(() => sessions.length > 0, 'a session was handed out');
      first.destroy();
      const said = await knockTls(pair.farPort, { session: sessions[0] ?? Buffer.alloc(0) });
      assert.equal(said.length, 0);
    },
  );
  test('a client with the pinned certificate, expired', { timeout: 15_000 }, async () => {
    const expired = makeIdentity(-0.5);
    const far = makeGateway(makeIdentity(1));
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
    far.shutdown();
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

  test('a replayed join displaces nothing and is counted', { timeout: 15_000 }, async () => {
    // Stand in between to hear the join of a real subflow.
    const heard: Buffer[] = [];
    const pair = await makePair({ subflows: 1 });
    pair.close();
    const near = makeGateway(pair.nearIdentity);
    const far = makeGateway(pair.farIdentity);
    const { listening } = await far.configureSession(pair.farConfig);
    const relay = net.createServer((socket) => {
      const upstream = net.connect(listening?.port ?? 0, '127.0.0.1');
      const mine: Buffer[] = [];
      socket.on('data', (chunk: Buffer) => {
        mine.push(chunk);
        upstream.write(chunk);
        const all = Buffer.concat(mine);
        if (all[5] === 2 && all.length >= 8 + JOIN_BYTES && heard.length === 0)
          heard.push(all.subarray(0, 8 + JOIN_BYTES));
      });
      upstream.pipe(socket);
      for (const side of [socket, upstream]) side.on('error', () => undefined);
    });
    const relayPort = await listen(relay);
    await near.configureSession({ ...pair.nearConfig, role: { kind: 'dial', host: '127.0.0.1', port: relayPort } });
    await until(
      () => near.session?.state === 'established' && far.session?.state === 'established' && heard.length === 1,
      'a join was heard',
    );
    const before = far.session?.data.subflows[0];
    assert.equal((await knock(listening?.port ?? 0, heard[0] ?? Buffer.alloc(0))).length, 0);
    await until(() => far.refusals.JOIN_REPLAYED === 1, 'the replay is counted');
    assert.ok(before !== undefined && far.session?.data.subflows[0] === before, 'the subflow is the same');
    assert.equal(near.session?.state, 'established');
    near.shutdown();
    far.shutdown();
    relay.close();
  });

  test('more strangers than may wait are turned away at once', { timeout: 15_000 }, async () => {
    const pair = await makePair({ subflows: 1 });
    const sockets = Array.from({ length: 80 }, () =>
      net.connect(pair.farPort, '127.0.0.1').on('error', () => undefined),
    );
    await until(() => (pair.far.refusals.TOO_MANY_STRANGERS ?? 0) >= 16, 'the surplus is refused');
    for (const socket of sockets) socket.destroy();
    assert.equal(pair.near.session?.state, 'established');
    pair.close();
  });

  for (const [name, code, change] of [
    [
      'corrupted',
      'FRAME_CORRUPTED',
      (chunk: Buffer) =>
        Buffer.concat([chunk.subarray(0, 50), Buffer.from([(chunk[50] ?? 0) ^ 1]), chunk.subarray(51)]),
    ],
    ['truncated', 'FRAME_TRUNCATED', null],
  ] as const) {
    test(`a ${name} frame ends its subflow, is counted, and costs no byte`, { timeout: 20_000 }, async () => {
      const pair = await makePair({ subflows: 2, relayed: true });
      const server = hashServer();
      const route = await makeRoute(pair, await listen(server));
      pair.relay?.harmOnce(change);
      const bytes = randomBytes(3_000_000);
      const answer = await exchange(route.port, bytes);
      assert.equal(answer.toString(), `${sha1(bytes)} ${bytes.length}`);
      await until(
        () => (pair.far.refusals[code] ?? 0) === 1,
        `${code} is counted (${JSON.stringify(pair.far.refusals)})`,
      );
      await until(() => pair.far.session?.data.subflows.length === 2, 'the subflow is replaced');
      pair.close();
      server.close();
    });
  }
});

describe('nothing is lost', () => {
  test('50 MB over six subflows that are cut all the time, and a control channel that is cut as well', {
    timeout: 40_000,
  }, async () => {
    const pair = await makePair({ subflows: 6, relayed: true });
    const server = hashServer();
    const route = await makeRoute(pair, await listen(server));
    const bytes = randomBytes(50_000_000);
    let cuts = 0;
    const cutter = setInterval(() => {
      cuts += pair.relay?.cut('subflow', 2) ?? 0;
      if (cuts % 3 === 0) cuts += pair.relay?.cut('control') ?? 0;
    }, 60);
    const answer = await exchange(route.port, bytes);
    clearInterval(cutter);
    assert.equal(answer.toString(), `${sha1(bytes)} ${bytes.length}`);
    assert.ok(cuts >= 6, `${cuts} cuts`);
    assert.ok((pair.near.session?.subflowsReplaced ?? 0) >= 4);
    await until(() => pair.near.session?.state === 'established', 'the session is whole again');
    pair.close();
    server.close();
  });

  test('an outage of everything: streams wait, and go on', { timeout: 20_000 }, async () => {
    const pair = await makePair({ subflows: 3, relayed: true, graceMs: 8_000 });
    const server = hashServer();
    const route = await makeRoute(pair, await listen(server));
    const socket = net.connect({ port: route.port, host: '127.0.0.1', allowHalfOpen: true });
    socket.on('error', () => undefined);
    socket.write('before ');
    await until(() => (pair.far.session?.data.bytesReceived ?? 0) === 7, 'the first bytes are there');
    const { relay } = pair;
    assert.ok(relay);
    relay.accepting = false;
    relay.cut('control');
    relay.cut('subflow');
    await until(
      () => pair.near.session?.state === 'interrupted' && pair.far.session?.state === 'interrupted',
      'both notice',
    );
    socket.end('after');
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    assert.equal(pair.near.session?.state, 'interrupted');
    relay.accepting = true;
    const answer = await new Promise<string>((resolve) => socket.once('data', (chunk) => resolve(String(chunk))));
    assert.equal(answer, `${sha1(Buffer.from('before after'))} 12`);
    assert.equal(pair.near.session?.state, 'established');
    pair.close();
    server.close();
  });

  test('past the grace time streams are reset and the reason is there', { timeout: 15_000 }, async () => {
    const pair = await makePair({ subflows: 2, relayed: true, graceMs: 1_000 });
    const server = hashServer();
    const route = await makeRoute(pair, await listen(server));
    const socket = net.connect({ port: route.port, host: '127.0.0.1' });
    socket.write('x');
    await until(() => (pair.far.session?.data.bytesReceived ?? 0) === 1, 'the stream is open');
    const reset = new Promise<string>((resolve) =>
      socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? '')),
    );
    assert.ok(pair.relay);
    pair.relay.accepting = false;
    pair.relay.cut('control');
    pair.relay.cut('subflow');
    assert.equal(await reset, 'ECONNRESET');
    const status = pair.near.status();
    assert.deepEqual([status.session?.state, status.session?.lastError?.code], ['closed', 'SESSION_LOST']);
    assert.equal(status.closedStreams[0]?.outcome, 'session-lost');
    pair.close();
    server.close();
  });

  test('a grace time that was lifted resets nothing, however late it was lifted', { timeout: 15_000 }, async () => {
    const pair = await makePair({ subflows: 2, relayed: true, graceMs: 1_000 });
    const server = hashServer();
    const route = await makeRoute(pair, await listen(server));
    const socket = net.connect({ port: route.port, host: '127.0.0.1', allowHalfOpen: true });
    const answer = new Promise<string>((resolve, reject) => {
      socket.once('data', (chunk) => resolve(String(chunk)));
      socket.once('error', reject);
    });
    socket.write('before ');
    await until(() => (pair.far.session?.data.bytesReceived ?? 0) === 7, 'the first bytes are there');
    const { relay } = pair;
    assert.ok(relay);
    pair.near.setLimits({ graceMs: null });
    relay.accepting = false;
    relay.cut('control');
    relay.cut('subflow');
    await until(() => pair.far.session?.state === 'interrupted', 'the far end notices');
    pair.far.setLimits({ graceMs: null });
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    assert.deepEqual([pair.near.session?.state, pair.far.session?.state], ['interrupted', 'interrupted']);
    relay.accepting = true;
    socket.end('after');
    assert.equal(await answer, `${sha1(Buffer.from('before after'))} 12`);
    pair.close();
    server.close();
  });

  test('subflows that swallow everything are found and replaced', { timeout: 20_000 }, async () => {
    const stall = { kernelMs: 500, silenceMs: 700, pingMs: 100 };
    const pair = await makePair({ subflows: 3, relayed: true, stall });
    const server = hashServer();
    const route = await makeRoute(pair, await listen(server));
    const { relay } = pair;
    assert.ok(relay);
    relay.swallow = 2;
    const bytes = randomBytes(2_000_000);
    const answer = exchange(route.port, bytes);
    await until(() => (pair.near.session?.subflowsReplaced ?? 0) >= 3, 'all are given up');
    relay.swallow = 0;
    assert.equal((await answer).toString(), `${sha1(bytes)} ${bytes.length}`);
    pair.close();
    server.close();
  });

  test('a gateway that was started again answers SESSION_UNKNOWN, and the other end gives up with that reason', {
    timeout: 15_000,
  }, async () => {
    const pair = await makePair({ subflows: 2, relayed: true });
    const { address, port } = pair.far.session?.listening ?? { address: '', port: 0 };
    const again = makeGateway(pair.farIdentity);
    const near = pair.near.session;
    // The far gateway dies without a word: what it would say is lost on the way.
    assert.ok(pair.relay);
    pair.relay.accepting = false;
    pair.relay.cut('control');
    pair.relay.cut('subflow');
    pair.far.shutdown();
    await again.configureSession({ ...pair.farConfig, role: { kind: 'listen', address, port } });
    pair.relay.accepting = true;
    await until(() => near?.isClosed === true, 'the near end gives up');
    assert.equal(near?.lastError?.code, 'SESSION_UNKNOWN');
    assert.equal(again.refusals.SESSION_UNKNOWN, 1);
    again.shutdown();
    pair.close();
  });
});

describe('routes', () => {
  test('dials come in the order of acceptance, one after the other', { timeout: 15_000 }, async () => {
    const pair = await makePair({ subflows: 4 });
    const order: string[] = [];
    const server = net.createServer((socket) => {
      const place = order.push('') - 1;
      socket.on('data', (chunk) => {
        order[place] += String(chunk);
      });
      socket.on('error', () => undefined);
    });
    const route = await makeRoute(pair, await listen(server));
    for (let index = 0; index < 16; index += 1) {
      await new Promise<void>((resolve) => {
        const socket = net.connect(route.port, '127.0.0.1', () => {
          socket.write(String(index));
          resolve();
        });
        socket.on('error', () => undefined);
      });
    }
    await until(() => order.length === 16 && order.every((name) => name !== ''), 'all have arrived');
    assert.deepEqual(
      order,
      Array.from({ length: 16 }, (_, index) => String(index)),
    );
    pair.close();
    server.close();
  });

  test('a dial that fails resets the hypervisor connection and says why at both ends', {
    timeout: 15_000,
  }, async () => {
    const pair = await makePair({ subflows: 2 });
    const closed = net.createServer();
    const port = await listen(closed);
    await new Promise((resolve) => closed.close(resolve));
    const route = await makeRoute(pair, port);
    const error = await exchange(route.port, Buffer.from('x')).catch((reason: NodeJS.ErrnoException) => reason.code);
    assert.equal(error, 'ECONNRESET');
    await until(() => pair.near.closedStreams.length === 1 && pair.far.closedStreams.length === 1, 'both ends know');
    for (const gateway of [pair.near, pair.far]) {
      assert.equal(gateway.closedStreams[0]?.outcome, 'dial-failed');
      assert.match(gateway.closedStreams[0]?.error ?? '', /ECONNREFUSED/);
    }
    pair.close();
  });

  test('a reset of the hypervisor goes through as a reset, both ways', { timeout: 15_000 }, async () => {
    const pair = await makePair({ subflows: 2 });
    const far: net.Socket[] = [];
    const server = net.createServer((socket) => far.push(socket));
    const route = await makeRoute(pair, await listen(server));
    for (const from of ['source', 'destination'] as const) {
      const near = net.connect(route.port, '127.0.0.1');
      near.write('x');
      await until(() => far.length === 1, 'it is through');
      const [remote] = far.splice(0);
      assert.ok(remote);
      const [breaks, notices] = from === 'source' ? [near, remote] : [remote, near];
      breaks.on('error', () => undefined);
      const code = new Promise((resolve) =>
        notices.once('error', (error: NodeJS.ErrnoException) => resolve(error.code)),
      );
      breaks.resetAndDestroy();
      assert.equal(await code, 'ECONNRESET');
    }
    pair.close();
    server.close();
  });

  test('an address that may not connect, and more streams than allowed, are reset and counted', {
    timeout: 15_000,
  }, async () => {
    const pair = await makePair({ subflows: 2 });
    const server = hashServer();
    const port = await listen(server);
    await pair.far.putRoute('r', {
      kind: 'dial',
      host: '127.0.0.1',
      port,
      allowSpecialAddress: true,
      maxStreams: 4,
      priority: 'bulk',
    });
    const shape = { kind: 'listen', address: '127.0.0.1', port: 0, priority: 'bulk' } as const;
    const closed = await pair.near.putRoute('r', { ...shape, allowFrom: ['192.0.2.1'], maxStreams: 4 });
    assert.equal(
      await exchange(closed.port, Buffer.from('x')).catch((error: NodeJS.ErrnoException) => error.code),
      'ECONNRESET',
    );
    assert.equal(pair.near.refusals.ADDRESS_NOT_ALLOWED, 1);
    pair.near.deleteRoute('r');
    const one = await pair.near.putRoute('r', { ...shape, allowFrom: ['127.0.0.1'], maxStreams: 1 });
    const holder = net.connect(one.port, '127.0.0.1');
    await until(() => pair.near.session?.data.streams.size === 1, 'one is open');
    assert.equal(
      await exchange(one.port, Buffer.from('x')).catch((error: NodeJS.ErrnoException) => error.code),
      'ECONNRESET',
    );
    assert.equal(pair.near.refusals.TOO_MANY_STREAMS, 1);
    holder.destroy();
    pair.close();
    server.close();
  });

  test('special addresses are not dialled unless that was meant', async () => {
    const gateway = makeGateway(makeIdentity(1));
    const shape = { kind: 'dial', port: 80, allowSpecialAddress: false, maxStreams: 1, priority: 'bulk' } as const;
    for (const host of [
      '127.0.0.1',
      '169.254.169.254',
      '::1',
      'fe80::1',
      '0.0.0.0',
      '224.0.0.1',
      '::ffff:127.0.0.1',
      'localhost',
    ]) {
      await assert.rejects(gateway.putRoute('r', { ...shape, host }), { code: 'ADDRESS_FORBIDDEN' }, host);
    }
    assert.equal((await gateway.putRoute('r', { ...shape, host: '192.0.2.1' })).port, 80);
  });

  test('the status tells each direction by itself, and how long delivery took', { timeout: 15_000 }, async () => {
    const pair = await makePair({ subflows: 3 });
    const server = hashServer();
    const route = await makeRoute(pair, await listen(server));
    pair.near.setLimits({ bandwidthBytesPerSec: 4_000_000 });
    const begun = performance.now();
    await exchange(route.port, randomBytes(3_000_000));
    const elapsedMs = performance.now() - begun;
    const [near, far] = [pair.near.status().session, pair.far.status().session];
    assert.ok(near !== null && far !== null);
    assert.equal(far.bytesReceived, 3_000_000);
    assert.ok(far.receivingMs > 100 && far.receivingMs <= elapsedMs, `${far.receivingMs} of ${elapsedMs} ms`);
    assert.ok(near.sendBitsPerSec > 1_000_000 && far.receiveBitsPerSec > 1_000_000);
    // The answer is 48 bytes long: what the far end sends is no measure of what the near one does.
    assert.ok(far.sendBitsPerSec < near.sendBitsPerSec / 100 && near.receiveBitsPerSec < far.receiveBitsPerSec / 100);
    pair.close();
    server.close();
  });

  test('a probe measures the link', { timeout: 15_000 }, async () => {
    const pair = await makePair({ subflows: 3 });
    const result = await pair.near.probe(400);
    assert.ok(result.rttMinMs > 0 && result.rttMinMs < 200);
    assert.ok((result.goodputBitsPerSec ?? 0) > 1e7, `${result.goodputBitsPerSec}`);
    assert.ok(Math.abs(result.clockOffsetMs) < 100);
    pair.close();
  });

  test('the bandwidth limit holds and can be changed', { timeout: 20_000 }, async () => {
    const pair = await makePair({ subflows: 3 });
    const server = hashServer();
    const route = await makeRoute(pair, await listen(server));
    pair.near.setLimits({ bandwidthBytesPerSec: 4_000_000 });
    const begun = performance.now();
    await exchange(route.port, randomBytes(6_000_000));
    const seconds = (performance.now() - begun) / 1000;
    assert.ok(seconds > 1.3 && seconds < 2.5, `${seconds} s for 6 MB at 4 MB/s`);
    pair.close();
    server.close();
  });
});
