import assert from 'node:assert/strict';
import { test } from 'node:test';
import { draftOf, inWords, newPeriod, newTimetable, periodWords, requestOf } from './timetable-draft.ts';

test('what is read of a timetable makes the same one', () => {
  const request = requestOf(newTimetable('Europe/Lisbon'));
  assert.ok(request !== null);
  assert.deepEqual(requestOf(draftOf(request)), request);
  assert.deepEqual(request, { timeZone: 'Europe/Lisbon', periods: [newPeriod], otherwise: null });
});

test('a time without days is not sent: it would mean all of them', () => {
  assert.equal(requestOf({ ...newTimetable('UTC'), periods: [{ ...newPeriod, days: [] }] }), null);
  assert.equal(requestOf({ ...newTimetable('UTC'), periods: [] }), null);
});

test('complaints are told in the words and units of the form', () => {
  const tooSmall = 'Too small: expected number to be >=1250';
  for (const [path, named] of [
    ['periods.1.bandwidthBytesPerSec', 'Time 2: at most'],
    ['periods.0.from', 'Time 1: from'],
    ['otherwise', 'At all other times'],
    ['timeZone', 'Time zone'],
    ['more', 'more'],
  ] as const) {
    assert.equal(inWords({ path, message: 'wrong' }).path, named);
  }
  assert.match(inWords({ path: 'periods.0.bandwidthBytesPerSec', message: tooSmall }).message, /Mbit/);
});

test('a time of the week in words', () => {
  assert.equal(periodWords(newPeriod as never), 'mon, tue, wed, thu, fri 08:00–19:00');
  assert.equal(periodWords({ ...newPeriod, days: undefined } as never), 'every day 08:00–19:00');
});
