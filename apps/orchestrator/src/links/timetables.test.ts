/** Limits by the time of day, on a controlled clock and a real Redis. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createLog } from '../log.ts';
import { timetableInputSchema } from '../schemas/timetable.ts';
import { startTestRedis, type TestRedis } from '../testing/test-redis.ts';
import { type BandwidthLimits, createBandwidthLimits } from './bandwidth-limits.ts';
import { createTimetables, type Timetables } from './timetables.ts';

const OFFICE = timetableInputSchema.parse({
  timeZone: 'Europe/Berlin',
  periods: [
    { days: ['mon', 'tue', 'wed', 'thu', 'fri'], from: '12:00', to: '13:00', bandwidthBytesPerSec: 5_000_000 },
    { days: ['mon', 'tue', 'wed', 'thu', 'fri'], from: '08:00', to: '18:00', bandwidthBytesPerSec: 1_000_000 },
  ],
  otherwise: null,
});
let server: TestRedis;
let limits: BandwidthLimits;
let timetables: Timetables;
let nowMs = 0;
before(async () => {
  server = await startTestRedis();
  limits = createBandwidthLimits(server.redis);
  timetables = createTimetables(server.redis, limits, { now: () => nowMs, log: createLog('silent') });
});
after(() => server[Symbol.asyncDispose]());

async function at(time: string): Promise<number | undefined> {
  nowMs = Date.parse(time);
  await timetables.apply();
  return (await limits.of(['link:a~b'])).get('link:a~b');
}

test('the limit follows the clock on the wall; one set by hand holds until the next change', async () => {
  nowMs = Date.parse('2026-06-01T05:59:00Z'); // a Monday, 07:59 in Berlin
  assert.deepEqual((await timetables.set('link:a~b', OFFICE)).now, {
    bandwidthBytesPerSec: null,
    until: '2026-06-01T06:00:00.000Z',
  });
  assert.equal(await at('2026-06-01T05:59:59Z'), undefined);
  assert.equal(await at('2026-06-01T06:00:00Z'), 1_000_000);
  assert.equal((await timetables.get('link:a~b')).now.until, '2026-06-01T10:00:00.000Z');
  assert.equal(await at('2026-06-01T10:00:00Z'), 5_000_000, 'the first period that it is in counts');
  assert.equal(await at('2026-06-01T11:00:00Z'), 1_000_000);
  await limits.set('link:a~b', 7_000_000);
  assert.equal(await at('2026-06-01T15:59:00Z'), 7_000_000, 'somebody set it by hand');
  assert.equal(await at('2026-06-01T16:00:00Z'), undefined);
  assert.equal((await timetables.get('link:a~b')).now.until, '2026-06-02T06:00:00.000Z');
  assert.equal(await at('2026-06-06T09:00:00Z'), undefined, 'a Saturday');
});

test('on both sides of a change of the clocks it is the same time on the wall', async () => {
  assert.equal(await at('2026-03-27T06:59:00Z'), undefined);
  assert.equal(await at('2026-03-27T07:00:00Z'), 1_000_000);
  assert.equal(await at('2026-03-30T05:59:00Z'), undefined);
  assert.equal(await at('2026-03-30T06:00:00Z'), 1_000_000);
});

test('what is removed leaves the limit as it is', async () => {
  await timetables.remove('link:a~b');
  assert.equal(await at('2026-06-06T09:00:00Z'), 1_000_000);
  await assert.rejects(timetables.get('link:a~b'), { code: 'TIMETABLE_NOT_FOUND' });
});
