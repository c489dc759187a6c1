import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LinkRate } from './link-rate.ts';
import { deliveryRounds, Window } from './window.ts';

const link = { bytesPerSec: 117_000_000, startup: false, rttMs: 100 };
const loss = { nowMs: 0, deliveredBytes: 0, rttMs: null, minRttMs: null };

test('without losses the window is little more than the bandwidth-delay product', () => {
  const window = new Window(512 << 20);
  window.resize(link);
  assert.ok(window.bytes > 11_700_000 * 1.25 && window.bytes < 11_700_000 * 2, `${window.bytes}`);
});

test('with losses it holds what waits for the slowest packet', () => {
  const window = new Window(512 << 20);
  for (let sent = 1; sent < 100; sent += 1) {
    window.sampleLoss({ ...loss, sentBytes: sent * 10_000_000, retransmittedBytes: sent * 100_000 }, true);
  }
  assert.ok(Math.abs(window.lossShare - 0.01) < 0.001, `${window.lossShare}`);
  window.resize(link);
  assert.ok(window.bytes > 11_700_000 * 3 && window.bytes < 11_700_000 * 6, `${window.bytes}`);
});

test('losses of a search count until there was a time without, and are forgotten then', () => {
  const window = new Window(512 << 20);
  let [sentBytes, retransmittedBytes] = [0, 0];
  const send = (share: number, isSteady: boolean) => {
    for (let turn = 0; turn < 100; turn += 1) {
      sentBytes += 1_000_000;
      retransmittedBytes += share * 1_000_000;
      window.sampleLoss({ ...loss, sentBytes, retransmittedBytes }, isSteady);
    }
    window.resize(link);
    return window.bytes;
  };
  const searching = send(0.1, false);
  const clean = send(0, true);
  assert.ok(searching > 2 * clean && clean < 11_700_000 * 2, `${searching}, then ${clean}`);
  assert.equal(send(0.1, false), clean, 'a queue that is over again');
  assert.ok(send(0.01, true) > 2 * clean, 'the path itself');
});

test('round trips until everything has arrived: as simulated', () => {
  for (const [packets, share] of [
    [8_000, 0.01],
    [8_000, 0.001],
    [500, 0.05],
  ] as const) {
    let sum = 0;
    for (let run = 0; run < 20; run += 1) sum += simulatedRounds(packets, share);
    const rounds = deliveryRounds(packets, share);
    assert.ok(rounds > sum / 20 - 0.5 && rounds < sum / 20 + 2, `${rounds} for ${sum / 20}`);
  }
  assert.equal(deliveryRounds(8_000, 0), 1);
  assert.equal(deliveryRounds(8_000, 0.9), 5, 'never unbounded');
});

function simulatedRounds(packets: number, share: number): number {
  let rounds = 0;
  for (let left = packets; left > 0; rounds += 1) {
    let lost = 0;
    for (let packet = 0; packet < left; packet += 1) if (Math.random() < share) lost += 1;
    left = lost;
  }
  return rounds;
}

test('it grows while the link is searched, and is bounded by what the operator allows', () => {
  const window = new Window(16 << 20);
  window.resize({ ...link, startup: true, bytesPerSec: 1_000 });
  assert.equal(window.bytes, 8 << 20, 'a search never begins with less');
  window.resize({ ...link, startup: true });
  assert.equal(window.bytes, 16 << 20);
  window.resize({ ...link, bytesPerSec: 1_000 });
  assert.equal(window.bytes, 2 << 20);
});

for (const rttMs of [20, 100, 200]) {
  test(`a search that doubles each round trip of ${rttMs} ms is never held back by the window`, () => {
    const [linkBytesPerSec, tickMs, reportMs] = [117_000_000, 20, 40];
    const [rate, window] = [new LinkRate(), new Window(512 << 20)];
    // Seven subflows with ten packets each. Sent so far at each millisecond; arrived and told one round trip later, and a little.
    const sent: number[] = [];
    let bytes = 0;
    for (let nowMs = 0; rate.state === 'startup' && nowMs < 10_000; nowMs += 1) {
      const bytesPerSec = Math.min(linkBytesPerSec, ((70 * 1_448 * 1_000) / rttMs) * 2 ** (nowMs / rttMs));
      bytes += bytesPerSec / 1_000;
      sent.push(bytes);
      const told = sent[nowMs - rttMs - reportMs] ?? 0;
      assert.ok(bytes - told <= window.bytes, `${bytes - told} of ${window.bytes} after ${nowMs} ms`);
      if (nowMs % tickMs !== 0) continue;
      const deliveredBytes = sent[nowMs - rttMs] ?? 0;
      const sample = { nowMs, deliveredBytes, sentBytes: bytes, retransmittedBytes: 0, rttMs, minRttMs: rttMs };
      rate.sample(sample, true);
      window.resize({ bytesPerSec: rate.bytesPerSec, startup: rate.state === 'startup', rttMs });
    }
    assert.equal(rate.state, 'paced');
    assert.ok(rate.bytesPerSec > 0.9 * linkBytesPerSec, `${rate.bytesPerSec}`);
  });
}

test('where less than one in ten windows loses a packet, one round trip is enough', () => {
  assert.equal(deliveryRounds(8_000, 1e-6), 1);
  assert.ok(deliveryRounds(8_000, 2e-5) > 1);
});
