/** The way to the workers, on a real Redis. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createLog } from '../log.ts';
import { connect } from '../redis/connect.ts';
import { startPrivateRedis } from '../redis/private-server.ts';
import { createQueue } from './queue.ts';
import { createWakeQueue } from './wake-queue.ts';

const log = createLog('silent');

test('a migration that is admitted again while its last job is not over yet gets another one', {
  timeout: 30_000,
}, async () => {
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'lmas-queue-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const server = await startPrivateRedis('redis-server', directory, log);
  stack.defer(() => server.stop());
  const redis = connect(server, log);
  stack.defer(() => redis.disconnect());
  const queue = createQueue(redis, log);
  stack.defer(() => queue.close());
  const taken: string[] = [];
  const first = Promise.withResolvers<void>();
  const second = Promise.withResolvers<void>();
  const handedBack = Promise.withResolvers<void>();
  queue.work(2, async (id) => {
    taken.push(id);
    if (taken.length === 2) return second.resolve();
    first.resolve();
    await handedBack.promise;
  });
  await queue.start(['m_1']);
  await first.promise;
  await queue.start(['m_1']);
  await second.promise;
  handedBack.resolve();
  assert.deepEqual(taken, ['m_1', 'm_1']);
});

test('what is wrong with its connections the queue of wake-ups says once a minute, however often it is tried', {
  timeout: 30_000,
}, async () => {
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'lmas-queue-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const server = await startPrivateRedis('redis-server', directory, log);
  stack.defer(() => server.stop());
  const redis = connect(server, log);
  stack.defer(() => redis.disconnect());
  const heard: string[] = [];
  const warn = ({ err }: { err: string }, name: string) => void heard.push(`${name}: ${err}`);
  const wakes = createWakeQueue(redis, { warn } as never);
  stack.defer(() => wakes.close());
  wakes.work(async () => undefined);
  await wakes.wakeAt('nobody', Date.now() + 3_600_000);
  for (let i = 0; i < 20; i++) redis.emit('error', new Error(i % 2 === 0 ? 'connect ECONNREFUSED' : 'read ECONNRESET'));
  const ofQueue = heard.filter((line) => line.startsWith('wake-up queue'));
  const ofWorker = heard.filter((line) => line.startsWith('wake-up worker'));
  for (const said of [ofQueue, ofWorker]) {
    assert.deepEqual(
      said.map((line) => line.split(': ')[1]),
      ['connect ECONNREFUSED', 'read ECONNRESET'],
    );
  }
});
