import assert from 'node:assert/strict';
import { test } from 'node:test';
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
    window.sampleLoss({ ...loss, sentBytes: sent * 10_000_000, retransmittedBytes: sent * 100_000 });
  }
  assert.ok(Math.abs(window.lossShare - 0.01) < 0.001, `${window.lossShare}`);
  window.resize(link);
  assert.ok(window.bytes > 11_700_000 * 3 && window.bytes < 11_700_000 * 6, `${window.bytes}`);
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
