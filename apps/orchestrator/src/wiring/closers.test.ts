import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLog } from '../log.ts';
import { Closers } from './closers.ts';

const never = () => new Promise<never>(() => undefined);

test('the newest is ended first, whatever becomes of the others', async () => {
  const closers = new Closers(createLog('silent'), { limitMs: 20 });
  const ended: string[] = [];
  closers.add('first', async () => ended.push('first'));
  closers.add('hangs', never);
  closers.add('fails', async () => {
    throw new Error('no');
  });
  closers.add('last', async () => ended.push('last'));
  await closers.closeAll();
  assert.deepEqual(ended, ['last', 'first']);
});

test('what may wait for something has its time beyond that, but not beyond what all have', async () => {
  const closers = new Closers(createLog('silent'), { limitMs: 0 });
  const work = Promise.withResolvers<void>();
  let done = false;
  const drain = async () => {
    await work.promise;
    done = true;
  };
  closers.add('drained', drain, { graceMs: 60_000 });
  const closed = closers.closeAll();
  setTimeout(work.resolve, 50);
  await closed;
  assert.ok(done);
  closers.add('drained', never, { graceMs: 60_000 });
  await closers.closeAll({ mostMs: 1 });
});
