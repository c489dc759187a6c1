/** Cron on the clocks of zones: by examples of nights on which clocks are moved, and by a model in plain words. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CronExpressionParser } from 'cron-parser';
import fc from 'fast-check';
import { cronComplaints, type Occurrence, occurrences } from './cron.ts';
import { DAY_MS, wallOf } from './zone.ts';

function take(expression: string, zone: string, from: string, count: number): Occurrence[] {
  const runs = occurrences(expression, zone, Date.parse(from));
  return Array.from({ length: count }, () => runs.next().value);
}
const instants = (found: readonly Occurrence[]) => found.map(({ atMs }) => new Date(atMs).toISOString().slice(0, 16));

test('a time that does not exist runs as much later as clocks were moved, and says so', () => {
  const found = take('30 2 * * *', 'Europe/Berlin', '2026-03-28T00:00Z', 3);
  assert.deepEqual(instants(found), ['2026-03-28T01:30', '2026-03-29T01:30', '2026-03-30T00:30']);
  assert.match(found[1]?.note ?? '', /2026-03-29 02:30 does not exist in Europe\/Berlin.*runs at 2026-03-29 03:30/);
  assert.deepEqual([found[0]?.note, found[2]?.note], [null, null]);
  const own = take('*/30 * 14 3 *', 'America/New_York', '2027-03-14T06:00Z', 3);
  assert.deepEqual(instants(own), ['2027-03-14T06:30', '2027-03-14T07:00', '2027-03-14T07:30']);
  assert.deepEqual(
    own.map(({ note }) => note),
    [null, null, null],
    'what runs at its own time runs for nothing else',
  );
  const half = take('15 2 * * *', 'Australia/Lord_Howe', '2026-10-03T00:00Z', 2);
  assert.deepEqual(instants(half), ['2026-10-03T15:45', '2026-10-04T15:15'], 'clocks that are moved by half an hour');
});

test('a time that comes twice runs once; what names every hour goes on every hour', () => {
  const daily = take('30 2 * * *', 'Europe/Berlin', '2026-10-24T12:00Z', 2);
  assert.deepEqual(instants(daily), ['2026-10-25T00:30', '2026-10-26T01:30']);
  assert.match(daily[0]?.note ?? '', /comes twice/);
  const hourly = take('0 * * * *', 'Europe/Berlin', '2026-10-24T23:30Z', 4);
  assert.deepEqual(instants(hourly), ['2026-10-25T00:00', '2026-10-25T01:00', '2026-10-25T02:00', '2026-10-25T03:00']);
  const spring = take('0 * * * *', 'Europe/Berlin', '2026-03-28T23:30Z', 3);
  assert.deepEqual(instants(spring), ['2026-03-29T00:00', '2026-03-29T01:00', '2026-03-29T02:00']);
});

test('expressions without sense are refused in words', () => {
  for (const [expression, reason] of [
    ['* * * * * *', /six|6 fields.*seconds/i],
    ['* * * *', /4 fields/],
    ['', /1 fields/],
    ['0 0 30 2 *', /never comes/],
    ['0 0 31 4,6 *', /never comes/],
    ['60 * * * *', /cannot be read.*60/],
    ['H * * * *', /cannot be read: H/],
    ['h 0 * * *', /cannot be read: h/],
    ['0 0 * * thuh', /cannot be read: thuh/],
    ['0 H(1-5) * * thu', /cannot be read: H/],
    ['0 0 ? * 1', /cannot be read: \?/],
    ['*/0 * * * *', /cannot be read/],
    ['*/90 * * * *', /60 minutes: it would not come every 90/],
    ['0 10/36 * * *', /24 hours: it would not come every 36/],
  ] as const) {
    assert.match(cronComplaints(expression).join(), reason, expression);
  }
  for (const expression of [
    '0 22 * * fri',
    '*/5 * * * *',
    '0 0 29 2 *',
    '0 4 1-7 * *',
    '0 0 L * *',
    '0 0 * * 1#2',
    '*/60 * * * *',
  ]) {
    assert.deepEqual(cronComplaints(expression), [], expression);
  }
});

test('every day and month has its name, in small and in capitals', () => {
  const days = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
  const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
  const same = (named: string, numbered: string) => {
    for (const expression of [named, named.toUpperCase()]) {
      assert.deepEqual(cronComplaints(expression), [], expression);
      assert.deepEqual(
        instants(take(expression, 'UTC', '2026-01-01T00:00Z', 5)),
        instants(take(numbered, 'UTC', '2026-01-01T00:00Z', 5)),
        expression,
      );
    }
  };
  for (const [index, day] of days.entries()) same(`0 22 * * ${day}`, `0 22 * * ${index}`);
  for (const [index, month] of months.entries()) same(`0 22 1 ${month} *`, `0 22 1 ${index + 1} *`);
  same('0 22 * * mon-thu', '0 22 * * 1-4');
  same('0 22 * * mon,thu', '0 22 * * 1,4');
  same('0 22 * * thu#2', '0 22 * * 4#2');
  same('0 22 * jan-mar tue-thu', '0 22 * 1-3 2-4');
});

const zones = fc.constantFrom(
  'Europe/Lisbon',
  'America/New_York',
  'Australia/Lord_Howe',
  'Asia/Kathmandu',
  'UTC',
  'Africa/Casablanca',
);
const minutes = fc.constantFrom('0', '30', '59', '*/7', '15,45', '*');
const hours = fc.constantFrom('0', '1', '2', '3', '23', '*', '1-4', '*/6');
const days = fc.constantFrom('*', '1-7', '29', '25,29');
const weekdays = fc.constantFrom('*', 'sun', 'mon-fri', '6');

test('whatever the expression, the zone and the day: in order, each time on the wall once', () => {
  const property = (zone: string, minute: string, hour: string, day: string, weekday: string, startMs: number) => {
    const expression = `${minute} ${hour} ${day} * ${weekday}`;
    const untilMs = startMs + 3 * DAY_MS;
    const found: number[] = [];
    for (const { atMs } of occurrences(expression, zone, startMs)) {
      if (atMs > untilMs) break;
      found.push(atMs);
    }
    for (const [index, atMs] of found.entries())
      assert.ok(atMs > (found[index - 1] ?? startMs), 'in order, after the start');
    // By brute force: each minute at which the clock shows a time that the expression names.
    const named = new Set<number>();
    const wall = CronExpressionParser.parse(expression, { tz: 'UTC', currentDate: new Date(startMs - 2 * DAY_MS) });
    for (let next = wall.next().getTime(); next < untilMs + 2 * DAY_MS; next = wall.next().getTime()) named.add(next);
    const shown = new Set(found.map((atMs) => wallOf(zone, atMs)));
    const seen = new Set<number>();
    for (let atMs = Math.ceil((startMs + 1) / 60_000) * 60_000; atMs <= untilMs; atMs += 60_000) {
      const wallMs = wallOf(zone, atMs);
      if (!named.has(wallMs)) continue;
      const isAgain =
        seen.has(wallMs) || wallOf(zone, atMs - 3_600_000) === wallMs || wallOf(zone, atMs - 1_800_000) === wallMs;
      seen.add(wallMs);
      if (isAgain && hour !== '*')
        assert.ok(!found.includes(atMs), `${new Date(atMs).toISOString()} is the second time`);
      else assert.ok(found.includes(atMs), `${new Date(atMs).toISOString()} is missing`);
    }
    assert.ok(shown.size <= found.length);
  };
  fc.assert(
    fc.property(
      ...([zones, minutes, hours, days, weekdays] as const),
      fc.integer({ min: Date.parse('2026-01-01'), max: Date.parse('2027-12-31') }).map((ms) => ms - (ms % 1_000)),
      property,
    ),
    { numRuns: 30 },
  );
  // Nights on which clocks are moved are rare: asked for by name.
  for (const [zone, at] of [
    ['Europe/Lisbon', '2026-03-28T12:00Z'],
    ['Europe/Lisbon', '2026-10-24T12:00Z'],
    ['America/New_York', '2026-03-07T12:00Z'],
    ['America/New_York', '2026-10-31T12:00Z'],
    ['Australia/Lord_Howe', '2026-04-04T00:00Z'],
    ['Australia/Lord_Howe', '2026-10-03T00:00Z'],
  ] as const) {
    for (const minute of ['0', '30', '*/7']) {
      for (const hour of ['*', '1', '2', '1-4']) property(zone, minute, hour, '*', '*', Date.parse(at));
    }
  }
});
