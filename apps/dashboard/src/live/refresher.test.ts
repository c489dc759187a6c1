import assert from 'node:assert/strict';
import { beforeEach, type TestContext, test } from 'node:test';
import { createRefresher, SETTLE_MS } from './refresher.ts';

/** A far end that answers when the test says so. */
class FarEnd {
  readonly asked: { signal: AbortSignal; answer: (againInMs?: number) => Promise<void> }[] = [];

  readonly look = ({ signal }: { signal: AbortSignal }): Promise<number | undefined> => {
    const { promise, resolve } = Promise.withResolvers<number | undefined>();
    const answer = async (againInMs?: number) => {
      resolve(againInMs);
      await promise;
      await Promise.resolve(); // what follows the answer has been done
      await Promise.resolve();
    };
    this.asked.push({ signal, answer });
    return promise;
  };
}

let farEnd: FarEnd;
beforeEach(() => {
  farEnd = new FarEnd();
});
const present = { isAway: () => false };
const withClock = (context: TestContext) => context.mock.timers.enable({ apis: ['setTimeout', 'Date'] });

test('news that keeps coming faster than it settles does not put the look off', (context) => {
  withClock(context);
  const refresher = createRefresher(farEnd.look, present);
  for (let i = 0; i < 10; i += 1) {
    refresher.news();
    context.mock.timers.tick(SETTLE_MS / 3);
  }
  assert.equal(farEnd.asked.length, 1, 'after the first settling; the answer is still out');
  assert.equal(farEnd.asked[0]?.signal.aborted, false, 'and is waited for');
});

test('what happened while the answer was on its way is looked at once more, once', async (context) => {
  withClock(context);
  const refresher = createRefresher(farEnd.look, { ...present, everyMs: 60_000 });
  refresher.lookNow();
  refresher.news();
  refresher.news();
  await farEnd.asked[0]?.answer();
  context.mock.timers.tick(SETTLE_MS);
  assert.equal(farEnd.asked.length, 2);
  await farEnd.asked[1]?.answer();
  context.mock.timers.tick(SETTLE_MS);
  assert.equal(farEnd.asked.length, 2, 'nothing new, nothing asked');
  context.mock.timers.tick(60_000);
  assert.equal(farEnd.asked.length, 3, 'its time was up');
});

test('whoever did something wants no answer from before it', () => {
  const refresher = createRefresher(farEnd.look, present);
  refresher.lookNow();
  refresher.lookNow();
  assert.deepEqual(
    farEnd.asked.map(({ signal }) => signal.aborted),
    [true, false],
  );
  refresher.stop();
  assert.equal(farEnd.asked[1]?.signal.aborted, true);
});

test('while nobody looks nothing is asked', (context) => {
  withClock(context);
  let isAway = true;
  const refresher = createRefresher(farEnd.look, { everyMs: 1_000, isAway: () => isAway });
  refresher.lookNow();
  refresher.news();
  context.mock.timers.tick(10_000);
  assert.equal(farEnd.asked.length, 0);
  isAway = false;
  refresher.lookNow();
  assert.equal(farEnd.asked.length, 1);
});

test('what nobody answered is asked again until somebody does, also where no news is wanted', async (context) => {
  withClock(context);
  const refresher = createRefresher(farEnd.look, present);
  refresher.lookNow();
  await farEnd.asked[0]?.answer(4_000);
  context.mock.timers.tick(4_000);
  assert.equal(farEnd.asked.length, 2);
  await farEnd.asked[1]?.answer(4_000);
  context.mock.timers.tick(4_000);
  assert.equal(farEnd.asked.length, 3);
  await farEnd.asked[2]?.answer();
  context.mock.timers.tick(60_000);
  assert.equal(farEnd.asked.length, 3, 'it was answered');
});

test('what nobody answered waits for no later look', async (context) => {
  withClock(context);
  const refresher = createRefresher(farEnd.look, { ...present, everyMs: 60_000 });
  refresher.lookNow();
  await farEnd.asked[0]?.answer(4_000);
  context.mock.timers.tick(4_000);
  assert.equal(farEnd.asked.length, 2);
  refresher.stop();
});
