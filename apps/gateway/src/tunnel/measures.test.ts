// What a pair of gateways tells about itself, and the limits that it keeps, with real sockets.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { exchange, hashServer, makePair, makeRoute, serve } from '../testing/support.ts';

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

  test('the bandwidth limit holds and can be changed', { timeout: 20_000 }, async (t) => {
    const pair = await makePair(t, { subflows: 3 });
    const route = await makeRoute(pair, await serve(t, hashServer()));
    pair.near.setLimits({ bandwidthBytesPerSec: 4_000_000 });
    const begun = performance.now();
    await exchange(route.port, randomBytes(6_000_000));
    const seconds = (performance.now() - begun) / 1000;
    assert.ok(seconds > 1.3 && seconds < 2.5, `${seconds} s for 6 MB at 4 MB/s`);
  });
});
