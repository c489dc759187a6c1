import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UsageError } from '../../benchmark.ts';
import { CONTENDERS } from '../../contenders/index.ts';
import { FULL, narrow, parseCells, QUICK } from './plan.ts';

test('the plans name contenders that there are', () => {
  const names = new Set(CONTENDERS.map(({ name }) => name));
  for (const { contenders } of [...QUICK.steps, ...FULL.steps])
    for (const name of contenders) assert.ok(names.has(name), name);
});

test('the full plan leaves no contender out', () => {
  const planned = new Set(FULL.steps.flatMap(({ contenders }) => contenders));
  const names = CONTENDERS.map(({ name }) => name);
  assert.deepEqual(
    names.filter((name) => !planned.has(name)),
    [],
  );
  assert.ok(names.includes('lmas-swapped'));
});

test('the quick plan leaves time for set-up within five minutes', () => {
  const setUpSeconds = 2;
  const seconds = QUICK.steps.reduce((sum, step) => sum + step.contenders.length * (step.seconds + setUpSeconds), 0);
  assert.ok(seconds <= 300, `${seconds} s`);
});

test('cells are parsed, and what is none is refused', () => {
  assert.deepEqual(parseCells('1000/100/0.1,0/0/0'), [
    { rateMbit: 1_000, rttMs: 100, lossPct: 0.1 },
    { rateMbit: 0, rttMs: 0, lossPct: 0 },
  ]);
  for (const text of ['', '1000/100', '1000/100/x', '1000//0', '-1/0/0'])
    assert.throws(() => parseCells(text), UsageError);
});

test('a plan is narrowed by cells, contenders, time and repeats', () => {
  const cells = parseCells('1000/200/1');
  assert.deepEqual(narrow(QUICK, { cells }).steps[0]?.contenders, ['lmas', 'direct-cubic']);
  assert.deepEqual(narrow(QUICK, { cells, contenders: ['ssh'] }).steps[0]?.contenders, ['ssh']);
  assert.deepEqual(
    narrow(QUICK, { contenders: ['reference'] }).steps.map(({ cell }) => cell.rateMbit),
    [0],
  );
  const unplanned = narrow(QUICK, { cells: parseCells('100/10/0'), seconds: 3, repeats: 2 });
  assert.deepEqual(unplanned, {
    steps: [{ cell: { rateMbit: 100, rttMs: 10, lossPct: 0 }, contenders: ['lmas', 'direct-cubic'], seconds: 3 }],
    repeats: 2,
  });
});
