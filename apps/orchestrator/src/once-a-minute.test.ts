/** The same words are said again after a minute, other ones at once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { onceAMinute, SAY_AGAIN_MS } from './once-a-minute.ts';

/** Says each of the words, one a second, and answers what was passed on. */
function passedOn(words: readonly string[]): string[] {
  let time = 0;
  const heard: string[] = [];
  const say = onceAMinute(
    (each) => heard.push(each),
    () => time,
  );
  for (const each of words) {
    say(each);
    time += 1_000;
  }
  return heard;
}

const SECONDS = SAY_AGAIN_MS / 1_000;

test('the same words are passed on once a minute, other ones at once, also when they take turns', () => {
  assert.deepEqual(passedOn(Array<string>(SECONDS).fill('away')), ['away']);
  assert.deepEqual(passedOn(Array<string>(SECONDS + 1).fill('away')), ['away', 'away']);
  const byTurns = Array.from({ length: 2 * SECONDS }, (_, i) => (i % 2 === 0 ? 'away' : 'refused'));
  assert.deepEqual(passedOn(byTurns), ['away', 'refused', 'away', 'refused']);
});

test('not every word there ever was is remembered', () => {
  const others = Array.from({ length: 20 }, (_, i) => `port ${i}`);
  assert.deepEqual(passedOn(['away', ...others, 'away']), ['away', ...others, 'away']);
});
