import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { raceSignal } from './waiting.ts';

describe('raceSignal', () => {
  test('what fails after the signal is nobody’s to handle, also when the signal came first', async (t) => {
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => void unhandled.push(reason);
    process.on('unhandledRejection', note);
    t.after(() => process.off('unhandledRejection', note));
    const stopped = new Error('stopped');
    const early = Promise.withResolvers<never>();
    const late = Promise.withResolvers<never>();
    const stop = new AbortController();
    const waiting = raceSignal(late.promise, stop.signal);
    stop.abort(stopped);
    await assert.rejects(waiting, stopped);
    await assert.rejects(raceSignal(early.promise, stop.signal), stopped);
    early.reject(new Error('broke afterwards'));
    late.reject(new Error('broke afterwards'));
    await turn(); // unhandled rejections are told before it
    assert.deepEqual(unhandled, []);
  });

  test('the promise’s own end comes through', async () => {
    const stop = new AbortController();
    assert.equal(await raceSignal(Promise.resolve(7), stop.signal), 7);
    await assert.rejects(raceSignal(Promise.reject(new Error('own')), stop.signal), /own/);
  });
});
