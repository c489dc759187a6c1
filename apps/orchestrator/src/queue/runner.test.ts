/** The runs of one process, on a real Redis: what it has in its hands, and for how long. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { createAdmission } from '../admission/admission.ts';
import { laneOf } from '../admission/groups.ts';
import { isSuperseded, LmasError } from '../errors.ts';
import { createLog } from '../log.ts';
import { createGiveUps } from '../migrations/give-ups.ts';
import { createWordsOfPeople } from '../migrations/needs.ts';
import type { Outcome, Phase } from '../migrations/phases.ts';
import { newMigrationId, newRecord } from '../migrations/record.ts';
import { createMigrationStore, type MigrationStore } from '../migrations/store.ts';
import { connect } from '../redis/connect.ts';
import { keys } from '../redis/keys.ts';
import { startPrivateRedis } from '../redis/private-server.ts';
import { migrationInputSchema } from '../schemas/migration.ts';
import type { Tools } from '../workflow/tools.ts';
import { createRunner, isBetweenHosts } from './runner.ts';

const log = createLog('silent');
const job = { queue: 'admitted', id: 'j', sentIn: null };

/** A migration that is admitted, and a runner whose first write of the record stands still. */
async function setUp({ leaseMs = 60_000 } = {}) {
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'lmas-runner-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const server = await startPrivateRedis('redis-server', directory, log);
  stack.defer(() => server.stop());
  const [redis, subscriber] = [connect(server, log), connect(server, log)];
  stack.defer(() => {
    for (const each of [redis, subscriber]) each.disconnect();
  });
  const store = createMigrationStore(redis);
  const request = migrationInputSchema.parse({ vm: 'v', source: 'a', destination: 'b' });
  const record = newRecord(newMigrationId(), request, { source: 'x', destination: 'y' }, [keys.vmByName('a', 'v')]);
  await store.create(record, laneOf(record.migration, { transparent: false }));
  await createAdmission(redis).admit(1);
  const reached = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  const claims: unknown[] = [];
  const claimed = Promise.withResolvers<void>();
  const superseded = Promise.withResolvers<void>();
  const told = { claimed: Promise.resolve() };
  const standing: MigrationStore = {
    ...store,
    claim: async (...args) => {
      const answer = await store.claim(...args);
      claims.push(typeof answer === 'string' ? answer : 'claimed');
      claimed.resolve();
      await told.claimed;
      return answer;
    },
    renew: async (...args) =>
      await store.renew(...args).catch((error: unknown) => {
        if (isSuperseded(error)) superseded.resolve();
        throw error;
      }),
    write: async () => {
      reached.resolve();
      await held.promise;
      throw new LmasError('SUPERSEDED');
    },
  };
  const runner = await createRunner(subscriber, standing, {} as Tools, {
    instance: 'test',
    leaseMs,
    log,
    tap: log.tap,
  });
  const kept = stack.move();
  const { id } = record.migration;
  const steps = { claimed: claimed.promise, reached: reached.promise, release: held.resolve, told };
  return { runner, redis, store, id, ...steps, superseded: superseded.promise, claims, kept };
}

test('a second job of a migration that runs here does not make the process forget it', async () => {
  const { runner, id, reached, release, claims, kept } = await setUp();
  await using _ = kept;
  const run = runner.run(id, job);
  await reached;
  await runner.run(id, job);
  assert.deepEqual(claims, ['claimed', 'busy']);
  assert.equal(runner.activeCount(), 1);
  let isLeft = false;
  const left = runner.abandonAll({ handOverMs: 60_000 }).then(() => {
    isLeft = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(isLeft, false, 'its run is waited for');
  release();
  await Promise.all([left, run]);
  assert.equal(runner.activeCount(), 0);
});

for (const [word, say] of [
  ['they look after it', (redis, id) => createWordsOfPeople(redis).note(id, { at: '', by: '', note: '' })],
  ['it is given up', (redis, id) => createGiveUps(redis).note(id, { at: '', by: '', reason: '' })],
] as readonly [string, (redis: Redis, id: string) => Promise<unknown>][]) {
  test(`a person’s word that ${word} is heard at once by the run that is at the teardown`, async () => {
    // It would look by itself only after minutes.
    const { runner, redis, id, reached, superseded, release, kept } = await setUp({ leaseMs: 600_000 });
    await using _ = kept;
    const run = runner.run(id, job);
    await reached;
    await redis.hset(keys.migration(id), 'phase', 'failed');
    await redis.sadd(keys.incomplete, id);
    await say(redis, id);
    const heard = await Promise.race([superseded.then(() => true), sleep(5_000, false, { ref: false })]);
    release();
    await run;
    assert.ok(heard);
  });
}

test('one that is just being claimed when the process lets go is let go as well, untouched, and can be claimed at once', async () => {
  const { runner, store, id, claimed, told, release, kept } = await setUp();
  await using _ = kept;
  const answered = Promise.withResolvers<void>();
  told.claimed = answered.promise;
  release(); // a write would fail, and not wait
  const run = runner.run(id, job);
  await claimed;
  await runner.abandonAll({ handOverMs: 60_000 });
  answered.resolve();
  await run;
  assert.equal(runner.activeCount(), 0);
  assert.equal((await store.get(id))?.runs, 0, 'nothing was begun');
  const next = await store.claim(id, 'next', 60_000);
  assert.notEqual(typeof next, 'string', 'its lease was given back');
});

test('one that comes when the process has let go is not claimed at all: the next run is the first', async () => {
  const { runner, store, id, claims, kept } = await setUp();
  await using _ = kept;
  await runner.abandonAll({ handOverMs: 60_000 });
  assert.equal(await runner.run(id, job), false, 'and its job is for others');
  assert.deepEqual([claims, runner.activeCount()], [[], 0]);
  const next = await store.claim(id, 'next', 60_000);
  assert.ok(typeof next !== 'string');
  assert.equal(next.claim.token, 1);
});

test('who is waited for: guests that may stand still between their hosts, and not what goes on by itself', () => {
  const request = migrationInputSchema.parse({ vm: 'v', source: 'a', destination: 'b' });
  const of = (isPastNoReturn: boolean, phase: Phase, stage: 'memory' | 'post-copy', outcome: Outcome | null = null) => {
    const { migration, notes } = newRecord(newMigrationId(), request, { source: 'x', destination: 'y' }, []);
    const progress = { stage } as typeof migration.progress;
    return isBetweenHosts({
      isPastNoReturn,
      migration: { ...migration, phase, progress },
      notes: { ...notes, outcome },
    });
  };
  assert.equal(of(false, 'performing', 'memory'), false);
  assert.equal(of(true, 'performing', 'memory'), true);
  assert.equal(of(true, 'performing', 'post-copy'), false);
  assert.equal(of(true, 'confirming', 'post-copy'), true, 'all memory is over');
  assert.equal(of(true, 'tearing-down', 'memory', 'succeeded'), false);
});
