import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CountSample, SubflowCount, type SubflowRange } from './subflow-count.ts';

const tickMs = 20;
const range: SubflowRange = { min: 6, max: 64 };
const initial = new SubflowCount(range).wanted;
/** Of all subflows, those kept free of bulk. */
const lanes = 3;

interface Path {
  rttMs: number;
  linkBytesPerSec: number;
  /** What one subflow makes of it alone. */
  eachBytesPerSec: number;
  /** Share of the link that each subflow costs: processors, headers, losses that they do to each other. */
  cost?: number;
}

function goodput({ linkBytesPerSec, eachBytesPerSec, cost = 0 }: Path, subflows: number): number {
  return Math.min(
    linkBytesPerSec * Math.max(0.1, 1 - cost * subflows),
    Math.max(1, subflows - lanes) * eachBytesPerSec,
  );
}

/** A path on which a new subflow needs some round trips to come up to speed, and a sender that always has work. */
class SimulatedPath {
  readonly count = new SubflowCount(range);
  readonly history: number[] = [];
  nowMs = 0;
  searches = 0;
  #delivered = 0;
  #atSpeed = initial;
  #searchUntilMs = 0;

  run(durationMs: number, path: Path, heldBy?: 'nothing' | 'unclear'): void {
    for (const end = this.nowMs + durationMs; this.nowMs < end; this.nowMs += tickMs) {
      const grown = this.#atSpeed + (tickMs / (6 * path.rttMs)) * this.count.wanted;
      this.#atSpeed = Math.min(this.count.wanted, grown);
      const rate = goodput(path, this.#atSpeed);
      this.#delivered += (rate * tickMs) / 1_000;
      const full = rate < path.linkBytesPerSec * (1 - (path.cost ?? 0) * this.#atSpeed);
      const searching = this.nowMs < this.#searchUntilMs;
      const sample: CountSample = {
        nowMs: this.nowMs,
        rttMs: path.rttMs,
        deliveredBytes: this.#delivered,
        heldBy: heldBy ?? (searching ? 'unclear' : full ? 'subflows' : 'other'),
      };
      if (this.count.sample(sample)) {
        this.searches += 1;
        this.#searchUntilMs = this.nowMs + 5 * path.rttMs;
      }
      this.history.push(this.count.wanted);
    }
  }

  /** Nothing arrives; afterwards every subflow is a new one. */
  outage(durationMs: number, path: Path): void {
    this.run(durationMs, { ...path, eachBytesPerSec: 0 });
    this.#atSpeed = 0;
  }
}

function bestFixed(path: Path): number {
  return Math.max(...Array.from({ length: 64 }, (_, index) => goodput(path, index + 1)));
}

const gigabit = 117_000_000;
const paths: Record<string, Path> = {
  'one is enough': { rttMs: 20, linkBytesPerSec: gigabit, eachBytesPerSec: gigabit },
  'five are enough': { rttMs: 100, linkBytesPerSec: gigabit, eachBytesPerSec: gigabit / 5 },
  'twenty are needed': { rttMs: 100, linkBytesPerSec: gigabit, eachBytesPerSec: gigabit / 20 },
  'the more the better': { rttMs: 200, linkBytesPerSec: gigabit, eachBytesPerSec: gigabit / 200 },
  'each costs, three are enough': { rttMs: 50, linkBytesPerSec: gigabit, eachBytesPerSec: gigabit / 3, cost: 0.004 },
  'each costs, ten are needed': { rttMs: 50, linkBytesPerSec: gigabit, eachBytesPerSec: gigabit / 10, cost: 0.004 },
};

for (const [name, path] of Object.entries(paths)) {
  test(`${name}: within 10 % of the best fixed number after 15 s, and from then on`, () => {
    const simulated = new SimulatedPath();
    simulated.run(15_000, path);
    const from = simulated.history.length;
    simulated.run(120_000, path);
    // What is tried counts as well.
    const mean =
      simulated.history.slice(from).reduce((sum, count) => sum + goodput(path, count), 0) /
      (simulated.history.length - from);
    assert.ok(mean >= 0.9 * bestFixed(path), `${(mean / bestFixed(path)).toFixed(3)} with ${simulated.count.wanted}`);
  });
}

test('few at first, and fewer still where they are not needed', () => {
  const simulated = new SimulatedPath();
  simulated.run(200_000, { rttMs: 20, linkBytesPerSec: gigabit, eachBytesPerSec: gigabit });
  assert.ok(Math.max(...simulated.history) === initial);
  assert.equal(simulated.count.wanted, range.min);
});

test('more that bring nothing are given up, and tried again ever more rarely', () => {
  // A policer: whatever the number, all together get the same, and all are full.
  const count = new SubflowCount(range);
  let trials = 0;
  for (let nowMs = 0; nowMs < 300_000; nowMs += tickMs) {
    const deliveredBytes = nowMs * 10_000;
    if (count.sample({ nowMs, rttMs: 50, deliveredBytes, heldBy: 'subflows' })) trials += 1;
  }
  assert.equal(count.wanted, initial);
  assert.ok(trials >= 3 && trials <= 6, `${trials} trials in five minutes`);
});

test('fewer that cost goodput are taken back, and tried again ever more rarely', () => {
  const path = { rttMs: 50, linkBytesPerSec: gigabit, eachBytesPerSec: gigabit / (initial - lanes) };
  const simulated = new SimulatedPath();
  simulated.run(300_000, path);
  const mean = simulated.history.reduce((sum, count) => sum + goodput(path, count), 0) / simulated.history.length;
  assert.ok(mean > 0.98 * gigabit, `${mean / gigabit}`);
  const tried = simulated.history.filter((count, at) => count < (simulated.history[at - 1] ?? count)).length;
  assert.ok(tried >= 2 && tried <= 6, `${tried} trials in five minutes`);
  assert.equal(simulated.searches, 0, 'what there was before is known');
});

test('a path that becomes lossy gets more, one that becomes clean again gets fewer', () => {
  const clean = { rttMs: 50, linkBytesPerSec: gigabit, eachBytesPerSec: gigabit };
  const lossy = { ...clean, eachBytesPerSec: gigabit / 15 };
  const simulated = new SimulatedPath();
  simulated.run(60_000, clean);
  const few = simulated.count.wanted;
  simulated.run(20_000, lossy);
  assert.ok(goodput(lossy, simulated.count.wanted) > 0.9 * gigabit, `${simulated.count.wanted}`);
  simulated.run(200_000, clean);
  assert.ok(simulated.count.wanted <= few + 2, `${simulated.count.wanted}`);
});

test('a path that was gone and comes back has as many as before: its silence is no lack of subflows', () => {
  const path = { rttMs: 100, linkBytesPerSec: gigabit, eachBytesPerSec: gigabit / 3 };
  const simulated = new SimulatedPath();
  simulated.run(60_000, path);
  for (const outageMs of [2_000, 30_000, 60_000]) {
    const from = simulated.history.length;
    simulated.outage(outageMs, path);
    simulated.run(15_000, path);
    const most = Math.max(...simulated.history.slice(from));
    assert.ok(most <= initial, `${most} after ${outageMs} ms`);
  }
});

for (const heldBy of ['nothing', 'unclear'] as const) {
  test(`what tells nothing (${heldBy}) changes nothing`, () => {
    const simulated = new SimulatedPath();
    simulated.run(60_000, { rttMs: 20, linkBytesPerSec: gigabit, eachBytesPerSec: gigabit / 20 }, heldBy);
    assert.deepEqual([...new Set(simulated.history)], [initial]);
  });
}

test('a fixed number stays', () => {
  const count = new SubflowCount({ min: 8, max: 8 });
  for (let nowMs = 0; nowMs < 60_000; nowMs += tickMs)
    assert.equal(count.sample({ nowMs, rttMs: 50, deliveredBytes: nowMs * 10_000, heldBy: 'subflows' }), false);
  assert.equal(count.wanted, 8);
});
