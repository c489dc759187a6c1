/** Waiting for a replica, with a Redis that is played: what is sent, and who is held up. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Redis } from 'ioredis';
import { createLog } from '../log.ts';
import { replicated, waitForReplicas } from './replicas.ts';

const SETTINGS = { silenceMs: 4_000, log: createLog('silent') };

function redisWith(replicas: number) {
  const waits: PromiseWithResolvers<number>[] = [];
  const patiences: number[] = [];
  const pipeline = {
    exists: () => pipeline,
    wait: (_replicas: number, patienceMs: number) => {
      patiences.push(patienceMs);
      return pipeline;
    },
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
  return { redis: redis as unknown as Redis, waits, patiences };
}

const settled = async (): Promise<void> => await new Promise((resolve) => setImmediate(resolve));

test('many writers share the waits: one under way, and one for all who came meanwhile', async () => {
  const { redis, waits } = redisWith(1);
  await waitForReplicas(redis, SETTINGS);
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

test('a wait that breaks off with its connection fails those who waited, and nobody after them', async () => {
  const { redis, waits } = redisWith(1);
  await waitForReplicas(redis, SETTINGS);
  const first = replicated(redis);
  const second = replicated(redis);
  await settled();
  waits[0]?.reject(new Error('Connection is closed.'));
  await assert.rejects(first);
  await settled();
  waits[1]?.resolve(1);
  await second;
  const third = replicated(redis);
  await settled();
  waits[2]?.resolve(1);
  await third;
});

test('a replica that is silent is left alone for a while; without one nobody waits', async () => {
  const { redis, waits } = redisWith(1);
  await waitForReplicas(redis, SETTINGS);
  const first = replicated(redis);
  await settled();
  waits[0]?.resolve(0);
  await first;
  await replicated(redis);
  assert.equal(waits.length, 1);
  const alone = redisWith(0);
  await waitForReplicas(alone.redis, SETTINGS);
  await replicated(alone.redis);
  await replicated({} as Redis); // a connection that nobody asked to wait for
  assert.equal(alone.waits.length, 0);
});

test('a wait is over before its connection counts as silent, however short that is', async () => {
  for (const [silenceMs, patienceMs] of [
    [4_000, 1_000],
    [500, 250],
  ] as const) {
    const { redis, waits, patiences } = redisWith(1);
    await waitForReplicas(redis, { ...SETTINGS, silenceMs });
    const write = replicated(redis);
    waits[0]?.resolve(1);
    await write;
    assert.deepEqual(patiences, [patienceMs]);
  }
});
