/** Waiting for a replica, with a Redis that is played: what is sent, and who is held up. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Redis } from 'ioredis';
import { createLog } from '../log.ts';
import { replicated, waitForReplicas } from './replicas.ts';

function redisWith(replicas: number) {
  const waits: PromiseWithResolvers<number>[] = [];
  const pipeline = {
    exists: () => pipeline,
    wait: () => pipeline,
    exec: async () => {
      const wait = Promise.withResolvers<number>();
      waits.push(wait);
      return [
        [null, 0],
        [null, await wait.promise],
      ];
    },
  };
  const redis = {
    on: () => redis,
    eval: async () => `role:master\r\nconnected_slaves:${replicas}\r\n`,
    pipeline: () => pipeline,
  };
  return { redis: redis as unknown as Redis, waits };
}

const settled = async (): Promise<void> => await new Promise((resolve) => setImmediate(resolve));

test('many writers share the waits: one under way, and one for all who came meanwhile', async () => {
  const { redis, waits } = redisWith(1);
  await waitForReplicas(redis, createLog('silent'));
  let done = 0;
  const writers = Array.from({ length: 50 }, async () => {
    await replicated(redis);
    done += 1;
  });
  await settled();
  assert.equal(waits.length, 1);
  waits[0]?.resolve(1);
  await settled();
  assert.deepEqual([waits.length, done], [2, 1], 'those who came meanwhile wait for one that began after them');
  waits[1]?.resolve(1);
  await Promise.all(writers);
  assert.equal(waits.length, 2);
});

test('a replica that is silent is left alone for a while; without one nobody waits', async () => {
  const { redis, waits } = redisWith(1);
  await waitForReplicas(redis, createLog('silent'));
  const first = replicated(redis);
  await settled();
  waits[0]?.resolve(0);
  await first;
  await replicated(redis);
  assert.equal(waits.length, 1);
  const alone = redisWith(0);
  await waitForReplicas(alone.redis, createLog('silent'));
  await replicated(alone.redis);
  await replicated({} as Redis); // a connection that nobody asked to wait for
  assert.equal(alone.waits.length, 0);
});
