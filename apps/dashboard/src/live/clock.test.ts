import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nowMs, setClock } from './clock.ts';

const AT = Date.parse('2026-03-01T12:00:00Z');
const HOUR_MS = 3_600_000;
const answeredAt = (ms: number) => new Headers({ date: new Date(Math.floor(ms / 1_000) * 1_000).toUTCString() });

test('a clock that is right to the second stays as it is, one that is off is corrected, and then it does not jump', () => {
  for (const ms of [0, 300, 999]) setClock(answeredAt(AT + ms), AT + ms);
  assert.equal(nowMs(AT), AT);
  // An hour ahead of the orchestrator's.
  setClock(answeredAt(AT), AT + HOUR_MS);
  const corrected = nowMs(AT + HOUR_MS);
  assert.ok(Math.abs(corrected - AT) <= 1_000, `${corrected - AT} ms off`);
  for (const ms of [100, 600, 999, 1_000, 1_900]) setClock(answeredAt(AT + ms), AT + ms + HOUR_MS);
  const settled = nowMs(AT + HOUR_MS);
  for (const ms of [2_000, 2_400, 2_999, 3_500]) setClock(answeredAt(AT + ms), AT + ms + HOUR_MS);
  assert.equal(nowMs(AT + HOUR_MS), settled);
  // An answer without a date says nothing.
  setClock(new Headers());
  assert.equal(nowMs(AT + HOUR_MS), settled);
});
