import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatPeriod, formatTime, withLocalTimes } from './index.ts';

test('a period is told in its two largest units, without what is nothing', () => {
  for (const [ms, words] of [
    [200, '200 ms'],
    [30_000, '30 s'],
    [90_000, '1 min 30 s'],
    [300_000, '5 min'],
    [5_400_000, '1 h 30 min'],
    [3_605_000, '1 h'],
    [194_400_000, '2 d 6 h'],
  ] as const) {
    assert.equal(formatPeriod(ms), words, `${ms}`);
  }
});

test('the times in a sentence are local ones', () => {
  const [from, to] = ['2026-01-02T10:00:00.000Z', '2026-01-02T10:01:00Z'];
  const now = new Date('2026-01-02T10:00:30.000Z');
  const said = withLocalTimes(`It waits since ${from} until ${to}.`, now);
  assert.equal(said, `It waits since ${formatTime(from, now)} until ${formatTime(to, now)}.`);
  assert.doesNotMatch(said, /\dZ/);
  assert.equal(withLocalTimes('Its VMs move.'), 'Its VMs move.');
});
