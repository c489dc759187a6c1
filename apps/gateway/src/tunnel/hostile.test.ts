// Whatever comes: from strangers any bytes, on the way any change, from a peer that knows the keys any frame. No crash, no hang, no forgery
// taken for the truth, no memory beyond the window. A moment here; `npm run faults -- --suite fuzz` goes on for as long as one likes.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import net from 'node:net';
import { type Duplex, duplexPair } from 'node:stream';
import { test } from 'node:test';
import fc from 'fast-check';
import { GatewayError } from '../errors.ts';
import { SlabPool } from '../platform/slab.ts';
import { readTimes } from '../protocol/control-times.ts';
import {
  decodeHeader,
  emptyHeader,
  encodeHeader,
  FrameType,
  GUARANTEED_STREAM_BYTES,
  HEADER_BYTES,
  headerFault,
  MAX_FRAMES_IN_FLIGHT,
  MAX_STREAMS,
} from '../protocol/frame.ts';
import {
  ControlDecoder,
  decodeBye,
  decodeHello,
  decodePreamble,
  encodeControl,
  encodeHello,
  encodePreamble,
  JOIN_BYTES,
  MAX_CONTROL_MESSAGE_BYTES,
} from '../protocol/handshake.ts';
import {
  decodeAck,
  decodeCredit,
  decodeOpen,
  decodeReset,
  encodeAck,
  encodeCredit,
  encodeOpen,
} from '../protocol/payloads.ts';
import { SecretChain } from '../security/keys.ts';
import { FrameOpener, FrameSealer } from '../security/sealing.ts';
import { anyBytes, forItsTime, harmed, harms } from '../testing/fuzzing.ts';
import { makePair } from '../testing/support.ts';
import { ControlChannel } from './control-channel.ts';
import { DataChannel } from './data-channel.ts';
import { FrameReader } from './frame-reader.ts';
import { type JoinPolicy, joinAsAcceptor, joinAsConnector } from './join.ts';
import { Subflow } from './subflow.ts';
import type { Wire, WireSink } from './wire.ts';

const scratch = Buffer.alloc(1 << 16);

test('decoders take any bytes, and what they take has one form only', () => {
  fc.assert(
    fc.property(anyBytes(400), (bytes) => {
      decodePreamble(bytes);
      decodeBye(bytes);
      decodeReset(bytes);
      readTimes(bytes);
      const open = decodeOpen(bytes);
      if (open !== null) assert.deepEqual(encodeOpen(open), bytes);
      const hello = decodeHello(bytes);
      if (hello !== null) assert.deepEqual(encodeHello(hello), bytes);
      const ack = decodeAck(bytes);
      if (ack !== null) {
        assert.deepEqual(scratch.subarray(0, encodeAck(ack.cumulative, ack.ranges, scratch, 0)), bytes);
      }
      const credit = decodeCredit(bytes);
      if (credit !== null) {
        assert.deepEqual(scratch.subarray(0, encodeCredit(credit.windowBytes, credit.entries, scratch, 0)), bytes);
      }
      if (bytes.length < HEADER_BYTES) return;
      const header = emptyHeader();
      decodeHeader(bytes, 0, header);
      if (headerFault(header) !== null) return;
      encodeHeader(header, scratch, 0);
      assert.deepEqual(scratch.subarray(0, HEADER_BYTES), bytes.subarray(0, HEADER_BYTES));
    }),
    forItsTime(),
  );
});

test('messages of the control channel come out whole however they are cut, and never more is kept than one of them', () => {
  const message = fc.record({ type: fc.nat(255), body: anyBytes(300) }, { noNullPrototype: true });
  const messages = fc.array(message, { maxLength: 8 });
  fc.assert(
    fc.property(messages, harms, fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1 }), (sent, harm, cuts) => {
      const bytes = harmed(Buffer.concat(sent.map(({ type, body }) => encodeControl(type, body))), harm);
      const decoder = new ControlDecoder();
      const got: { type: number; body: Buffer }[] = [];
      for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
        const count = cuts[turn % cuts.length] ?? 1;
        const some = decoder.push(bytes.subarray(at, at + count));
        if (some === null) break;
        got.push(...some);
        at += count;
      }
      for (const { body } of got) assert.ok(body.length < MAX_CONTROL_MESSAGE_BYTES);
      if (harm.what === 'none') assert.deepEqual(got, sent);
    }),
    forItsTime(),
  );
});

test('of changed frames nothing is taken but those before the change', () => {
  const sizes = fc.array(fc.constantFrom(1, 40, 5_000, 20_000, 70_000), { minLength: 1, maxLength: 6 });
  const suites = fc.constantFrom('aes-256-gcm', 'chacha20-poly1305', 'none') as fc.Arbitrary<'none'>;
  fc.assert(
    fc.property(suites, sizes, harms, fc.integer({ min: 1, max: 80_000 }), (suite, lengths, harm, step) => {
      const pool = new SlabPool(0);
      const secret = randomBytes(32);
      const sealer = new FrameSealer(suite, Buffer.from(secret));
      const payloads = lengths.map((length) => randomBytes(length));
      const wire = harmed(
        Buffer.concat(payloads.map((payload, index) => seal(pool, sealer, index + 1, payload))),
        harm,
      );
      const got: Buffer[] = [];
      const opener = new FrameOpener(suite, Buffer.from(secret));
      const reader = new FrameReader(pool, opener, (header, slab, offset, owned) => {
        got.push(Buffer.from(slab.bytes.subarray(offset, offset + header.payloadLength)));
        if (owned) slab.release();
      });
      try {
        for (let at = 0; at < wire.length; ) {
          const room = reader.buffer();
          const count = Math.min(room.length, step, wire.length - at);
          wire.copy(room, 0, at, at + count);
          at += count;
          reader.received(count);
          assert.ok(pool.liveBytes < 3 << 20);
        }
      } catch (error) {
        if (!(error instanceof GatewayError)) throw error;
        assert.match(error.code, /^FRAME_(CORRUPTED|REPLAYED)$/);
      }
      reader.free();
      assert.equal(pool.liveBytes, 0);
      assert.ok(got.length <= payloads.length);
      for (const [index, payload] of got.entries()) assert.ok(payload.equals(payloads[index] ?? Buffer.alloc(0)));
      if (harm.what === 'none') assert.equal(got.length, payloads.length);
    }),
    forItsTime(),
  );
});

function seal(pool: SlabPool, sealer: FrameSealer, sequence: number, payload: Buffer, more: object = {}): Buffer {
  const from = pool.acquire(payload.length + 1);
  const out = pool.acquire(payload.length + 100);
  payload.copy(from.bytes);
  const lengths = { payloadLength: payload.length, plainLength: payload.length };
  const header = { ...emptyHeader(), type: FrameType.DATA, sequence, streamId: 1, ...lengths, ...more };
  const bytes = Buffer.from(out.bytes.subarray(0, sealer.seal(header, from, 0, out, 0)));
  from.release();
  out.release();
  return bytes;
}

const sessionId = randomBytes(16);
const local = () => ({ suite: 'aes-256-gcm' as const, sessionId, instanceId: randomBytes(16), windowBytes: 1 << 20 });

/** A control handshake between two ends; what the connector says is changed on its way. Resolves when both have ended. */
async function handshake(
  chains: { acceptor: SecretChain; connector: SecretChain },
  change: (message: Buffer) => Buffer,
): Promise<PromiseSettledResult<unknown>[]> {
  const [here, network] = duplexPair();
  const [there, acceptorSide] = duplexPair();
  const exporter = randomBytes(32);
  const ends = [
    new ControlChannel(acceptorSide).handshake('acceptor', local(), chains.acceptor, Buffer.from(exporter)),
    new ControlChannel(here).handshake('connector', local(), chains.connector, Buffer.from(exporter)),
  ];
  const both = Promise.allSettled(ends);
  let over = false;
  void both.then(() => {
    over = true;
  });
  network.on('data', (chunk: Buffer) => there.write(change(chunk)));
  network.on('end', () => there.end());
  there.on('data', (chunk: Buffer) => network.write(chunk));
  there.on('end', () => network.end());
  for (let turn = 0; turn < 40 && !over; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  // Whoever still waits was told nothing more: in the network that takes the 5 s of a handshake.
  there.destroy();
  network.destroy();
  return both;
}

test('a changed control handshake leaves both ends with a secret in common, and the next one succeeds', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(harms, { minLength: 1, maxLength: 4 }), fc.boolean(), async (list, fresh) => {
      const chains = { acceptor: new SecretChain(), connector: new SecretChain() };
      if (!fresh) await handshake(chains, (bytes) => bytes);
      for (const harm of list) {
        for (const end of await handshake(chains, (bytes) => harmed(bytes, harm))) {
          if (end.status === 'rejected')
            assert.ok(end.reason instanceof GatewayError && end.reason.code !== 'INTERNAL');
        }
      }
      const last = await handshake(chains, (bytes) => bytes);
      assert.deepEqual(
        last.map(({ status }) => status),
        ['fulfilled', 'fulfilled'],
      );
      assert.deepEqual(chains.acceptor.get(chains.acceptor.epoch), chains.connector.get(chains.connector.epoch));
    }),
    forItsTime(),
  );
});

test('of joins none is taken but one that came as it was sent, in both directions', async () => {
  const secret = randomBytes(32);
  await fc.assert(
    fc.asyncProperty(harms, fc.boolean(), async (harm, fromConnector) => {
      const policy: JoinPolicy = {
        sessionId,
        suite: 'aes-256-gcm',
        maxSubflows: 64,
        secret: () => secret,
        lastGeneration: () => 1,
        seen: () => {
          policy.lastGeneration = () => 2;
        },
      };
      const signal = new AbortController();
      const [here, network] = duplexPair();
      const [there, acceptorSide] = duplexPair();
      const identity = { sessionId, epoch: 1, subflowId: 0, generation: 2 };
      const ends = Promise.allSettled([
        joinAsAcceptor(acceptorSide, policy, signal),
        joinAsConnector(here, secret, 'aes-256-gcm', identity, signal),
      ]);
      const [sent, passed]: [Buffer[], Buffer[]] = [[], []];
      const pass = (from: Duplex, to: Duplex, harms: boolean) =>
        from.on('data', (chunk: Buffer) => {
          const out = harms ? harmed(chunk, harm) : chunk;
          if (harms) {
            sent.push(chunk);
            passed.push(out);
          }
          to.write(out);
        });
      pass(network, there, fromConnector);
      pass(there, network, !fromConnector);
      for (let turn = 0; turn < 8; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      signal.abort();
      const [accepted] = await ends;
      // What follows the last message would be the first frame.
      const whole = Buffer.concat(sent);
      const asSent = Buffer.concat(passed).subarray(0, whole.length).equals(whole);
      assert.equal(accepted.status, asSent ? 'fulfilled' : 'rejected');
    }),
    forItsTime(),
  );
});

/** A wire whose other end is this test; what is written to it is gone at once, or never. */
class TestWire implements Wire {
  readonly peer = 'test';
  readonly descriptor = null;
  readonly #takes: boolean;
  #sink: WireSink | null = null;
  #isReset = false;
  constructor(takes: boolean) {
    this.#takes = takes;
  }
  start(sink: WireSink): void {
    this.#sink = sink;
  }
  resume(): void {}
  write(_bytes: Uint8Array, done: (taken: boolean) => void): void {
    if (this.#takes) setImmediate(() => done(!this.#isReset));
  }
  end(): void {}
  reset(): void {
    this.#isReset = true;
  }
  feed(bytes: Buffer): void {
    for (let at = 0; at < bytes.length && !this.#isReset; ) {
      const room = this.#sink?.buffer() ?? Buffer.alloc(0);
      const count = Math.min(room.length, bytes.length - at);
      room.set(bytes.subarray(at, at + count));
      at += count;
      this.#sink?.received(count);
    }
  }
}

const windowBytes = 1 << 20;
const small = fc.nat(6);
const endpoints = {
  source: { address: '10.1.0.10', port: 50_000 },
  destination: { address: '10.2.0.10', port: 8_000 },
};
const payloadOf = fc.oneof(
  fc.constantFrom(1, 100, 60_000, 256 << 10).map((length) => Buffer.alloc(length, 1)),
  fc
    .record({
      priority: fc.constantFrom('bulk', 'interactive') as fc.Arbitrary<'bulk'>,
      ordinal: small,
      route: fc.constant('main'),
      endpoints: fc.constantFrom(null, endpoints),
    })
    .map(encodeOpen),
  anyBytes(60),
);
const hostileFrame = fc.record({
  type: fc.constantFrom(1, 1, 1, 2, 2, 3, 4, 5, 16, 17, 18, 19, 20, 21, 22),
  /** Mostly the next one. */
  skip: fc.constantFrom(0, 0, 0, 0, 1, 7, 16_000, 20_000, -1),
  streamId: fc.oneof(small, fc.nat(40_000), fc.constant(0xffff_ffff)),
  streamOffset: fc.oneof(fc.constantFrom(0, 1, 100, 60_000, 60_001, 256 << 10), fc.nat(), fc.constant(2 ** 52)),
  payload: payloadOf,
});

/** A channel whose peer is this test, which knows the keys. */
function knowing(takes: boolean) {
  const pool = new SlabPool(0);
  const violations: GatewayError[] = [];
  const channel: DataChannel = new DataChannel({
    connector: false,
    maxWindowBytes: windowBytes,
    bandwidthBytesPerSec: null,
    pool,
    events: {
      opened: (stream) => channel.accept(stream, new TestWire(takes)),
      skipped: () => undefined,
      streamClosed: () => undefined,
      subflowLost: () => undefined,
      subflowRetired: () => undefined,
      violated: (error) => violations.push(error),
    },
  });
  const secret = randomBytes(32);
  const sealer = new FrameSealer('aes-256-gcm', Buffer.from(secret));
  const keys = {
    sealer: new FrameSealer('aes-256-gcm', randomBytes(32)),
    opener: new FrameOpener('aes-256-gcm', secret),
  };
  const wire = new TestWire(true);
  const subflow = new Subflow({ id: 0, generation: 1 }, wire, keys, channel, pool);
  channel.addSubflow(subflow);
  const say = (sequence: number, payload: Buffer, more: object = {}) =>
    wire.feed(seal(pool, sealer, sequence, payload, more));
  return {
    ...{ pool, violations, channel, subflow, sealer, say },
    open: () => say(1, encodeOpen({ priority: 'bulk', ordinal: 0, route: 'main', endpoints: null }), { type: 2 }),
    async close(): Promise<void> {
      channel.close(new GatewayError('SESSION_CLOSED'), 'session-lost');
      await new Promise((resolve) => setImmediate(resolve));
      assert.equal(channel.streams.size, 0);
      sealer.free();
    },
  };
}

test('a peer that knows the keys and sends what it likes breaks nothing and fills nothing', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(hostileFrame, { maxLength: 60 }), fc.boolean(), async (frames, takes) => {
      const { pool, violations, channel, subflow, sealer, say, close } = knowing(takes);
      let next = 1;
      for (const { type, skip, payload, ...more } of frames) {
        if (!subflow.isOpen) break;
        const sequence = type < FrameType.ACK ? Math.max(1, next + skip) : 0;
        if (sequence === next) next += 1;
        const body = type === FrameType.FIN || type === FrameType.ACCEPT ? Buffer.alloc(0) : payload;
        say(sequence, body, { type, ...more });
        if (type === FrameType.REKEY) sealer.rekey();
        const streams = channel.streams.size;
        assert.ok(streams <= 2 * MAX_STREAMS);
        assert.ok(
          channel.bufferedBytes >= 0 &&
            channel.bufferedBytes <= windowBytes + streams * GUARANTEED_STREAM_BYTES + (1 << 20),
        );
      }
      for (const { code } of violations) assert.match(code, /^(FRAME_INVALID|FLOW_CONTROL_VIOLATED)$/);
      await new Promise((resolve) => setImmediate(resolve));
      await close();
      if (takes) assert.equal(pool.liveBytes, 0, 'everything was given back');
    }),
    forItsTime(),
  );
});

test('frames of a byte for a hypervisor that does not read take little more than their bytes', async () => {
  const { pool, channel, open, say, close } = knowing(false);
  open();
  const count = 50_000;
  for (let at = 0; at < count; at += 1) say(2 + at, Buffer.from([at]), { streamOffset: at });
  assert.equal(channel.bufferedBytes, count);
  assert.ok(pool.liveBytes < 1 << 20, `${pool.liveBytes} bytes of slabs`);
  await close();
});

test('a byte between large pieces takes no more than it did as a frame', async () => {
  const { pool, channel, open, say, close } = knowing(false);
  open();
  let offset = 0;
  for (let number = 0; number < 100; number += 1) {
    const payload = Buffer.alloc(number % 2 === 0 ? (16 << 10) + 1 : 1);
    say(2 + number, payload, { streamOffset: offset });
    offset += payload.length;
  }
  assert.equal(channel.bufferedBytes, offset);
  assert.ok(pool.liveBytes < 2 * offset, `${pool.liveBytes} bytes of slabs for ${offset}`);
  await close();
});

test('pieces that leave gaps which nothing under way can fill are refused, and all is given back', async () => {
  const { pool, violations, subflow, open, say, close } = knowing(true);
  open();
  let said = 0;
  for (; subflow.isOpen && said < 2 * MAX_FRAMES_IN_FLIGHT; said += 1)
    say(2 + said, Buffer.from([said]), { streamOffset: 1 + said });
  assert.deepEqual([said, violations.map(({ code }) => code)], [MAX_FRAMES_IN_FLIGHT + 1, ['FRAME_INVALID']]);
  await close();
  assert.equal(pool.liveBytes, 0);
});

test('any bytes at the port of a gateway are refused, and cost its session nothing', {
  timeout: 900_000,
}, async (t) => {
  const pair = await makePair(t, { subflows: 2 });
  const preambles = fc.constantFrom(Buffer.alloc(0), encodePreamble('control'), encodePreamble('subflow'));
  await fc.assert(
    fc.asyncProperty(preambles, anyBytes(2 * JOIN_BYTES), fc.boolean(), async (preamble, bytes, half) => {
      await new Promise<void>((resolve) => {
        const socket = net.connect({ port: pair.farPort, host: '127.0.0.1', allowHalfOpen: true });
        socket.on('error', () => undefined);
        socket.once('close', () => resolve());
        socket.write(Buffer.concat([preamble, bytes]));
        if (half) socket.end();
        // A TLS handshake that is only half closed would be waited for.
        setTimeout(() => socket.destroy(), half ? 20 : 0);
      });
      assert.equal(pair.far.session?.state, 'established');
    }),
    forItsTime(),
  );
  assert.equal(pair.far.refusals.INTERNAL ?? 0, 0, JSON.stringify(pair.far.refusals));
  assert.equal(pair.far.session?.data.subflows.length, 2);
});
