/** Windows and blackouts, against a clock that is looked at every minute. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Period, periodSchema } from '../schemas/period.ts';
import { type Calendar, isOpen, nextOpening } from './periods.ts';

const MINUTE_MS = 60_000;
const weekly = (from: string, to: string, days?: string[]): Period =>
  periodSchema.parse({ kind: 'weekly', from, to, ...(days === undefined ? {} : { days }) });
const dates = (from: string, to: string): Period => periodSchema.parse({ kind: 'dates', from, to });
const opening = (calendar: Calendar, from: string) => {
  const atMs = nextOpening(calendar, Date.parse(from));
  return atMs === undefined ? undefined : new Date(atMs).toISOString().slice(0, 16);
};
const berlin = (windows: Period[], blackouts: Period[] = []): Calendar => ({
  timeZone: 'Europe/Berlin',
  windows,
  blackouts,
});

test('over midnight, on the days on which it begins', () => {
  const friday = berlin([weekly('22:00', '04:00', ['fri'])]);
  assert.equal(opening(friday, '2026-11-25T12:00Z'), '2026-11-27T21:00');
  assert.ok(isOpen(friday, Date.parse('2026-11-28T02:59Z')));
  assert.ok(!isOpen(friday, Date.parse('2026-11-28T03:00Z')));
  assert.ok(!isOpen(friday, Date.parse('2026-11-27T02:00Z')), 'the night before does not belong to it');
});

test('a window that the clocks jump into, over and twice', () => {
  assert.equal(
    opening(berlin([weekly('02:30', '04:00')]), '2026-03-28T23:00Z'),
    '2026-03-29T01:00',
    'into: from 03:00 on',
  );
  assert.equal(
    opening(berlin([weekly('02:00', '03:00')]), '2026-03-28T23:00Z'),
    '2026-03-30T00:00',
    'over: not that night',
  );
  const twice = berlin([weekly('02:00', '03:00')]);
  assert.ok(isOpen(twice, Date.parse('2026-10-25T00:30Z')) && isOpen(twice, Date.parse('2026-10-25T01:30Z')));
});

test('blackouts count for more than windows; what never opens is told', () => {
  const calendar = berlin([weekly('22:00', '23:00')], [dates('2026-12-20T00:00:00Z', '2027-01-06T00:00:00Z')]);
  assert.equal(opening(calendar, '2026-12-20T12:00Z'), '2027-01-06T21:00');
  assert.equal(opening(berlin([weekly('22:00', '23:00')], [weekly('21:00', '23:30')]), '2026-01-01T00:00Z'), undefined);
  assert.equal(
    opening(berlin([dates('2020-01-01T00:00:00Z', '2020-01-02T00:00:00Z')]), '2026-01-01T00:00Z'),
    undefined,
  );
});

test('dates thousands of years ahead are no more work than others', { timeout: 20_000 }, () => {
  const never = [weekly('21:00', '23:30')];
  const calendar = berlin([weekly('22:00', '23:00')], [dates('2020-01-01T00:00:00Z', '9999-12-31T00:00:00Z')]);
  assert.equal(opening(calendar, '2026-01-01T00:00Z'), '9999-12-31T21:00');
  assert.equal(
    opening(
      { ...calendar, blackouts: [...never, dates('9999-12-30T00:00:00Z', '9999-12-31T00:00:00Z')] },
      '2026-01-01T00:00Z',
    ),
    undefined,
  );
  const far = dates('9999-06-01T12:00:00Z', '9999-06-02T00:00:00Z');
  assert.equal(opening(berlin([weekly('22:00', '23:00'), far], never), '2026-01-01T00:00Z'), '9999-06-01T12:00');
});

const clock = fc
  .integer({ min: 0, max: 95 })
  .map((n) => `${String(Math.floor(n / 4)).padStart(2, '0')}:${String((n % 4) * 15).padStart(2, '0')}`);
const anyWeekly = fc
  .record({
    from: clock,
    to: clock,
    days: fc.uniqueArray(fc.constantFrom('mon', 'tue', 'sat', 'sun'), { minLength: 1 }),
  })
  .map(({ from, to, days }) => weekly(from, to, days));

test('the next opening is the first open minute, whatever the windows and whatever the clocks do', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('Europe/Lisbon', 'Australia/Lord_Howe', 'America/New_York'),
      fc.array(anyWeekly, { minLength: 1, maxLength: 2 }),
      fc.array(anyWeekly, { maxLength: 2 }),
      fc.constantFrom(
        '2026-03-28T20:00Z',
        '2026-10-24T20:00Z',
        '2026-04-04T10:00Z',
        '2026-10-03T10:00Z',
        '2026-11-01T00:00Z',
      ),
      (timeZone, windows, blackouts, from) => {
        const calendar = { timeZone, windows, blackouts };
        const fromMs = Date.parse(from);
        let expected: number | undefined;
        for (let atMs = fromMs; atMs < fromMs + 8 * 86_400_000 && expected === undefined; atMs += MINUTE_MS) {
          if (isOpen(calendar, atMs)) expected = atMs;
        }
        const found = nextOpening(calendar, fromMs);
        if (expected === undefined) assert.ok(found === undefined || found > fromMs + 7 * 86_400_000);
        else assert.equal(found, expected);
      },
    ),
    { numRuns: 30 },
  );
});
