// Floods of strangers at the port of a gateway in a process of its own: what they cost it, and that it goes on.
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import net from 'node:net';
import { type TestContext, test } from 'node:test';
import tls from 'node:tls';
import { encodePreamble } from '../protocol/handshake.ts';
import { configureStaticPair, startStatic } from '../testing/static-gateways.ts';
import { exchange, hashServer, serve, sha1, until } from '../testing/support.ts';

const rssBytes = ({ pid }: ChildProcess) =>
  1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
const descriptors = ({ pid }: ChildProcess) => readdirSync(`/proc/${pid}/fd`).length;

/** What a stranger says before it falls silent. */
const manners = [
  () => undefined,
  (socket: net.Socket) => socket.write('LMAS'),
  (socket: net.Socket) => socket.end('LMA'),
  (socket: net.Socket) => socket.write(encodePreamble('subflow')),
  (socket: net.Socket) =>
    socket.write(Buffer.concat([encodePreamble('control'), Buffer.from('1603010200010001fc0303', 'hex')])),
  (socket: net.Socket) => {
    socket.write(encodePreamble('control'));
    // Whole, but for its end: the handshake of a client without a certificate.
    tls.connect({ socket, rejectUnauthorized: false }).on('error', () => undefined);
  },
];

class Flood {
  readonly #sockets = new Set<net.Socket>();
  readonly #port: number;
  met = 0;

  constructor(t: TestContext, port: number) {
    this.#port = port;
    t.after(() => {
      for (const socket of this.#sockets) socket.destroy();
    });
  }
  /** Resolves when all have connected, or were turned away. */
  async pour(count: number): Promise<void> {
    await Promise.all(
      Array.from({ length: count }, (_, index) => {
        const socket = net.connect({ port: this.#port, host: '127.0.0.1', allowHalfOpen: true });
        this.#sockets.add(socket);
        socket.on('error', () => undefined);
        socket.once('close', () => this.#sockets.delete(socket));
        return new Promise<void>((resolve) => {
          socket.once('close', () => resolve());
          socket.once('connect', () => {
            this.met += 1;
            manners[index % manners.length]?.(socket);
            resolve();
          });
        });
      }),
    );
  }
}

async function listening(port: number): Promise<void> {
  let open = false;
  for (let tries = 0; tries < 200 && !open; tries += 1) {
    open = await new Promise<boolean>((resolve) => {
      const socket = net.connect(port, '127.0.0.1', () => resolve(true));
      socket.on('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
    if (!open) await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.ok(open, 'the gateway listens');
}

test('2,000 strangers cost no memory to speak of, and the peer comes in meanwhile', { timeout: 60_000 }, async (t) => {
  const pair = await configureStaticPair(t, await serve(t, hashServer()));
  const far = startStatic(t, pair.far);
  await listening(pair.port);
  const flood = new Flood(t, pair.port);
  await flood.pour(200); // What is needed once is there: compiled code, TLS.
  await new Promise((resolve) => setTimeout(resolve, 500));
  const before = { rss: rssBytes(far), descriptors: descriptors(far) };
  let most = 0;
  for (let poured = 0; poured < 2_000; poured += 100) {
    await flood.pour(100);
    most = Math.max(most, rssBytes(far));
    assert.ok(descriptors(far) < before.descriptors + 80, 'few are kept');
  }
  assert.equal(flood.met, 2_200);
  t.diagnostic(
    `${((most - before.rss) / 2 ** 20).toFixed(1)} MiB more at most, of ${(before.rss / 2 ** 20).toFixed(0)}`,
  );
  assert.ok(most - before.rss < 24 << 20, `${most - before.rss} bytes more`);
  startStatic(t, pair.near);
  const bytes = Buffer.alloc(100_000, 'x');
  await passes(pair.entry, bytes, () => flood.pour(20));
});

test('a flood that takes every descriptor ends nothing', { timeout: 60_000 }, async (t) => {
  const pair = await configureStaticPair(t, await serve(t, hashServer()));
  const far = startStatic(t, pair.far, { descriptors: 48 });
  await listening(pair.port);
  const flood = new Flood(t, pair.port);
  for (let poured = 0; poured < 600; poured += 100) await flood.pour(100);
  await until(() => descriptors(far) >= 47, 'none is left');
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.equal(far.exitCode, null, 'it goes on');
  // The silent ones have 5 s.
  await until(() => descriptors(far) < 40, 'they have left', 15_000);
  startStatic(t, pair.near);
  await passes(pair.entry, Buffer.alloc(100_000, 'x'));
});

/** Bytes pass the pair whole, as soon as its ends have found each other. */
async function passes(
  entry: number,
  bytes: Buffer,
  meanwhile: () => Promise<void> = async () => undefined,
): Promise<void> {
  let answer = '';
  for (let tries = 0; tries < 200 && answer === ''; tries += 1) {
    await meanwhile();
    answer = await exchange(entry, bytes, '127.0.0.2').then(String, () => '');
    if (answer === '') await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.equal(answer, `${sha1(bytes)} ${bytes.length}`);
}
