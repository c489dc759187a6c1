// What a pair of gateways tells about itself, and the limits that it keeps, with real sockets.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import net from 'node:net';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { exchange, hashServer, makePair, makeRoute, serve } from '../testing/support.ts';

const block = randomBytes(256 << 10);
const isClose = (share: number) => share > 0.95 && share < 1.05;

describe('what is measured and limited', () => {
  test('the status tells each direction by itself, and how long delivery took', { timeout: 15_000 }, async (t) => {
    const pair = await makePair(t, { subflows: 3 });
    const route = await makeRoute(pair, await serve(t, hashServer()));
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
  });

  test('a probe measures the link', { timeout: 15_000 }, async (t) => {
    const pair = await makePair(t, { subflows: 3 });
    const result = await pair.near.probe(400);
    assert.ok(result.rttMinMs > 0 && result.rttMinMs < 200);
    assert.ok((result.goodputBitsPerSec ?? 0) > 1e7, `${result.goodputBitsPerSec}`);
    assert.ok(Math.abs(result.clockOffsetMs) < 100);
  });

  test('the bandwidth limit holds within 5 %, also when it is changed while streams run', {
    timeout: 60_000,
  }, async (t) => {
    const pair = await makePair(t, { subflows: 3 });
    const route = await makeRoute(pair, await serve(t, hashServer()));
    for (let stream = 0; stream < 3; stream += 1) {
      const socket = net.connect({ port: route.port, host: '127.0.0.1' });
      t.after(() => socket.destroy());
      const pour = () => {
        while (socket.write(block));
      };
      socket.on('error', () => undefined).on('drain', pour);
      pour();
    }
    const session = pair.far.session;
    assert.ok(session);
    /** What is delivered per second, over a while. */
    const rate = async (ms: number) => {
      const [fromBytes, fromMs] = [session.data.bytesReceived, performance.now()];
      await sleep(ms);
      return ((session.data.bytesReceived - fromBytes) * 1_000) / (performance.now() - fromMs);
    };
    for (const bytesPerSec of [4_000_000, 10_000_000, 1_000_000]) {
      pair.near.setLimits({ bandwidthBytesPerSec: bytesPerSec });
      // What was on its way arrives first.
      for (let turns = 0; turns < 10 && (await rate(300)) > 1.2 * bytesPerSec; turns += 1);
      // A machine that runs other tests as well gets three tries.
      const shares: number[] = [];
      while (shares.length < 3 && !shares.some(isClose)) shares.push((await rate(2_000)) / bytesPerSec);
      assert.ok(shares.some(isClose), `${shares} of ${bytesPerSec} bytes a second`);
    }
  });
});
