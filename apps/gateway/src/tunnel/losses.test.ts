// Two whole gateways on loopback, with real sockets, and a network between them that loses what it can: no byte is lost or doubled.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import net from 'node:net';
import { describe, test } from 'node:test';
import { decodeHeader, emptyHeader, FrameType, HEADER_BYTES, TAG_BYTES } from '../protocol/frame.ts';
import {
  exchange,
  hashServer,
  makeGateway,
  makeRelayedPair,
  makeRoute,
  serve,
  sha1,
  until,
} from '../testing/support.ts';

function flipBit(bytes: Buffer): Buffer {
  const out = Buffer.from(bytes);
  out[50] = (out[50] ?? 0) ^ 1;
  return out;
}

/** Where a frame of this type begins in a chunk of whole frames; -1 when there is none. */
function placeOf(bytes: Buffer, type: number): number {
  const header = emptyHeader();
  for (let at = 0; at + HEADER_BYTES <= bytes.length; at += HEADER_BYTES + header.payloadLength + TAG_BYTES) {
    decodeHeader(bytes, at, header);
    if (header.type === type) return at;
  }
  return -1;
}

const quick = { stall: { kernelMs: 500, silenceMs: 700, pingMs: 100 } };

describe('nothing is lost', () => {
  test('50 MB over six subflows that are cut all the time, and a control channel that is cut as well', {
    timeout: 40_000,
  }, async (t) => {
    const pair = await makeRelayedPair(t, { subflows: 6 });
    const route = await makeRoute(pair, await serve(t, hashServer()));
    const bytes = randomBytes(50_000_000);
    let cuts = 0;
    const cutter = setInterval(() => {
      cuts += pair.relay.cut('subflow', 2);
      if (cuts % 3 === 0) cuts += pair.relay.cut('control');
    }, 60);
    t.after(() => clearInterval(cutter));
    const answer = await exchange(route.port, bytes);
    clearInterval(cutter);
    assert.equal(answer.toString(), `${sha1(bytes)} ${bytes.length}`);
    assert.ok(cuts >= 6, `${cuts} cuts`);
    assert.ok((pair.near.session?.subflowsReplaced ?? 0) >= 4);
    await until(() => pair.near.session?.state === 'established', 'the session is whole again');
  });

  test('an outage of everything: streams wait, and go on', { timeout: 20_000 }, async (t) => {
    const pair = await makeRelayedPair(t, { subflows: 3, graceMs: 8_000 });
    const route = await makeRoute(pair, await serve(t, hashServer()));
    const socket = net.connect({ port: route.port, host: '127.0.0.1', allowHalfOpen: true });
    socket.on('error', () => undefined);
    socket.write('before ');
    await until(() => (pair.far.session?.data.bytesReceived ?? 0) === 7, 'the first bytes are there');
    const { relay } = pair;
    relay.cutAll();
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
  });

  test('what a hypervisor ended its side and then broke off without reading is told as lost, at both ends', {
    timeout: 20_000,
  }, async (t) => {
    const pair = await makeRelayedPair(t, { subflows: 2 });
    const taken: net.Socket[] = [];
    const reader = net.createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
      socket.on('error', () => undefined);
      socket.end();
      taken.push(socket);
    });
    const route = await makeRoute(pair, await serve(t, reader));
    const socket = net.connect({ port: route.port, host: '127.0.0.1', allowHalfOpen: true });
    socket.on('error', () => undefined);
    socket.end(randomBytes(6_000_000)); // more than sockets take, less than the window
    await until(() => pair.far.session?.data.streams.values().next().value?.state === 'half-closed-local', 'it ended');
    await until(() => {
      const stream = pair.far.session?.data.streams.values().next().value;
      return stream?.finOffset === 6_000_000 && stream.receivedBytes === 6_000_000;
    }, 'all has arrived at the far gateway');
    taken[0]?.resetAndDestroy();
    const outcomes = () => [pair.near, pair.far].map((end) => end.status().closedStreams[0]?.outcome);
    await until(() => outcomes().every((outcome) => outcome !== undefined), 'the stream is over');
    assert.deepEqual(outcomes(), ['reset-by-peer', 'reset-by-hypervisor']);
    assert.deepEqual(
      [pair.near, pair.far].map((end) => end.session?.data.streams.size),
      [0, 0],
    );
  });

  test('past the grace time streams are reset and the reason is there', { timeout: 15_000 }, async (t) => {
    const pair = await makeRelayedPair(t, { subflows: 2, graceMs: 1_000 });
    const route = await makeRoute(pair, await serve(t, hashServer()));
    const socket = net.connect({ port: route.port, host: '127.0.0.1' });
    socket.write('x');
    await until(() => (pair.far.session?.data.bytesReceived ?? 0) === 1, 'the stream is open');
    const reset = new Promise<string>((resolve) =>
      socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? '')),
    );
    pair.relay.cutAll();
    assert.equal(await reset, 'ECONNRESET');
    const status = pair.near.status();
    assert.deepEqual([status.session?.state, status.session?.lastError?.code], ['closed', 'SESSION_LOST']);
    assert.match(status.session?.lastError?.message ?? '', /control channel and all subflows gone for 1 s; last: /);
    assert.equal(status.closedStreams[0]?.outcome, 'session-lost');
    assert.equal(pair.near.session?.data.streams.size, 0);
  });

  test('while it is established a subflow that cannot be replaced is no error of the session', {
    timeout: 10_000,
  }, async (t) => {
    const pair = await makeRelayedPair(t, { subflows: 3 });
    pair.relay.accepting = false;
    pair.relay.cut('subflow', 1);
    await until(() => pair.near.session?.data.subflows.length === 2, 'one is gone');
    // Dialled again, twice: of the first time the gateway has heard by then.
    await until(() => pair.relay.turnedAway >= 2, 'it was dialled in vain');
    const { state, lastError } = pair.near.status().session ?? {};
    assert.deepEqual([state, lastError], ['established', null]);
  });

  test('a grace time that was lifted resets nothing, however late it was lifted', { timeout: 15_000 }, async (t) => {
    const pair = await makeRelayedPair(t, { subflows: 2, graceMs: 1_000 });
    const route = await makeRoute(pair, await serve(t, hashServer()));
    const socket = net.connect({ port: route.port, host: '127.0.0.1', allowHalfOpen: true });
    const answer = new Promise<string>((resolve, reject) => {
      socket.once('data', (chunk) => resolve(String(chunk)));
      socket.once('error', reject);
    });
    socket.write('before ');
    await until(() => (pair.far.session?.data.bytesReceived ?? 0) === 7, 'the first bytes are there');
    const { relay } = pair;
    pair.near.setLimits({ graceMs: null });
    relay.cutAll();
    await until(() => pair.far.session?.state === 'interrupted', 'the far end notices');
    pair.far.setLimits({ graceMs: null });
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    assert.deepEqual([pair.near.session?.state, pair.far.session?.state], ['interrupted', 'interrupted']);
    relay.accepting = true;
    socket.end('after');
    assert.equal(await answer, `${sha1(Buffer.from('before after'))} 12`);
  });

  test('subflows that swallow everything are found and replaced', { timeout: 20_000 }, async (t) => {
    const pair = await makeRelayedPair(t, { subflows: 3, tuning: quick });
    const route = await makeRoute(pair, await serve(t, hashServer()));
    const { relay } = pair;
    relay.swallows = new Set(['subflow']);
    const bytes = randomBytes(2_000_000);
    const answer = exchange(route.port, bytes);
    await until(() => (pair.near.session?.subflowsReplaced ?? 0) >= 3, 'all are given up');
    relay.swallows = new Set();
    assert.equal((await answer).toString(), `${sha1(bytes)} ${bytes.length}`);
  });

  test('one subflow of three that swallows everything costs no byte', { timeout: 20_000 }, async (t) => {
    const pair = await makeRelayedPair(t, { subflows: 3, tuning: quick });
    const route = await makeRoute(pair, await serve(t, hashServer()));
    const bytes = randomBytes(20_000_000);
    const answer = exchange(route.port, bytes);
    await until(() => (pair.far.session?.data.bytesReceived ?? 0) > 1_000_000, 'it has begun');
    assert.equal(pair.relay.lose('subflow', 1), 1);
    assert.equal((await answer).toString(), `${sha1(bytes)} ${bytes.length}`);
    await until(() => pair.near.session?.data.subflows.length === 3, 'it is replaced');
  });

  test('a subflow that a box in between lets crawl holds nothing back for long', { timeout: 20_000 }, async (t) => {
    const pair = await makeRelayedPair(t, { subflows: 3, tuning: quick });
    const route = await makeRoute(pair, await serve(t, hashServer()));
    const bytes = randomBytes(20_000_000);
    pair.relay.slow('subflow', 5_000);
    const begun = performance.now();
    assert.equal((await exchange(route.port, bytes)).toString(), `${sha1(bytes)} ${bytes.length}`);
    // A single full frame would take 50 s.
    assert.ok(performance.now() - begun < 15_000);
  });

  for (const type of [FrameType.OPEN, FrameType.DATA, FrameType.FIN]) {
    test(`a changed length in a frame of type ${type} swallows what follows, and is found`, {
      timeout: 20_000,
    }, async (t) => {
      const pair = await makeRelayedPair(t, { subflows: 2, tuning: quick });
      const route = await makeRoute(pair, await serve(t, hashServer()));
      let harmed = false;
      pair.relay.change = ({ bytes, kind, toPeer }) => {
        const place = kind === 'subflow' && toPeer && !harmed ? placeOf(bytes, type) : -1;
        if (place < 0) return bytes;
        harmed = true;
        const out = Buffer.from(bytes);
        out[place + 5] = 8; // Half a MiB more, and with it the copy of the length.
        out[place + 37] = 8;
        return out;
      };
      assert.equal(
        (await exchange(route.port, Buffer.from('few bytes'))).toString(),
        `${sha1(Buffer.from('few bytes'))} 9`,
      );
      assert.ok(harmed);
    });
  }

  test('a gateway that was started again answers SESSION_UNKNOWN, and the other end gives up with that reason', {
    timeout: 15_000,
  }, async (t) => {
    const pair = await makeRelayedPair(t, { subflows: 2 });
    const { address, port } = pair.far.session?.listening ?? { address: '', port: 0 };
    const again = makeGateway(t, pair.farIdentity);
    const near = pair.near.session;
    // The far gateway dies without a word: what it would say is lost on the way.
    pair.relay.cutAll();
    pair.far.shutdown();
    await again.configureSession({ ...pair.farConfig, role: { kind: 'listen', address, port } });
    pair.relay.accepting = true;
    await until(() => near?.isClosed === true, 'the near end gives up');
    assert.equal(near?.lastError?.code, 'SESSION_UNKNOWN');
    assert.match(near?.lastError?.message ?? '', /the listening one/);
    assert.equal(again.refusals.SESSION_UNKNOWN, 1);
  });

  for (const [name, code, change] of [
    ['corrupted', 'FRAME_CORRUPTED', flipBit],
    ['truncated', 'FRAME_TRUNCATED', () => null],
  ] as const) {
    test(`a ${name} frame ends its subflow, is counted, and costs no byte`, { timeout: 20_000 }, async (t) => {
      const pair = await makeRelayedPair(t, { subflows: 2 });
      const route = await makeRoute(pair, await serve(t, hashServer()));
      let harmed = false;
      pair.relay.change = ({ bytes, kind, toPeer }) => {
        // Large chunks only: past the join, inside frames.
        if (harmed || kind !== 'subflow' || !toPeer || bytes.length < 10_000) return bytes;
        harmed = true;
        return change(bytes);
      };
      const bytes = randomBytes(3_000_000);
      const answer = await exchange(route.port, bytes);
      assert.equal(answer.toString(), `${sha1(bytes)} ${bytes.length}`);
      await until(
        () => (pair.far.refusals[code] ?? 0) === 1,
        `${code} is counted (${JSON.stringify(pair.far.refusals)})`,
      );
      await until(() => pair.far.session?.data.subflows.length === 2, 'the subflow is replaced');
    });
  }
});
