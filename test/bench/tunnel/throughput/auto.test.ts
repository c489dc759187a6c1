import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CONTENDERS } from '../../contenders/index.ts';
import { markdownTable } from '../../report/table.ts';
import { autoBesideBest, hasFixedSubflows } from './auto.ts';
import type { Measurement } from './measurement.ts';
import { renderThroughput } from './report.ts';

const one = (contender: string, mbit: number, changes: Partial<Measurement> = {}): Measurement => ({
  rateMbit: 1_000,
  rttMs: 100,
  lossPct: 0,
  contender,
  pass: 'first',
  goodputBitsPerSec: mbit * 1e6,
  linkShare: null,
  timeTo90Ms: null,
  cpuSecPerGB: null,
  loadCpuSecPerGB: 0.5,
  rssBytes: 1e8,
  seconds: 30,
  foreignCores: 0,
  lateShare: 0,
  disturbed: [],
  ...changes,
});
/** A pass over one cell: LMAS with auto, and with fixed numbers. */
const pass = (name: string, auto: number, fixed: Record<number, number>): Measurement[] => [
  one('lmas', auto, { pass: name }),
  ...Object.entries(fixed).map(([subflows, mbit]) => one(`lmas-${subflows}`, mbit, { pass: name })),
];

test('what has a fixed number of subflows is told from all others', () => {
  const fixed = CONTENDERS.filter(({ name }) => hasFixedSubflows({ contender: name }));
  assert.deepEqual(
    fixed.map(({ name }) => name),
    [1, 2, 4, 8, 16, 32, 64].map((subflows) => `lmas-${subflows}`),
  );
});

test('auto stands beside the fixed number with the best median, by medians and within passes', () => {
  // The machine is half as fast in the second pass, and lmas-1 had luck once.
  const measurements = [
    ...pass('1', 800, { 1: 950, 4: 900 }),
    ...pass('2', 400, { 1: 300, 4: 450 }),
    ...pass('3', 900, { 1: 500, 4: 850 }),
  ];
  const [found, ...others] = autoBesideBest(measurements);
  assert.deepEqual(others, []);
  assert.equal(found?.best, 'lmas-4');
  assert.equal(found?.bestBitsPerSec, 850e6);
  assert.equal(found?.autoBitsPerSec, 800e6);
  assert.equal(found?.ofMedians.toFixed(3), (800 / 850).toFixed(3));
  assert.equal(found?.ofPasses?.toFixed(3), (800 / 900).toFixed(3)); // of 0.889, 0.889 and 1.059
  assert.equal(found?.passes, 3);
  assert.equal(found?.trusted, true);
});

test('nothing is said of a cell without auto, or with fewer than two fixed numbers', () => {
  const elsewhere = { rttMs: 0 };
  const measurements = [
    one('lmas', 900),
    one('lmas-4', 900),
    one('lmas-1core', 900),
    one('haproxy', 900),
    one('lmas-1', 900, elsewhere),
    one('lmas-4', 900, elsewhere),
  ];
  assert.deepEqual(autoBesideBest(measurements), []);
  assert.doesNotMatch(renderThroughput(measurements, markdownTable), /best fixed/);
});

test('where no pass has both only the medians say something, and what was disturbed is not trusted', () => {
  const [apart] = autoBesideBest([one('lmas', 900), ...pass('2', 0, { 1: 500, 4: 1_000 }).slice(1)]);
  assert.deepEqual([apart?.ofMedians, apart?.ofPasses, apart?.passes], [0.9, null, 0]);
  const noisy = one('lmas-64', 950, { disturbed: ['noise'] });
  assert.equal(autoBesideBest([...pass('1', 900, { 1: 500 }), noisy])[0]?.trusted, false);
});

test('the report answers for every cell, and for all of them together', () => {
  const far = pass('1', 700, { 1: 100, 4: 900 }).map((measurement) => ({ ...measurement, rttMs: 200 }));
  const report = renderThroughput([...pass('1', 880, { 1: 700, 4: 900 }), ...far], markdownTable);
  const told = report.slice(report.indexOf('Subflows: auto'));
  assert.match(told, /\| 1000 Mbit\/s, 100 ms, 0 % loss \| lmas-4 \| 900 \| 880 \| 0\.98 \| 0\.98 \| 1 \| yes \|/);
  assert.match(told, /\| 1000 Mbit\/s, 200 ms, 0 % loss \| lmas-4 \| 900 \| 700 \| 0\.78 \| 0\.78 \| 1 \| no \|/);
  assert.match(told, /^Subflows: auto is within 10 % of the best fixed number in 1 of 2 cells/);
});
