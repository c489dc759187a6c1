// One set of bodies over three transports: memory, TCP (native where koffi is there), TLS.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import net from 'node:net';
import { type Duplex, duplexPair } from 'node:stream';
import { describe, test } from 'node:test';
import { GatewayError } from '../errors.ts';
import { SlabPool } from '../platform/slab.ts';
import { emptyHeader, FrameFlag, FrameType } from '../protocol/frame.ts';
import { makeIdentity } from '../security/certificate.ts';
import { acceptTls, connectTls } from '../security/control-tls.ts';
import { FrameOpener, FrameSealer } from '../security/sealing.ts';
import { type Cleanup, listen, sha1, until } from '../testing/support.ts';
import { DataChannel, type StreamClosed } from './data-channel.ts';
import type { Stream } from './stream.ts';
import { type RekeyLimits, Subflow } from './subflow.ts';
import { DuplexWire, type Wire, wireOf } from './wire.ts';

/** A pair in memory passes what is written by reference and calls back before it is read; the kernel copies. */
class MemoryWire extends DuplexWire {
  /** Takes everything from now on, and brings nothing: as a path that has just lost a packet. */
  isHeld = false;
  override write(bytes: Uint8Array, done: (taken: boolean) => void): void {
    if (this.isHeld) setImmediate(done, true);
    else super.write(Buffer.from(bytes), done);
  }
}

type Transport = () => Promise<[Wire, Wire]>;

async function tcpPair(): Promise<[net.Socket, net.Socket]> {
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true });
  const accepted = new Promise<net.Socket>((resolve) => server.once('connection', resolve));
  const client = net.connect({ port: await listen(server), host: '127.0.0.1', allowHalfOpen: true });
  await new Promise((resolve) => client.once('connect', resolve));
  const socket = await accepted;
  server.close();
  return [client, socket];
}

const identities = [makeIdentity(1), makeIdentity(1)] as const;
const memory: Transport = async () => {
  const [a, b] = duplexPair();
  return [new MemoryWire(a, 'memory'), new MemoryWire(b, 'memory')];
};
const transports: Record<string, Transport> = {
  memory,
  TCP: async () => {
    const [a, b] = await tcpPair();
    return [wireOf(a, {}), wireOf(b, {})];
  },
  TLS: async () => {
    const [a, b] = await tcpPair();
    const signal = AbortSignal.timeout(5_000);
    const [server, client] = await Promise.all([
      acceptTls(b, identities[1], identities[0], { signal }),
      connectTls(a, identities[0], identities[1], { signal }),
    ]);
    return [new DuplexWire(client, 'tls'), new DuplexWire(server, 'tls')];
  },
};

interface End {
  channel: DataChannel;
  pool: SlabPool;
  closed: StreamClosed[];
  violations: GatewayError[];
  lost: GatewayError[];
  /** Numbers of subflows. */
  retired: number[];
}

interface Tunnel {
  near: End;
  far: End;
  /** Hypervisor side of the next stream: what the test writes goes in near, and comes out of the far duplex. */
  open(): { source: Duplex; destination: Promise<Duplex> };
  addSubflow(): Promise<void>;
}

/** A hypervisor connection in memory, with an end that the test holds and one that a stream owns. */
function hypervisor(): { held: Duplex; wire: Wire } {
  const [held, owned] = duplexPair({ highWaterMark: 64 << 10 });
  held.on('error', () => undefined);
  return { held, wire: new MemoryWire(owned, 'test') };
}

async function makeTunnel(
  t: Cleanup,
  transport: Transport,
  subflows: number,
  window = 8 << 20,
  limits?: RekeyLimits,
  farWindow = window,
  compression = { near: false, far: false },
): Promise<Tunnel> {
  const arrivals: ((duplex: Duplex) => void)[] = [];
  const makeEnd = (connector: boolean): End => {
    const end = { pool: new SlabPool(), closed: [], violations: [], lost: [], retired: [] } as unknown as End;
    end.channel = new DataChannel({
      connector,
      maxWindowBytes: connector ? window : farWindow,
      bandwidthBytesPerSec: null,
      compression: connector ? compression.near : compression.far,
      pool: end.pool,
      events: {
        opened: (stream: Stream) => {
          const { held, wire } = hypervisor();
          end.channel.accept(stream, wire);
          arrivals.shift()?.(held);
        },
        skipped: () => undefined,
        streamClosed: (closed) => end.closed.push(closed),
        subflowLost: (_subflow, error) => end.lost.push(error),
        subflowRetired: (subflow) => end.retired.push(subflow.id),
        violated: (error) => end.violations.push(error),
      },
    });
    return end;
  };
  const near = makeEnd(true);
  const far = makeEnd(false);
  let ordinal = 0;
  let id = 0;
  const addSubflow = async () => {
    const [a, b] = await transport();
    const secrets = [randomBytes(32), randomBytes(32)] as const;
    const keys = (mine: 0 | 1, theirs: 0 | 1) => ({
      sealer: new FrameSealer('aes-256-gcm', Buffer.from(secrets[mine])),
      opener: new FrameOpener('aes-256-gcm', Buffer.from(secrets[theirs])),
    });
    id += 1;
    const identity = { id, generation: 1 };
    far.channel.addSubflow(new Subflow(identity, b, keys(1, 0), far.channel, far.pool, limits));
    near.channel.addSubflow(new Subflow(identity, a, keys(0, 1), near.channel, near.pool, limits));
  };
  for (let count = 0; count < subflows; count += 1) await addSubflow();
  const ticker = setInterval(() => {
    near.channel.tick();
    far.channel.tick();
  }, 50);
  t.after(() => {
    clearInterval(ticker);
    near.channel.close(new GatewayError('SESSION_CLOSED'), 'session-lost');
    far.channel.close(new GatewayError('SESSION_CLOSED'), 'session-lost');
  });
  return {
    near,
    far,
    addSubflow,
    open: () => {
      const { held, wire } = hypervisor();
      const destination = new Promise<Duplex>((resolve) => arrivals.push(resolve));
      near.channel.openStream({ route: 'main', priority: 'bulk', ordinal, endpoints: null }, wire);
      ordinal += 1;
      return { source: held, destination };
    },
  };
}

function collect(duplex: Duplex, onBytes: (total: number) => void = () => undefined): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let total = 0;
    duplex.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      total += chunk.length;
      onBytes(total);
    });
    duplex.once('end', () => resolve(Buffer.concat(chunks)));
    duplex.once('close', () => reject(new Error('closed before its end')));
  });
}

for (const [name, transport] of Object.entries(transports)) {
  describe(`over ${name}`, () => {
    test('both directions at once, each whole and in order, and nothing is left', async (t) => {
      const tunnel = await makeTunnel(t, transport, 4);
      const there = randomBytes(6_000_000);
      const back = randomBytes(3_000_001);
      const { source, destination } = tunnel.open();
      const far = await destination;
      const received = [collect(far), collect(source)] as const;
      source.end(there);
      far.end(back);
      assert.equal(sha1(await received[0]), sha1(there));
      assert.equal(sha1(await received[1]), sha1(back));
      await until(
        () => tunnel.near.closed.length === 1 && tunnel.far.closed.length === 1,
        'the stream is over at both ends',
      );
      assert.deepEqual([tunnel.near.closed[0]?.outcome, tunnel.far.closed[0]?.outcome], ['finished', 'finished']);
      assert.equal(tunnel.near.channel.inFlightBytes + tunnel.far.channel.bufferedBytes, 0);
      assert.deepEqual(tunnel.near.violations, []);
    });

    test('a half-close leaves the other direction open for as long as it likes', async (t) => {
      const tunnel = await makeTunnel(t, transport, 2);
      const { source, destination } = tunnel.open();
      const far = await destination;
      source.end('question');
      assert.equal((await collect(far)).toString(), 'question');
      const answer = collect(source);
      for (const word of ['one ', 'two ', 'three']) {
        far.write(word);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      assert.equal(tunnel.near.closed.length, 0, 'still open');
      far.end();
      assert.equal((await answer).toString(), 'one two three');
      await until(() => tunnel.near.closed.length === 1, 'the stream is over');
    });

    test('a reset goes through, in both directions', async (t) => {
      const tunnel = await makeTunnel(t, transport, 2);
      for (const side of ['source', 'destination'] as const) {
        const { source, destination } = tunnel.open();
        const far = await destination;
        source.write('some');
        await new Promise((resolve) => far.once('data', resolve));
        const [breaks, notices] = side === 'source' ? [source, far] : [far, source];
        const noticed = new Promise((resolve) => notices.once('close', resolve));
        breaks.destroy(new Error('broken'));
        await noticed;
      }
      await until(() => tunnel.near.closed.length === 2 && tunnel.far.closed.length === 2, 'both are over');
      assert.deepEqual(
        tunnel.near.closed.map(({ outcome }) => outcome),
        ['reset-by-hypervisor', 'reset-by-peer'],
      );
      assert.deepEqual(
        tunnel.far.closed.map(({ outcome }) => outcome),
        ['reset-by-peer', 'reset-by-hypervisor'],
      );
    });

    test('a reader that does not read stops the source within the window, and the other streams go on', async (t) => {
      const window = 2 << 20;
      const tunnel = await makeTunnel(t, transport, 3, window);
      const { source, destination } = tunnel.open();
      const stuck = await destination;
      let offered = 0;
      const block = randomBytes(64 << 10);
      const push = () => {
        while (offered < 64 << 20) {
          offered += block.length;
          if (!source.write(block)) return source.once('drain', push);
        }
        return undefined;
      };
      push();
      await new Promise((resolve) => setTimeout(resolve, 300));
      // Window, guarantee, read-ahead, one chunk, and what the stand-ins for sockets hold themselves.
      assert.ok(offered < window + (3 << 20), `${offered} bytes were taken`);
      assert.ok(tunnel.far.channel.bufferedBytes <= window + (1 << 20));
      const other = tunnel.open();
      const otherFar = await other.destination;
      other.source.end(randomBytes(1_000_000));
      assert.equal((await collect(otherFar)).length, 1_000_000);
      stuck.resume();
      await until(() => offered >= 64 << 20, 'all was taken after the reader woke up', 20_000);
    });

    test('subflows are retired in the middle of it: nothing is lost, and no death is told', async (t) => {
      const tunnel = await makeTunnel(t, transport, 5, 4 << 20);
      const bytes = randomBytes(20_000_000);
      const { source, destination } = tunnel.open();
      const far = await destination;
      const back = collect(source);
      let retired = 0;
      const received = collect(far, (total) => {
        if (total < (retired + 1) * 4_000_000 || retired === 4) return;
        const victim = tunnel.near.channel.subflows.find((subflow) => !subflow.isRetiring);
        retired += 1;
        if (victim !== undefined) tunnel.near.channel.retire(victim);
      });
      source.end(bytes);
      far.end(bytes);
      assert.equal(sha1(await received), sha1(bytes));
      assert.equal(sha1(await back), sha1(bytes));
      await until(() => tunnel.near.retired.length === 4 && tunnel.far.retired.length === 4, 'four are gone');
      assert.deepEqual([...tunnel.near.lost, ...tunnel.far.lost], []);
      assert.deepEqual([tunnel.near.channel.subflows.length, tunnel.far.channel.subflows.length], [1, 1]);
    });

    test('subflows die all the time, keys change all the time, and no byte is lost or doubled', async (t) => {
      const tunnel = await makeTunnel(t, transport, 4, 4 << 20, { bytes: 1 << 20, ageMs: 3_600_000 });
      const bytes = randomBytes(50_000_000);
      const { source, destination } = tunnel.open();
      let kills = 0;
      const received = collect(await destination, (total) => {
        if (total < (kills + 1) * 3_000_000) return;
        const side = kills % 2 === 0 ? tunnel.near : tunnel.far;
        const victim = side.channel.subflows[Math.floor(Math.random() * side.channel.subflows.length)];
        if (victim === undefined) return;
        kills += 1;
        victim.close(new GatewayError('SUBFLOW_LOST', '(by the test)'));
        void tunnel.addSubflow();
      });
      source.end(bytes);
      assert.equal(sha1(await received), sha1(bytes));
      assert.ok(kills >= 10, `${kills} kills`);
      assert.deepEqual([...tunnel.near.violations, ...tunnel.far.violations], []);
      for (const error of [...tunnel.near.lost, ...tunnel.far.lost]) {
        assert.ok(!['FRAME_INVALID', 'FRAME_CORRUPTED', 'INTERNAL'].includes(error.code), error.message);
      }
    });
  });
}

describe('small frames', () => {
  /** In memory; the first subflows' wires of the near end, in order. */
  const memoryWires = () => {
    const wires: MemoryWire[] = [];
    const transport: Transport = async () => {
      const [a, b] = duplexPair();
      const near = new MemoryWire(a, 'memory');
      wires.push(near);
      return [near, new MemoryWire(b, 'memory')];
    };
    return { transport, wires };
  };
  const hold = (wire: MemoryWire | undefined) => {
    assert.ok(wire);
    wire.isHeld = true;
  };

  const cases = [
    { subflows: 4, held: [0] },
    { subflows: 4, held: [1] },
    { subflows: 6, held: [0, 1] },
    { subflows: 6, held: [0, 2] },
    { subflows: 6, held: [1, 2] },
  ];
  for (const { subflows, held } of cases) {
    const silent = held.length === 1 ? `lane ${held[0]} brings` : `lanes ${held.join(' and ')} bring`;
    test(`come at once although ${silent} nothing, each once and in order`, async (t) => {
      const { transport, wires } = memoryWires();
      const tunnel = await makeTunnel(t, transport, subflows);
      const { source, destination } = tunnel.open();
      const far = await destination;
      source.write('first');
      await new Promise((resolve) => far.once('data', resolve));
      for (const lane of held) hold(wires[lane]);
      const words = Array.from({ length: 50 }, (_, place) => `word ${place};`);
      const received: string[] = [];
      far.on('data', (chunk: Buffer) => received.push(chunk.toString()));
      for (const word of words) {
        source.write(word);
        await new Promise((resolve) => setImmediate(resolve));
      }
      await until(() => received.join('').length >= words.join('').length, 'all are there', 2_000);
      assert.equal(received.join(''), words.join(''));
    });
  }

  test('wait for their lane where it is the only one', async (t) => {
    const { transport, wires } = memoryWires();
    const tunnel = await makeTunnel(t, transport, 3);
    const { source, destination } = tunnel.open();
    const far = await destination;
    source.write('first');
    await new Promise((resolve) => far.once('data', resolve));
    hold(wires[0]);
    source.write('second');
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(far.readableLength, 0);
    tunnel.near.channel.subflows[0]?.close(new GatewayError('SUBFLOW_LOST', '(by the test)'));
    assert.equal(String(await new Promise((resolve) => far.once('data', resolve))), 'second');
  });
});

describe('a subflow after its last frame', () => {
  test('carries nothing: a peer that goes on breaks the protocol', async (t) => {
    const tunnel = await makeTunnel(t, memory, 2);
    const [subflow] = tunnel.near.channel.subflows;
    assert.ok(subflow);
    await until(() => subflow.isIdle, 'its first ping is out');
    const header = { ...emptyHeader(), type: FrameType.RETIRE };
    subflow.append(header, null, 0);
    subflow.append({ ...header, type: FrameType.PAD }, null, 0);
    subflow.pump();
    await until(() => tunnel.far.violations.length > 0, 'it is noticed');
    assert.equal(tunnel.far.violations[0]?.code, 'FRAME_INVALID');
  });
});

describe('compression', () => {
  test('brings everything whole, through deaths of subflows, whether it shrinks or not', async (t) => {
    const both = { near: true, far: true };
    const tunnel = await makeTunnel(t, memory, 4, 4 << 20, { bytes: 1 << 20, ageMs: 3_600_000 }, 4 << 20, both);
    const pages = Array.from({ length: 3_000 }, (_, page) =>
      page % 2 === 0 ? randomBytes(4_096) : Buffer.alloc(4_096, page),
    );
    const bytes = Buffer.concat(pages);
    const { source, destination } = tunnel.open();
    let kills = 0;
    const received = collect(await destination, (total) => {
      if (total < (kills + 1) * 3_000_000) return;
      kills += 1;
      tunnel.near.channel.subflows[kills % 4]?.close(new GatewayError('SUBFLOW_LOST', '(by the test)'));
      void tunnel.addSubflow();
    });
    source.end(bytes);
    assert.equal(sha1(await received), sha1(bytes));
    assert.ok(kills >= 3, `${kills} kills`);
    assert.ok(tunnel.near.channel.sender.compressionRatio > 1.5, `${tunnel.near.channel.sender.compressionRatio}`);
    assert.deepEqual([...tunnel.near.violations, ...tunnel.far.violations], []);
  });

  test('is what one end does: the other one understands it, and sends as it was told to itself', {
    timeout: 10_000,
  }, async (t) => {
    const near = { near: true, far: false };
    const tunnel = await makeTunnel(t, memory, 2, undefined, undefined, undefined, near);
    const { source, destination } = tunnel.open();
    const bytes = Buffer.alloc(4 << 20, 'page');
    source.end(bytes);
    const far = await destination;
    assert.equal(sha1(await collect(far)), sha1(bytes));
    const back = collect(source);
    far.end(bytes);
    assert.equal(sha1(await back), sha1(bytes));
    const ratios = [tunnel.near, tunnel.far].map(({ channel }) => channel.sender.compressionRatio);
    assert.ok((ratios[0] ?? 0) > 1.1, `${ratios[0]}`);
    assert.equal(ratios[1], 1);
    assert.deepEqual([...tunnel.near.violations, ...tunnel.far.violations], []);
  });

  test('that a frame only claims is FRAME_INVALID, whatever the receiving end is told', async (t) => {
    const tunnel = await makeTunnel(t, memory, 1);
    const [subflow] = tunnel.near.channel.subflows;
    assert.ok(subflow);
    await until(() => subflow.isIdle, 'its first ping is out');
    const header = { ...emptyHeader(), type: FrameType.DATA, flags: FrameFlag.COMPRESSED, sequence: 1, streamId: 1 };
    const slab = tunnel.near.pool.acquire(100);
    slab.bytes.fill(7);
    subflow.append({ ...header, payloadLength: 100, plainLength: 1 << 20 }, slab, 0);
    subflow.pump();
    await until(() => tunnel.far.violations.length > 0, 'it is noticed');
    assert.equal(tunnel.far.violations[0]?.code, 'FRAME_INVALID');
    assert.match(tunnel.far.violations[0]?.message ?? '', /compressed data/);
    slab.release();
  });
});

describe('a peer that keeps to no credit', () => {
  test('is FLOW_CONTROL_VIOLATED, before more is kept than the window allows', async (t) => {
    const farWindow = 1 << 20;
    const tunnel = await makeTunnel(t, memory, 2, 32 << 20, undefined, farWindow);
    tunnel.near.channel.sender.credit = () => undefined; // It is told how little the far end takes, and does not care.
    const { source, destination } = tunnel.open();
    await destination;
    source.write(randomBytes(16 << 20));
    await until(() => tunnel.far.violations.length > 0, 'it is noticed');
    // Each subflow may say it: here is no session that ends at the first word.
    for (const { code } of tunnel.far.violations) assert.equal(code, 'FLOW_CONTROL_VIOLATED');
    assert.ok(tunnel.far.channel.bufferedBytes <= farWindow + (256 << 10) + (1 << 20));
  });

  test('does not exist when the window was told: nothing is violated, and a stream waits', async (t) => {
    const tunnel = await makeTunnel(t, memory, 2, 32 << 20, undefined, 1 << 20);
    tunnel.near.channel.sender.peerWindowBytes = 1 << 20;
    const { source, destination } = tunnel.open();
    const far = await destination;
    const bytes = randomBytes(16 << 20);
    source.end(bytes);
    await until(() => tunnel.far.channel.bufferedBytes > 1 << 20, 'the window is full');
    assert.equal(sha1(await collect(far)), sha1(bytes));
    assert.deepEqual(tunnel.far.violations, []);
  });
});
