import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SlabPool } from '../platform/slab.ts';
import { MAX_FRAMES_IN_FLIGHT } from '../protocol/frame.ts';
import { Pacer } from './pacer.ts';
import { ReceiveLedger } from './receive-ledger.ts';
import { Reorder } from './reorder.ts';
import { SendLedger } from './send-ledger.ts';
import type { Subflow } from './subflow.ts';

const carrier = () => ({ unacknowledgedFrames: 0 }) as Subflow;

test('frames of a dead subflow go again, oldest first, and only those that did not arrive', () => {
  const pool = new SlabPool();
  const acknowledged: number[] = [];
  const ledger = new SendLedger((frame) => acknowledged.push(frame.sequence));
  const [one, two] = [carrier(), carrier()];
  for (let index = 0; index < 10; index += 1) {
    const frame = ledger.add(1, 1, index * 100, pool.acquire(100), 0, 100);
    ledger.carry(frame, index % 2 === 0 ? one : two);
  }
  assert.equal(ledger.acknowledge(2, [{ first: 5, count: 1 }]), true);
  assert.deepEqual(acknowledged, [1, 2, 5]);
  assert.equal(ledger.abandon(one), 3);
  assert.equal(ledger.takeResend(99), null, 'no room for it');
  const again = [ledger.takeResend(100), ledger.takeResend(100)];
  assert.deepEqual(
    again.map((frame) => frame?.sequence),
    [3, 7],
  );
  for (const frame of again) if (frame !== null) ledger.carry(frame, two);
  assert.equal(ledger.acknowledge(10, []), true, 'the third arrived after all');
  assert.equal(ledger.takeResend(100), null);
  assert.equal(two.unacknowledgedFrames, 0);
  assert.equal(pool.liveBytes, 0);
  assert.equal(ledger.acknowledge(11, []), false, 'never sent');
});

test('the ring has room for its size and no more', () => {
  const ledger = new SendLedger(() => undefined);
  let count = 0;
  while (ledger.hasRoom) {
    ledger.add(1, 1, 0, null, 0, 0);
    count += 1;
  }
  assert.equal(count, MAX_FRAMES_IN_FLIGHT - 1);
  ledger.acknowledge(count, []);
  assert.ok(ledger.hasRoom);
});

test('arrivals: in any order, once each, over many turns of the ring', () => {
  const ledger = new ReceiveLedger();
  const total = 3 * MAX_FRAMES_IN_FLIGHT;
  for (let base = 1; base <= total; base += 8) {
    for (const step of [3, 1, 0, 7, 6, 2, 5, 4]) assert.equal(ledger.arrive(base + step), 'new');
    assert.equal(ledger.arrive(base + 3), 'seen');
  }
  assert.equal(ledger.cumulative, total);
  assert.equal(ledger.arrive(total + MAX_FRAMES_IN_FLIGHT), 'impossible');
  for (const sequence of [total + 2, total + 3, total + 6]) ledger.arrive(sequence);
  assert.deepEqual(ledger.ranges(), [
    { first: total + 2, count: 2 },
    { first: total + 6, count: 1 },
  ]);
  assert.equal(ledger.reorderDepth, 6);
});

test('pieces come out in order, and a piece that overlaps is refused', () => {
  const pool = new SlabPool();
  const reorder = new Reorder();
  const piece = (length: number) => ({ slab: pool.acquire(length), start: 0, length });
  assert.ok(reorder.add(10, piece(5)));
  assert.equal(reorder.take(), undefined);
  assert.ok(reorder.add(0, piece(10)));
  assert.ok(!reorder.add(10, piece(1)));
  assert.equal(reorder.take()?.length, 10);
  assert.equal(reorder.take()?.length, 5);
  assert.equal(reorder.next, 15);
  assert.ok(!reorder.add(3, piece(1)), 'below what was taken');
});

test('the pacer keeps the rate over a second and lets nothing through without tokens', (context) => {
  let now = 1000;
  context.mock.method(performance, 'now', () => now);
  const pacer = new Pacer(10_000_000);
  let sent = 0;
  for (; now < 3000; now += 1) {
    while (pacer.delayMs() === 0) {
      pacer.spend(100_000);
      sent += 100_000;
    }
  }
  assert.ok(Math.abs(sent / 20_000_000 - 1) < 0.05, `${sent}`);
  pacer.spend(1_000_000);
  pacer.rate = 1_000_000;
  assert.ok(pacer.delayMs() > 0, 'a debt stays when the rate changes');
  pacer.rate = null;
  assert.equal(pacer.delayMs(), 0);
});
