// Metrics and the words for people, made from the status of a real pair that carries something.
import assert from 'node:assert/strict';
import net from 'node:net';
import { type TestContext, test } from 'node:test';
import { nativeSockets } from '../platform/sockets.ts';
import { exchange, hashServer, makePair, makeRoute, type Pair, serve, until } from '../testing/support.ts';
import { renderMetrics } from './metrics.ts';
import { renderStatus } from './status-text.ts';

const LIMITS = { timeout: 20_000 };

/** Streams whose hypervisor at the far end reads nothing; each sends `bytes`, as far as they are taken. */
async function openUnread(t: TestContext, pair: Pair, streams: number, bytes: Buffer): Promise<void> {
  const server = net.createServer((socket) => socket.pause().on('error', () => undefined));
  const route = await makeRoute(pair, await serve(t, server));
  for (let number = 0; number < streams; number += 1) {
    const socket = net.connect({ port: route.port, host: '127.0.0.1' });
    t.after(() => socket.destroy());
    socket.on('error', () => undefined).write(bytes);
  }
}

const sample = (text: string, name: string): number => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);

test('what a pair has carried is in the metrics and in words', { timeout: 15_000 }, async (t) => {
  const pair = await makePair(t, { subflows: 3 });
  const route = await makeRoute(pair, await serve(t, hashServer()));
  await exchange(route.port, Buffer.alloc(3_000_000));
  await until(() => pair.near.status().session?.bytesAcknowledged === 3_000_000, 'all is acknowledged');
  const status = pair.near.status();
  const text = renderMetrics(status);
  assert.equal(sample(text, 'lmas_gateway_sent_bytes_total'), 3_000_000);
  assert.equal(sample(text, 'lmas_gateway_session_established'), 1);
  assert.equal(sample(text, 'lmas_gateway_route_streams\\{route="main"\\}'), status.streams.length);
  const perSubflow = [0, 1, 2].map((id) => sample(text, `lmas_gateway_subflow_sent_bytes_total\\{subflow="${id}"\\}`));
  assert.ok(perSubflow.reduce((sum, value) => sum + value, 0) >= 3_000_000);
  for (const line of text.trimEnd().split('\n')) {
    assert.match(
      line,
      /^(# (HELP|TYPE) lmas_gateway_\w+ .+|lmas_gateway_\w+(\{\w+="[\w-]+"\})? -?\d+(\.\d+)?(e[+-]?\d+)?)$/,
    );
  }
  const words = renderStatus(status);
  assert.match(words, /ESTABLISHED: both gateways are joined\./);
  assert.match(words, /2\.9 MiB delivered of 2\.9 MiB/);
  assert.match(words, /^subflow +out +in +RTT +cwnd +queue +resent +re-keys +control$/m);
});

test('what the path is like, each subflow and each route, is in the metrics and in words', async (t) => {
  const pair = await makePair(t, { subflows: 3 });
  await openUnread(t, pair, 2, Buffer.alloc(50_000));
  const opened = () => pair.near.status().streams.filter(({ bytesSent }) => bytesSent === 50_000);
  await until(() => opened().length === 2, 'both streams have sent');
  const real = pair.near.status();
  assert.ok(real.session);
  const link = {
    ...{ state: 'paced' as const, bytesPerSec: 125_000_000, paceBytesPerSec: 120_000_000 },
    ...{ queueMs: 2.5, lossShare: 0.0125, compressionRatio: 1.75 },
  };
  const subflows = real.subflows.map((one, place) => ({ ...one, receiveBitsPerSec: 1_000 + place, rekeys: place }));
  const streams = real.streams.map((one, place) => ({
    ...one,
    ...{ sendBitsPerSec: 300 + place, receiveBitsPerSec: 20 + place, bytesReceived: 7 },
  }));
  const status = { ...real, session: { ...real.session, link }, subflows, streams };
  const text = renderMetrics(status);
  const of = (name: string) => sample(text, `lmas_gateway_${name}`);
  assert.deepEqual(
    ['bits_per_second', 'pace_bits_per_second', 'queue_seconds', 'loss_ratio'].map((name) => of(`link_${name}`)),
    [1e9, 9.6e8, 0.0025, 0.0125],
  );
  assert.deepEqual(
    [of('subflow_receive_bits_per_second\\{subflow="2"\\}'), of('subflow_rekeys_total\\{subflow="2"\\}')],
    [1_002, 2],
  );
  assert.deepEqual(
    ['open_sent_bytes', 'open_received_bytes', 'send_bits_per_second', 'receive_bits_per_second'].map((name) =>
      of(`route_${name}\\{route="main"\\}`),
    ),
    [100_000, 14, 601, 41],
  );
  const words = renderStatus(status);
  assert.match(
    words,
    /rate 1\.0 Gbit\/s measured \(paced\), pace 960 Mbit\/s, queue 2\.5 ms, 1\.25 % sent again; compression 1\.75$/m,
  );
  assert.match(words, /^2 +.* 2 +\S+$/m);

  const unknown = { ...status, session: { ...real.session, link: { ...link, bytesPerSec: 0, paceBytesPerSec: null } } };
  assert.doesNotMatch(renderMetrics(unknown), /lmas_gateway_link_(pace_)?bits_per_second/);
  assert.match(renderStatus(unknown), /rate unknown \(paced\), no pace/);
});

test('a gateway without a session has metrics and words all the same', async (t) => {
  const pair = await makePair(t, { subflows: 1 });
  const status = { ...pair.near.status(), session: null, subflows: [], streams: [], routes: [] };
  assert.match(renderMetrics(status), /lmas_gateway_cpu_seconds_total/);
  assert.match(renderStatus(status), /No session has been configured yet\./);
});

for (const streams of [1, 40])
  test(`what the kernel holds is told, and bounded while ${streams} stream(s) are not read`, LIMITS, (t) =>
    assertKernelBounded(t, streams),
  );

/** Twice the window, and what the connections of hypervisors have for each direction, which is more than that for many of them. */
async function assertKernelBounded(t: TestContext, streams: number): Promise<void> {
  const pair = await makePair(t, { subflows: 4, maxWindowBytes: 8 << 20 });
  await openUnread(t, pair, streams, Buffer.alloc(64 << 20));
  const { near, far } = pair;
  const least = streams === 1 ? 100_000 : 2 * (8 << 20);
  let most = 0;
  const watch = () => {
    for (const { session } of [near.status(), far.status()]) {
      const held = session?.kernelBytes ?? 0;
      most = Math.max(most, held);
      assert.ok(held <= 2 * (8 << 20) + streams * (1 << 20), `${held} bytes`);
    }
    const { session, streams: open } = near.status();
    const isFull = open.length === streams && (session?.inFlightBytes ?? 0) >= 8 << 20;
    return isFull && (most > least || !nativeSockets);
  };
  await until(watch, `the window is full, and the kernel holds more than ${least} bytes`);
  assert.match(
    renderMetrics(near.status()),
    nativeSockets ? /^lmas_gateway_kernel_bytes \d+$/m : /lmas_gateway_kernel_bytes/,
  );
  assert.match(renderStatus(near.status()), /kernel .* of memory for all sockets/);
}
