import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LinkRate } from './link-rate.ts';

const tickMs = 20;

interface Path {
  rttMs: number;
  bytesPerSec: number;
  /** What others send into the same queue. */
  others?: number;
  /** What the subflows can carry together. */
  subflows?: number;
  /** How much the arrivals of a tick may differ from what the link carries. */
  burstiness?: number;
}

/** A bottleneck with a queue of one round trip in steps of a millisecond; what it delivers is seen one round trip later. */
class Bottleneck {
  readonly rate = new LinkRate();
  readonly queuesMs: number[] = [];
  nowMs = 0;
  carried = 0;
  #path: Path;
  #queued = 0;
  #delivered = 0;
  #unpaced: number;
  #shown: { bytes: number; queueMs: number }[] = [];

  constructor(path: Path) {
    this.#path = path;
    this.#unpaced = (100_000 * 1_000) / path.rttMs;
  }

  run(durationMs: number, path: Partial<Path> = {}): void {
    this.#path = { ...this.#path, ...path };
    for (const end = this.nowMs + durationMs; this.nowMs < end; this.nowMs += 1) this.#step(this.#path);
  }

  #step({ rttMs, bytesPerSec, others = 0, subflows = Number.POSITIVE_INFINITY, burstiness = 0 }: Path): void {
    const { paceBytesPerSec } = this.rate;
    // Subflows by themselves double each round trip, and stop at twice what the link carries.
    this.#unpaced = paceBytesPerSec ?? Math.min(this.#unpaced * 2 ** (1 / rttMs), 2 * bytesPerSec);
    this.#unpaced = Math.min(this.#unpaced, subflows);
    const arriving = this.#unpaced + others;
    const perMs = bytesPerSec / 1_000;
    this.#queued = Math.min(this.#queued + arriving / 1_000, rttMs * perMs);
    const out = Math.min(this.#queued, perMs);
    this.#queued -= out;
    const bytes = (out * this.#unpaced) / arriving;
    this.carried += bytes;
    this.queuesMs.push(this.#queued / perMs);
    this.#shown.push({ bytes, queueMs: this.#queued / perMs });
    if (this.#shown.length <= rttMs) return;
    const shown = this.#shown.shift() ?? { bytes: 0, queueMs: 0 };
    this.#delivered += shown.bytes;
    const early = burstiness * perMs * tickMs * Math.sin(this.nowMs * 0.7);
    if (this.nowMs % tickMs === 0) this.#show(rttMs, shown.queueMs, early);
  }

  #show(rttMs: number, queueMs: number, early: number): void {
    const sample = { nowMs: this.nowMs, deliveredBytes: this.#delivered + early, sentBytes: 0, retransmittedBytes: 0 };
    this.rate.sample({ ...sample, rttMs: rttMs + queueMs, minRttMs: rttMs }, true);
  }
}

for (const rttMs of [1, 20, 100, 200]) {
  test(`at ${rttMs} ms the link is found, filled to 97 %, and its queue stays below 10 ms`, () => {
    const link = new Bottleneck({ rttMs, bytesPerSec: 117_000_000 });
    link.run(2_000 + 15 * rttMs);
    assert.equal(link.rate.state, 'paced');
    const [before, from] = [link.carried, link.queuesMs.length];
    link.run(10_000);
    assert.ok((link.carried - before) / 1_170_000_000 > 0.97, `${(link.carried - before) / 1_170_000_000}`);
    assert.ok(Math.max(...link.queuesMs.slice(from)) < 10, `${Math.max(...link.queuesMs.slice(from))} ms`);
  });
}

test('a link that becomes slower is followed down, one that becomes faster is followed up', () => {
  const link = new Bottleneck({ rttMs: 50, bytesPerSec: 100_000_000 });
  link.run(3_000);
  link.run(8_000, { bytesPerSec: 60_000_000 });
  assert.ok(link.rate.bytesPerSec < 62_000_000, `${link.rate.bytesPerSec}`);
  link.run(8_000, { bytesPerSec: 120_000_000 });
  assert.ok(link.rate.bytesPerSec > 110_000_000, `${link.rate.bytesPerSec}`);
});

test('a link that becomes much slower is searched anew', () => {
  const link = new Bottleneck({ rttMs: 50, bytesPerSec: 100_000_000 });
  link.run(3_000);
  link.run(8_000, { bytesPerSec: 20_000_000 });
  assert.ok(Math.abs(link.rate.bytesPerSec / 20_000_000 - 1) < 0.05, `${link.rate.bytesPerSec}`);
});

test('a rate that was believed far too early is looked for anew, not felt for step by step', () => {
  const link = new Bottleneck({ rttMs: 200, bytesPerSec: 2_000_000 });
  link.run(4_000);
  assert.equal(link.rate.state, 'paced');
  link.run(8_000, { bytesPerSec: 117_000_000 });
  assert.ok(link.rate.bytesPerSec > 110_000_000, `${link.rate.bytesPerSec}`);
});

test('more subflows than before: a search finds what they carry within a few round trips', () => {
  const link = new Bottleneck({ rttMs: 100, bytesPerSec: 100_000_000, subflows: 40_000_000 });
  link.run(8_000);
  assert.ok(link.rate.bytesPerSec < 41_000_000, `${link.rate.bytesPerSec}`);
  link.rate.search();
  link.run(1_500, { subflows: 90_000_000 });
  assert.ok(link.rate.bytesPerSec > 80_000_000, `${link.rate.bytesPerSec}`);
});

test('a search on a link that is full ends with the first queue', () => {
  const link = new Bottleneck({ rttMs: 100, bytesPerSec: 100_000_000 });
  link.run(8_000);
  const from = link.queuesMs.length;
  link.rate.search();
  link.run(5_000);
  assert.ok(Math.max(...link.queuesMs.slice(from)) < 50, `${Math.max(...link.queuesMs.slice(from))} ms`);
  assert.equal(link.rate.state, 'paced');
  assert.ok(link.queuesMs.slice(from + 2_500).every((queueMs) => queueMs < 10));
});

test('arrivals in bursts make the rate look larger than it is, and the queue stays short all the same', () => {
  const link = new Bottleneck({ rttMs: 100, bytesPerSec: 100_000_000, burstiness: 0.15 });
  link.run(10_000);
  const from = link.queuesMs.length;
  const before = link.carried;
  link.run(10_000);
  const mean = link.queuesMs.slice(from).reduce((sum, queueMs) => sum + queueMs, 0) / 10_000;
  assert.ok(mean < 6, `${mean} ms`);
  assert.ok((link.carried - before) / 1_000_000_000 > 0.95, `${(link.carried - before) / 1_000_000_000}`);
});

for (const rttMs of [8, 20, 50]) {
  test(`a queue that others keep is no reason to give way for ever, however short the path (${rttMs} ms)`, () => {
    const link = new Bottleneck({ rttMs, bytesPerSec: 100_000_000 });
    link.run(3_000);
    link.run(3_000, { others: 100_000_000 });
    assert.equal(link.rate.state, 'contended');
    assert.equal(link.rate.paceBytesPerSec, null);
    link.run(12_000, { others: 0 });
    assert.equal(link.rate.state, 'paced');
  });
}

test('a sender without work learns nothing but good news', () => {
  const rate = new LinkRate();
  let deliveredBytes = 0;
  const run = (bytesPerTick: number, limited: boolean, from: number) => {
    for (let nowMs = from; nowMs < from + 2_000; nowMs += tickMs) {
      deliveredBytes += bytesPerTick;
      const sample = { nowMs, deliveredBytes, sentBytes: 0, retransmittedBytes: 0, rttMs: 10, minRttMs: 10 };
      rate.sample(sample, limited);
    }
  };
  run(1_000_000, true, 0);
  assert.ok(Math.abs(rate.bytesPerSec / 50_000_000 - 1) < 0.02);
  run(10_000, false, 2_000);
  assert.ok(Math.abs(rate.bytesPerSec / 50_000_000 - 1) < 0.02, 'idle');
  run(2_000_000, false, 4_000);
  assert.ok(rate.bytesPerSec > 95_000_000, 'more than was known');
});
