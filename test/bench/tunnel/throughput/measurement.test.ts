import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Measurement, ratiosOf, rowsOf } from './measurement.ts';

const one = (changes: Partial<Measurement>): Measurement => ({
  rateMbit: 1_000,
  rttMs: 100,
  lossPct: 0,
  contender: 'lmas',
  pass: 'first',
  goodputBitsPerSec: 9e8,
  linkShare: 0.95,
  timeTo90Ms: 400,
  cpuSecPerGB: 2,
  loadCpuSecPerGB: 0.5,
  rssBytes: 1e8,
  seconds: 30,
  foreignCores: 0,
  lateShare: 0,
  disturbed: [],
  ...changes,
});

test('a row is the median of its measurements, with their spread', () => {
  const [row, ...others] = rowsOf([
    one({ goodputBitsPerSec: 7e8, cpuSecPerGB: 3 }),
    one({ goodputBitsPerSec: 9e8, cpuSecPerGB: 2 }),
    one({ goodputBitsPerSec: 8e8, cpuSecPerGB: 1, timeTo90Ms: null }),
  ]);
  assert.equal(others.length, 0);
  assert.equal(row?.goodputBitsPerSec, 8e8);
  assert.deepEqual(row?.goodputSpread, [7e8, 9e8]);
  assert.equal(row?.cpuSecPerGB, 2);
  assert.equal(row?.timeTo90Ms, 400);
  assert.equal(row?.measurements, 3);
});

test('disturbed measurements are left out while there are others, and the row says so', () => {
  const noisy = one({ goodputBitsPerSec: 1e8, disturbed: ['others used 1.00 cores'] });
  const [mixed] = rowsOf([noisy, one({})]);
  assert.equal(mixed?.goodputBitsPerSec, 9e8);
  assert.equal(mixed?.trusted, true);
  assert.deepEqual(mixed?.disturbed, ['others used 1.00 cores']);
  const [alone] = rowsOf([noisy]);
  assert.equal(alone?.trusted, false);
});

test('cells and contenders are kept apart, and where nothing can be known it says nothing', () => {
  const rows = rowsOf([
    one({}),
    one({ lossPct: 1 }),
    one({ contender: 'direct-cubic', goodputBitsPerSec: 3e8, cpuSecPerGB: null, timeTo90Ms: null }),
  ]);
  assert.equal(rows.length, 3);
  const direct = rows.find(({ contender }) => contender === 'direct-cubic');
  assert.equal(direct?.cpuSecPerGB, null);
  assert.equal(direct?.cpuSpread, null);
  assert.equal(direct?.timeTo90Ms, null);
});

test('ratios compare within a cell and a pass only', () => {
  const ratios = ratiosOf([
    one({ cpuSecPerGB: 2 }),
    one({ contender: 'haproxy', goodputBitsPerSec: 3e8, cpuSecPerGB: 4 }),
    one({ contender: 'direct-cubic', goodputBitsPerSec: 1e8, cpuSecPerGB: null }),
    one({ contender: 'ssh', lossPct: 1 }),
    one({ contender: 'stunnel', pass: 'second' }),
  ]);
  assert.deepEqual(
    ratios.map(({ contender, goodput, cpu }) => [contender, goodput, cpu]),
    [
      ['haproxy', 3, 0.5],
      ['direct-cubic', 9, null],
    ],
  );
});

test('a pass on a slow machine counts like one on a fast machine, and a disturbed one only where there is no other', () => {
  const pair = (pass: string, ours: number, theirs: number, ...disturbed: string[]): Measurement[] => [
    one({ pass, cpuSecPerGB: ours }),
    one({ pass, cpuSecPerGB: theirs, contender: 'haproxy', disturbed }),
  ];
  const passes = [...pair('1', 2, 4), ...pair('2', 20, 40), ...pair('3', 3, 4, 'noise')];
  assert.deepEqual(
    ratiosOf(passes).map(({ cpu, passes }) => [cpu, passes]),
    [[0.5, 2]],
  );
  assert.equal(ratiosOf(pair('3', 3, 4, 'noise'))[0]?.cpu, 0.75);
});
