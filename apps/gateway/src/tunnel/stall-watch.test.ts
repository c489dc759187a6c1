// Which subflows are given up, by what their kernel tells: stand-ins with numbers of our choice, and a clock of our own.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { GatewayError } from '../errors.ts';
import type { TcpInfo } from '../platform/sockets.ts';
import { defaultStallLimits, watchSubflows } from './stall-watch.ts';
import type { Subflow } from './subflow.ts';

const mssBytes = 1_000;

class Stand {
  nowMs = 1_000_000;
  readonly subflows: Subflow[] = [];
  readonly closed: string[] = [];
  /** Each step a subflow's kernel has so many more bytes acknowledged, while so many wait. */
  readonly flows: { bytesPerStep: number; waitingBytes: number }[] = [];
  pings = 0;

  add(bytesPerStep: number, waitingBytes: number, more: Partial<Subflow> = {}): Subflow {
    const flow = { bytesPerStep, waitingBytes };
    let bytesAcknowledged = 0;
    const subflow = {
      lastReceivedAtMs: this.nowMs,
      pingMark: null,
      wireBytes: 0,
      info: () => {
        bytesAcknowledged += flow.bytesPerStep;
        return {
          bytesAcknowledged,
          unacknowledgedSegments: flow.waitingBytes / mssBytes,
          notSentBytes: 0,
          mssBytes,
          rttMs: 100,
        } as TcpInfo;
      },
      close: (error: GatewayError) => {
        this.closed.push(error.message);
        this.subflows.splice(this.subflows.indexOf(subflow), 1);
      },
      ...more,
    } as unknown as Subflow;
    this.subflows.push(subflow);
    this.flows.push(flow);
    return subflow;
  }
  ping(): void {
    this.pings += 1;
  }
  /** Half a second each; everybody is heard all the while unless `silent`. */
  run(steps: number, silent = false): void {
    for (let step = 0; step < steps; step += 1) {
      this.nowMs += 500;
      if (!silent) for (const subflow of this.subflows) subflow.lastReceivedAtMs = this.nowMs;
      watchSubflows(this, this.nowMs, defaultStallLimits);
    }
  }
}

describe('a subflow is given up', () => {
  test('when its kernel gets nothing acknowledged for 3 s and 8 round trips', () => {
    const stand = new Stand();
    stand.add(0, 5 * mssBytes);
    stand.run(8);
    assert.deepEqual(stand.closed, []);
    stand.run(1);
    assert.match(stand.closed.join(), /nothing is acknowledged/);
  });

  test('when nothing is received for 15 s, although it was asked', () => {
    const stand = new Stand();
    stand.add(0, 0);
    stand.run(30, true);
    assert.deepEqual(stand.closed, []);
    assert.ok(stand.pings >= 5, `${stand.pings} pings`);
    stand.run(1, true);
    assert.match(stand.closed.join(), /nothing is received/);
  });

  test('when a PING that has arrived is not answered for 15 s, although other bytes come', () => {
    const stand = new Stand();
    stand.add(100, 0, { pingMark: 50 });
    stand.run(31);
    assert.deepEqual(stand.closed, []);
    stand.run(1);
    assert.match(stand.closed.join(), /nothing is answered/);
  });

  test('when it carries a small part of what another does, for 4 s, and has work for as long again', () => {
    const stand = new Stand();
    stand.add(1_000_000, 0);
    stand.add(2_000, 200 * mssBytes);
    stand.run(8);
    assert.deepEqual(stand.closed, []);
    stand.run(2);
    assert.match(stand.closed.join(), /far behind the others/);
    assert.equal(stand.subflows.length, 1);
  });

  test('when the others carried many times as much until all of them had to wait for it', () => {
    const stand = new Stand();
    stand.add(1_000_000, 100 * mssBytes);
    stand.add(2_000, 0);
    stand.run(3);
    // The window is used up: what the far end misses is on the slow one.
    Object.assign(stand.flows[0] ?? {}, { bytesPerStep: 0, waitingBytes: 0 });
    Object.assign(stand.flows[1] ?? {}, { waitingBytes: 200 * mssBytes });
    stand.run(8);
    assert.deepEqual(stand.closed, []);
    stand.run(2);
    assert.match(stand.closed.join(), /far behind the others/);
    assert.equal(stand.subflows.length, 1);
  });
});

describe('a subflow is kept', () => {
  test('while its PING has not even left, however long its queue takes', () => {
    const stand = new Stand();
    stand.add(1_000, 200 * mssBytes, { pingMark: 1_000_000 });
    stand.run(200);
    assert.deepEqual(stand.closed, []);
  });

  test('when each PING is answered before the next', () => {
    const stand = new Stand();
    const subflow = stand.add(100, 0);
    for (let round = 1; round < 40; round += 1) {
      subflow.pingMark = round * 100;
      stand.run(2);
    }
    assert.deepEqual(stand.closed, []);
  });

  test('when all are equally slow, and when it has nothing to send', () => {
    const stand = new Stand();
    for (let count = 0; count < 4; count += 1) stand.add(1_500, 200 * mssBytes);
    stand.add(0, 0);
    stand.run(100);
    assert.deepEqual(stand.closed, []);
  });

  test('when the others are idle and never carried more: the link is slow', () => {
    const stand = new Stand();
    stand.add(0, 0);
    stand.add(2_000, 200 * mssBytes);
    stand.run(100);
    assert.deepEqual(stand.closed, []);
  });

  test('when it carries little because it was given little', () => {
    const stand = new Stand();
    stand.add(1_000_000, 100 * mssBytes);
    stand.add(2_000, 1 * mssBytes);
    stand.run(100);
    assert.deepEqual(stand.closed, []);
  });
});
