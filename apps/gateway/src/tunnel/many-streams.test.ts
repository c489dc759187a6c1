// Hundreds of streams whose readers do not read: what is held for them at both ends, and that others go on beside them.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { type TestContext, test } from 'node:test';
import { exchange, hashServer, makePair, makeRoute, type Pair, serve, sha1, until } from '../testing/support.ts';

const windowBytes = 2 << 20;
/** Beyond the window: all guarantees together, and what each stream has however many there are; the same again for what is read ahead. */
const outstandingBytes = (streams: number) => windowBytes + (16 << 20) + streams * (16 << 10);
/** What was read, and the chunk for the next read. */
const readAheadBytes = (streams: number) => (24 << 20) + streams * (36 << 10);
/** Each end's stage, batch and scratch for each subflow. */
const ownBytes = 8 << 20;

class Crowd {
  readonly readers: net.Socket[] = [];
  readonly #senders: net.Socket[] = [];
  readonly #port: number;
  readonly #block = randomBytes(256 << 10);

  private constructor(port: number) {
    this.#port = port;
  }
  static async of(t: TestContext, pair: Pair): Promise<Crowd> {
    const readers: net.Socket[] = [];
    const server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => {
      socket.on('error', () => undefined);
      readers.push(socket);
    });
    const crowd = new Crowd((await makeRoute(pair, await serve(t, server), 'crowd', 1_024)).port);
    t.after(() => crowd.end());
    return Object.assign(crowd, { readers });
  }
  /** Each of them sends whatever is taken. */
  async come(count: number): Promise<void> {
    for (let at = 0; at < count; at += 1) {
      const socket = net.connect({ port: this.#port, host: '127.0.0.1' });
      socket.on('error', () => undefined);
      const push = () => {
        while (socket.write(this.#block));
      };
      socket.on('connect', push);
      socket.on('drain', push);
      this.#senders.push(socket);
      if (at % 50 === 49) await once(socket, 'connect');
    }
  }
  /** The oldest readers go; a sender that nobody reads from would not be missed before that. */
  leave(count = this.readers.length): void {
    for (const socket of this.readers.splice(0, count)) socket.resetAndDestroy();
  }
  end(): void {
    this.leave();
    for (const socket of this.#senders) socket.destroy();
  }
}

function heldBytes({ near, far }: Pair) {
  const streams = near.session?.data.streams.size ?? 0;
  const outstanding = [...(near.session?.data.streams.values() ?? [])].reduce(
    (sum, { outstandingBytes }) => sum + outstandingBytes,
    0,
  );
  const [nearBytes, farBytes] = [near, far].map(({ session }) => session?.pool.liveBytes ?? 0) as [number, number];
  return { streams, outstanding, near: nearBytes, far: farBytes };
}

/** Resolves when nothing more is taken from the senders for a while; what was held meanwhile is looked at all the time. */
async function stalled(pair: Pair, look: (held: ReturnType<typeof heldBytes>) => void): Promise<void> {
  for (let same = 0, before = -1; same < 20; ) {
    await new Promise((resolve) => setTimeout(resolve, 25));
    look(heldBytes(pair));
    const taken = pair.near.session?.data.bytesSent ?? 0;
    same = taken === before ? same + 1 : 0;
    before = taken;
  }
}

test('hundreds of readers that do not read hold no more than is promised, and no other stream up', {
  timeout: 180_000,
}, async (t) => {
  const pair = await makePair(t, { maxWindowBytes: windowBytes });
  const other = await makeRoute(pair, await serve(t, hashServer()), 'other');
  const crowd = await Crowd.of(t, pair);
  const bytes = randomBytes(4_000_000);
  const passes = async () => {
    assert.equal(String(await exchange(other.port, bytes)), `${sha1(bytes)} ${bytes.length}`);
  };
  const most = { streams: 0, outstanding: 0, near: 0, far: 0 };
  const look = (held: typeof most) => {
    for (const [what, value] of Object.entries(held) as [keyof typeof most, number][])
      most[what] = Math.max(most[what], value);
    const { streams, outstanding, near, far } = held;
    assert.ok(outstanding <= outstandingBytes(streams), `${outstanding} bytes outstanding of ${streams} streams`);
    // What was read and is under way is in slabs a quarter larger, and none is fuller than that.
    assert.ok(near <= ownBytes + readAheadBytes(streams) + outstandingBytes(streams), `${near} bytes near`);
    assert.ok(far <= ownBytes + 2 * outstandingBytes(streams), `${far} bytes far`);
  };
  await crowd.come(300);
  await until(() => heldBytes(pair).streams === 300, 'all are there', 60_000);
  await stalled(pair, look);
  assert.ok(most.outstanding > 12 << 20, `they have stalled: ${most.outstanding} bytes outstanding`);
  await passes();
  // Some leave and others come: what they had is there for these, and no more.
  crowd.leave(150);
  await until(() => heldBytes(pair).streams === 150, 'half have left', 60_000);
  await crowd.come(150);
  await stalled(pair, look);
  await passes();
  t.diagnostic(
    Object.entries(most)
      .map(([what, value]) => `${what} ${value > 1_000 ? `${(value / 2 ** 20).toFixed(1)} MiB` : value}`)
      .join(', '),
  );
  // Those that wake up have lost nothing of their turn.
  const awake = crowd.readers.slice(-50).map((socket) => once(socket.resume(), 'data'));
  await Promise.all(awake);
  crowd.leave();
  await until(() => heldBytes(pair).streams === 0, 'all are over', 60_000);
  await until(() => heldBytes(pair).near < ownBytes && heldBytes(pair).far < ownBytes, 'all was given back', 60_000);
  await passes();
});
