import assert from 'node:assert/strict';
import { test } from 'node:test';
import { payloadRate, queueMsOf } from './link.ts';
import { settingsOf } from './link-emulator.ts';
import { netemArguments } from './link-netem.ts';

const LINE = { rateMbit: 1000, rttMs: 100, lossPct: 0 };

test('a gigabit line carries 941 Mbit/s of TCP payload', () => {
  assert.equal(Math.round(payloadRate(1000) / 1e5), 9415);
});

test('the queue is one bandwidth-delay product, and never nothing', () => {
  assert.equal(queueMsOf(LINE), 100);
  assert.equal(queueMsOf({ ...LINE, rttMs: 0 }), 10);
  assert.equal(queueMsOf({ ...LINE, queueMs: 3 }), 3);
});

test('the emulator is told nanoseconds and bits, half the round trip each way', () => {
  assert.equal(
    settingsOf({ ...LINE, lossPct: 0.1, jitterMs: 2 }),
    'rate=1000000000 delay=50000000 queue=100000000 jitter=2000000 loss=4294967',
  );
  assert.match(settingsOf({ ...LINE, lossPct: 100 }), /loss=4294967296$/);
});

test('netem is told the same', () => {
  assert.equal(netemArguments(LINE).join(' '), 'limit 12192 delay 50ms rate 1000mbit 24');
  assert.equal(
    netemArguments({ ...LINE, rateMbit: 0, lossPct: 1, jitterMs: 4 }).join(' '),
    'limit 1000000 delay 50ms 2ms loss 1%',
  );
});
