/** Who goes on in which turn of the event loop. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Turns } from './turns.ts';

/** Has `count` ask at once. @returns the numbers of those that have gone on so far, in their order */
function ask(turns: Turns, count: number): readonly number[] {
  const gone: number[] = [];
  for (let i = 0; i < count; i++) void turns.next().then(() => gone.push(i));
  return gone;
}

test('of many that ask at once a few go on in each turn, in their order, and all of them do', async () => {
  const gone = ask(new Turns(3), 8);
  const counts: number[] = [];
  while (gone.length < 8) {
    await Promise.resolve().then(() => undefined);
    counts.push(gone.length);
    await nextTurn();
  }
  assert.deepEqual(counts, [3, 6]);
  assert.deepEqual(gone, [0, 1, 2, 3, 4, 5, 6, 7]);
});

test('who comes when nobody waits goes on at once', async () => {
  const turns = new Turns(1);
  for (let i = 0; i < 3; i++) {
    const gone = ask(turns, 1);
    await Promise.resolve().then(() => undefined);
    assert.equal(gone.length, 1);
    await nextTurn();
    await nextTurn();
  }
});

test('who comes while others wait comes after them', async () => {
  const turns = new Turns(1);
  const first = ask(turns, 2);
  await nextTurn();
  const order: string[] = [];
  const others = [turns.next().then(() => order.push('a')), turns.next().then(() => order.push('b'))];
  await Promise.all(others);
  assert.deepEqual(first, [0, 1]);
  assert.deepEqual(order, ['a', 'b']);
});
