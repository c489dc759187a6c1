import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TcpInfo } from '../platform/sockets.ts';
import { LinkWatch } from './link-watch.ts';

function subflow(info: Partial<TcpInfo> | null) {
  return { info: () => info as TcpInfo | null };
}
const fresh = { mssBytes: 1_000, deliveredSegments: 0, bytesSent: 0, bytesRetransmitted: 0, rttMs: 50, minRttMs: 40 };

test('totals are those of all subflows, and only grow when one is replaced', () => {
  const watch = new LinkWatch();
  const one = { ...fresh, deliveredSegments: 10, bytesSent: 12_000, bytesRetransmitted: 2_000 };
  const two = { ...fresh, deliveredSegments: 5, bytesSent: 5_000 };
  const [first, second] = [subflow(one), subflow(two)];
  let sample = watch.look([first, second], 0, 0);
  assert.deepEqual([sample.deliveredBytes, sample.sentBytes, sample.retransmittedBytes], [15_000, 17_000, 2_000]);
  sample = watch.look([second, subflow({ ...fresh, deliveredSegments: 1, bytesSent: 1_000 })], 0, 20);
  assert.deepEqual([sample.deliveredBytes, sample.sentBytes, sample.retransmittedBytes], [16_000, 18_000, 2_000]);
});

test('the round trip is the shortest of the subflows on which something arrived', () => {
  const watch = new LinkWatch();
  const [one, two] = [
    { ...fresh, deliveredSegments: 100, rttMs: 70 },
    { ...fresh, deliveredSegments: 100, rttMs: 60, minRttMs: 41 },
  ];
  const both = [subflow(one), subflow(two)];
  assert.equal(watch.look(both, 0, 0).rttMs, 60);
  one.deliveredSegments += 1;
  const sample = watch.look(both, 0, 20);
  assert.equal(sample.rttMs, 70, 'what the silent one said is old');
  assert.equal(sample.minRttMs, 40);
  assert.equal(watch.look(both, 0, 40).rttMs, null);
});

test('a handshake of which a packet was lost is no queue', () => {
  const watch = new LinkWatch();
  const late = { ...fresh, deliveredSegments: 1, rttMs: 1_200, minRttMs: 200 };
  const subflows = [subflow(late)];
  assert.equal(watch.look(subflows, 0, 0).rttMs, null);
  Object.assign(late, { deliveredSegments: 20, rttMs: 400 });
  const sample = watch.look(subflows, 0, 20);
  assert.deepEqual([sample.rttMs, sample.deliveredBytes], [null, 20_000], 'what arrives counts all the same');
  Object.assign(late, { deliveredSegments: 30, rttMs: 215 });
  assert.equal(watch.look(subflows, 0, 40).rttMs, 215);
  Object.assign(late, { deliveredSegments: 40, rttMs: 300 });
  assert.equal(watch.look(subflows, 0, 60).rttMs, 300, 'from then on it is');
});

test('nor is one that is all that its subflow knows, where others know better', () => {
  const watch = new LinkWatch();
  const swift = { ...fresh, deliveredSegments: 100, rttMs: 201, minRttMs: 200 };
  const late = { ...fresh, deliveredSegments: 1, rttMs: 1_200, minRttMs: 1_200 };
  const both = [subflow(swift), subflow(late)];
  assert.equal(watch.look(both, 0, 0).rttMs, 201);
  late.deliveredSegments = 2;
  assert.equal(watch.look(both, 0, 20).rttMs, null);
});

test('round trips that never come close to the shortest are believed after a while', () => {
  const watch = new LinkWatch();
  const info = { ...fresh, deliveredSegments: 63, rttMs: 20, minRttMs: 1 };
  assert.equal(watch.look([subflow(info)], 0, 0).rttMs, null);
  info.deliveredSegments = 64;
  assert.equal(watch.look([subflow(info)], 0, 20).rttMs, 20);
});

test('where no kernel can be asked, acknowledgements and pings do', () => {
  const watch = new LinkWatch();
  assert.equal(watch.minRttMs, null);
  for (const [atMs, rttMs] of [30, 90, 50, 60].entries()) watch.ping(rttMs, atMs);
  const sample = watch.look([subflow(null)], 123_456, 10);
  assert.deepEqual([sample.deliveredBytes, sample.rttMs, sample.minRttMs], [123_456, 50, 30]);
  watch.ping(80, 40_000);
  assert.equal(watch.look([], 0, 40_000).minRttMs, 80, 'the path may have become longer');
});
