/** When queue and places are counted anew, with everything but a Redis server played. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Admission } from '../admission/admission.ts';
import { createLog } from '../log.ts';
import type { MigrationStore } from '../migrations/store.ts';
import { connect } from '../redis/connect.ts';
import { startPrivateRedis } from '../redis/private-server.ts';
import { serversOf } from '../redis/servers.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { MigrationQueue } from './queue.ts';
import { startRecovery } from './recovery.ts';

const log = createLog('silent');
const none = async () => [];

test('the books are rebuilt at start, after every fail-over, and once more when runs have put back what they know', async () => {
  let master = 'first';
  let rounds = 0;
  const rebuilt: string[] = [];
  const examined: string[] = [];
  const over = Promise.withResolvers<void>();
  const recovery = startRecovery(
    { orphans: none, overdue: none, incomplete: none } as unknown as MigrationStore,
    {
      queue: {} as MigrationQueue,
      admission: { notTakenUp: none } as unknown as Admission,
      dispatcher: {
        look: async () => {
          rounds += 1;
          if (rounds === 50) master = 'second';
          if (rounds === 120) over.resolve();
        },
      } as unknown as Dispatcher,
      rebuild: async () => void rebuilt.push(`${master} after ${rounds}`),
      servers: async () => master,
      examine: async () => {
        examined.push(`${master} after ${rounds}`);
        if (examined.length === 1) throw new Error('it does not answer yet');
      },
    },
    { intervalMs: 1, leaseMs: 1_000, log },
  );
  await over.promise;
  await recovery.stop();
  assert.deepEqual(rebuilt, ['first after 0', 'first after 30', 'second after 50', 'second after 80']);
  // What took over is looked at, again where that fails; the first one is the start's to look at.
  assert.deepEqual(examined, ['second after 51', 'second after 52']);
});

test('books that cannot be rebuilt are tried again, and hold up nothing else that a round does', async () => {
  let rounds = 0;
  let attempts = 0;
  const hurried: string[] = [];
  const over = Promise.withResolvers<void>();
  const recovery = startRecovery(
    { orphans: none, overdue: none, incomplete: async () => ['m_left'] } as unknown as MigrationStore,
    {
      queue: { hurry: async (id: string) => void hurried.push(id) } as unknown as MigrationQueue,
      admission: { notTakenUp: none } as unknown as Admission,
      dispatcher: {
        look: async () => {
          rounds += 1;
          if (rounds === 40) over.resolve();
        },
      } as unknown as Dispatcher,
      rebuild: async () => {
        attempts += 1;
        if (attempts < 5) throw new Error('a record is not to be read');
      },
      servers: async () => 'same',
      examine: assert.fail,
    },
    { intervalMs: 1, leaseMs: 1_000, log },
  );
  await over.promise;
  await recovery.stop();
  assert.equal(attempts, 6, 'until it is done, and once more when all has settled');
  assert.deepEqual(hurried, ['m_left', 'm_left']);
});

test('whoever has no lease at the start is dead; later it has to stay without one for longer than a run takes to renew it', async () => {
  const dead = { id: 'm_dead', token: 1 };
  const alive = { id: 'm_alive', token: 7 }; // its lease ended early, and it renews it
  const late = { id: 'm_late', token: 2 };
  const hurried: string[] = [];
  const over = Promise.withResolvers<void>();
  let rounds = 0;
  let lateAtMs = 0;
  const recovery = startRecovery(
    {
      async orphans() {
        rounds += 1;
        if (rounds === 1) return [dead];
        if (rounds === 3) return [alive];
        if (rounds < 5) return [];
        lateAtMs ||= performance.now();
        return [late];
      },
      ...{ overdue: none, incomplete: none },
    } as unknown as MigrationStore,
    {
      queue: {
        async hurry(id: string, reason: string) {
          if (!hurried.includes(`${id} ${reason}`)) hurried.push(`${id} ${reason}`);
          if (id === late.id) over.resolve();
        },
      } as unknown as MigrationQueue,
      admission: { notTakenUp: none } as unknown as Admission,
      dispatcher: { look: async () => undefined } as unknown as Dispatcher,
      rebuild: async () => undefined,
      servers: async () => 'same',
      examine: assert.fail,
    },
    { intervalMs: 1, leaseMs: 400, log },
  );
  await over.promise;
  const waitedMs = performance.now() - lateAtMs;
  await recovery.stop();
  assert.deepEqual(hurried, ['m_dead orphan1', 'm_late orphan2']);
  assert.ok(waitedMs >= 100, `${waitedMs} ms`);
});

test('a server that was restarted is another one', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'lmas-servers-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const seen: string[] = [];
  for (let i = 0; i < 2; i++) {
    const server = await startPrivateRedis('redis-server', directory, log);
    const redis = connect(server, log);
    seen.push(await serversOf(redis), await serversOf(redis));
    redis.disconnect();
    await server.stop();
  }
  assert.match(seen[0] ?? '', /^\w{40}$/);
  assert.equal(seen[0], seen[1]);
  assert.notEqual(seen[1], seen[2]);
});
