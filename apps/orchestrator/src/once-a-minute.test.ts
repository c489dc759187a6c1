/** The same words are said again after a minute, other ones at once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { onceAMinute, SAY_AGAIN_MS } from './once-a-minute.ts';

test('the same words are passed on once a minute, other ones at once', () => {
  let time = 0;
  const heard: string[] = [];
  const say = onceAMinute(
    (words) => heard.push(words),
    () => time,
  );
  for (const at of [0, 1, SAY_AGAIN_MS - 1]) {
    time = at;
    say('away');
  }
  assert.deepEqual(heard, ['away']);
  say('refused');
  say('away');
  assert.deepEqual(heard, ['away', 'refused', 'away']);
  time += SAY_AGAIN_MS;
  say('away');
  assert.equal(heard.length, 4);
});
