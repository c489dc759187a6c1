import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ahead, leastBatchBytes, mostAheadBytes } from './ahead.ts';

const mssBytes = 1_000;
const at = (rttMs: number, congestionWindowSegments: number, unacknowledgedSegments = 0, notSentBytes = 0) => ({
  ...{
    rttMs,
    minRttMs: Math.min(rttMs, 100),
    congestionWindowSegments,
    unacknowledgedSegments,
    notSentBytes,
    mssBytes,
  },
});

test('a subflow takes what it sends in a short time, within limits', () => {
  const ahead = new Ahead();
  assert.equal(ahead.room(0), mostAheadBytes);
  assert.equal(ahead.sample(at(100, 400), 0), 100_000);
  assert.equal(ahead.room(30_000), 70_000);
  assert.equal(ahead.sample(at(100, 440), 20), null, 'about the same');
  assert.equal(ahead.sample(at(100, 100_000), 40), mostAheadBytes);
  assert.equal(ahead.sample(at(100, 1), 60), 32 << 10, 'one that has started and lost much keeps busy');
  assert.equal(ahead.room(0), 32 << 10);
});

test('one that is new takes no more than goes at once', () => {
  const ahead = new Ahead();
  ahead.sample(at(100, 10), 0);
  assert.equal(ahead.room(0), 10_000);
  ahead.took(10_000);
  assert.equal(ahead.room(0), 0);
  ahead.sample(at(100, 10, 10), 20);
  assert.equal(ahead.room(0), 0, 'nothing has come back yet');
  ahead.sample(at(100, 20, 4, 1_000), 100);
  assert.equal(ahead.room(0), 15_000);
  ahead.sample(at(100, 200, 100), 300);
  assert.equal(ahead.room(0), 50_000, 'fast enough: what waits is sent soon');
  ahead.sample(at(100, 10, 10), 400);
  assert.equal(ahead.room(0), 32 << 10);
});

test('a window of one packet has room for a batch while nothing is on its way, and a handshake that took long makes nobody new for longer', () => {
  const ahead = new Ahead();
  ahead.sample(at(1_200, 1), 0);
  assert.equal(ahead.room(0), leastBatchBytes);
  ahead.took(leastBatchBytes);
  ahead.sample(at(1_200, 1, 1, 3_000), 20);
  assert.equal(ahead.room(0), 0);
  ahead.sample(at(1_200, 1, 1), 1_000);
  assert.equal(ahead.room(0), 32 << 10);
});

test('a slow path is not new for ever, and a short one not at all', () => {
  const slow = new Ahead();
  slow.sample(at(100, 10, 10), 0);
  assert.equal(slow.room(0), 0);
  slow.sample(at(100, 10, 10), 1_000);
  assert.equal(slow.room(0), 32 << 10);
  const short = new Ahead();
  short.sample(at(1, 10, 10), 0);
  assert.equal(short.room(0), 250_000);
});
