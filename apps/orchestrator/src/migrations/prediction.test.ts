import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PreCopy } from '@lmas/plugin-simulated/world';
import { predictionSchema } from '../schemas/migration-check.ts';
import { type PredictionFacts, predict } from './prediction.ts';

const GIB = 1 << 30;
const facts: PredictionFacts = {
  ...{ memoryBytes: 4 * GIB, diskBytes: 0, rateBytesPerSec: 100e6, dirtyRateBytesPerSec: 20e6 },
  ...{ maxDowntimeMs: 300, leastSpeed: 1 },
};

test('nobody knows the link: nothing is predicted', () => {
  const prediction = predict({ ...facts, rateBytesPerSec: null });
  assert.deepEqual([prediction.convergence, prediction.durationMs, prediction.downtimeMs], ['unknown', null, null]);
});

test('a rate of nothing is one that nobody knows; next to nothing makes numbers that can be stored', () => {
  for (const rateBytesPerSec of [0, -1, Number.NaN]) {
    const prediction = predictionSchema.parse(predict({ ...facts, rateBytesPerSec, dirtyRateBytesPerSec: null }));
    assert.deepEqual(
      [prediction.rateBytesPerSec, prediction.convergence, prediction.durationMs],
      [null, 'unknown', null],
    );
  }
  for (const dirtyRateBytesPerSec of [null, 0, 1e-9, 20e6]) {
    predictionSchema.parse(predict({ ...facts, rateBytesPerSec: 1e-9, dirtyRateBytesPerSec }));
  }
});

test('nobody knows the guest: the least time is told, and that the rest is unknown', () => {
  const prediction = predict({ ...facts, dirtyRateBytesPerSec: null, diskBytes: GIB });
  assert.equal(prediction.convergence, 'unknown');
  assert.deepEqual(prediction.durationMs, { low: Math.round((5 * GIB) / 110e3), high: null });
});

test('a guest that writes nothing takes its memory over the rate, within the error that is told', () => {
  const { durationMs, convergence, passes } = predict({ ...facts, dirtyRateBytesPerSec: 0 });
  const exactMs = (4 * GIB) / 100e3;
  assert.ok(durationMs !== null && durationMs.low < exactMs && exactMs < (durationMs.high ?? 0));
  assert.deepEqual([convergence, passes], ['yes', 1]);
});

test('a guest whose dirty rate exceeds what the link carries: no, unless it may be slowed down', () => {
  const fast = { ...facts, dirtyRateBytesPerSec: 150e6 };
  const never = predict(fast);
  assert.deepEqual([never.convergence, never.passes], ['no', null]);
  assert.equal(predict({ ...fast, leastSpeed: 0.2 }).convergence, 'only-slowed-down');
  assert.equal(predict({ ...fast, leastSpeed: 0.8 }).convergence, 'no', 'not enough');
});

test('near the edge the range says so: a busier guest would not get across', () => {
  const { convergence, durationMs } = predict({ ...facts, dirtyRateBytesPerSec: 85e6 });
  assert.equal(convergence, 'yes');
  assert.equal(durationMs?.high, null);
});

test('it agrees with the simulated pre-copy, pass by pass, where that does just what the model says', () => {
  for (const dirtyRateBytesPerSec of [1e6, 20e6, 60e6]) {
    const guest = { memoryBytes: 4 * GIB, dirtyRateBytesPerSec, maxDowntimeMs: 300, autoConverge: false };
    const copy = new PreCopy(guest);
    let ms = 0;
    for (; !copy.isDone; ms += 5) copy.advance(5, 100e6);
    const { durationMs, passes } = predict({ ...facts, dirtyRateBytesPerSec });
    assert.equal(passes, copy.state.iteration);
    assert.ok(
      durationMs !== null && durationMs.low <= ms && ms <= (durationMs.high ?? Number.POSITIVE_INFINITY),
      `${ms} ms`,
    );
  }
});

test('a range is as wide as what was measured may be wrong, and a sample that found nothing promises nothing on a thin link', () => {
  const idle = { memoryBytes: GIB / 4, dirtyRateBytesPerSec: 0, dirtyRateErrorBytesPerSec: 2 * 1024 ** 2 };
  const [sure, sampled] = [
    predict({ ...facts, ...idle, dirtyRateErrorBytesPerSec: 0 }),
    predict({ ...facts, ...idle }),
  ];
  assert.equal(sampled.durationMs?.low, sure.durationMs?.low, 'nobody writes less than nothing');
  assert.ok((sampled.durationMs?.high ?? 0) > (sure.durationMs?.high ?? 0));
  const thin = predict({ ...facts, ...idle, rateBytesPerSec: 1.25e6 });
  assert.deepEqual([thin.convergence, thin.durationMs?.high], ['yes', null]);
  const busy = { ...facts, dirtyRateBytesPerSec: 20e6 };
  assert.deepEqual(
    predict({ ...busy, dirtyRateErrorBytesPerSec: 5e6 }).durationMs,
    predict(busy).durationMs,
    'less than the model leaves open anyway',
  );
});
