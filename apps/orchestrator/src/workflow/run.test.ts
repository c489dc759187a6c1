/** A run on a real Redis: what is written beside the record survives the record's own writes. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import type { Redis } from 'ioredis';
import { createAdmission } from '../admission/admission.ts';
import { laneOf } from '../admission/groups.ts';
import { errorCode } from '../errors.ts';
import { createLog } from '../log.ts';
import { newMigrationId, newRecord } from '../migrations/record.ts';
import { createMigrationStore, type MigrationStore } from '../migrations/store.ts';
import { connect } from '../redis/connect.ts';
import { keys } from '../redis/keys.ts';
import { type PrivateRedis, startPrivateRedis } from '../redis/private-server.ts';
import { migrationInputSchema } from '../schemas/migration.ts';
import { startSilentProxy } from '../testing/silent-proxy.ts';
import { Run } from './run.ts';
import { totalDeadline } from './stages.ts';

const log = createLog('silent');
const directory = await mkdtemp(join(tmpdir(), 'lmas-run-'));
let server: PrivateRedis;
let redis: Redis;
let store: MigrationStore;
before(async () => {
  server = await startPrivateRedis('redis-server', directory, log);
  redis = connect(server, log);
  store = createMigrationStore(redis);
});
after(async () => {
  redis.disconnect();
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});

/** A run whose next record write stands still, before it reaches Redis, until it is released. `beside`: in place of the store's. */
async function runWithHeldWrite(t: TestContext, beside: Partial<MigrationStore> = {}) {
  const vm = newMigrationId();
  const request = migrationInputSchema.parse({ vm, source: 'a', destination: 'b', timeouts: { totalMs: 1_000 } });
  const record = newRecord(newMigrationId(), request, { source: 'x', destination: 'y' }, [keys.vmByName('a', vm)]);
  await store.create(record, laneOf(record.migration, { transparent: false }));
  await createAdmission(redis).admit(1);
  const reached = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const written: string[] = [];
  const write: MigrationStore['write'] = async (...args) => {
    written.push(args[3]?.message ?? '');
    reached.resolve();
    await released.promise;
    await store.write(...args);
  };
  const run = await Run.claim({ ...store, write, ...beside }, record.migration.id, {
    instance: 'test',
    leaseMs: 60_000,
    log,
  });
  assert.ok(run instanceof Run);
  t.after(() => run.abandon());
  return { run, written, reached: reached.promise, release: released.resolve };
}

test('a record write under way does not forget the point of no return, and no deadline reaches past it', async (t) => {
  const { run, reached, release } = await runWithHeldWrite(t);
  using total = totalDeadline(run);
  const progress = run.update(({ migration }) => migration.leftovers.push('mark'));
  await reached;
  await run.passPointOfNoReturn();
  assert.notEqual(run.migration.pointOfNoReturnAt, null);
  release();
  await progress;
  assert.deepEqual(run.migration.leftovers, ['mark']);
  assert.notEqual(run.migration.pointOfNoReturnAt, null);
  await new Promise((resolve) => setTimeout(resolve, 1_200));
  assert.equal(total.signal.aborted, false);
  assert.notEqual((await store.get(run.id))?.pointOfNoReturnAt, null);
});

test('a run is past the point of no return from the moment in which it asks for that, unless a cancel came first', async (t) => {
  const held = Promise.withResolvers<void>();
  const { run } = await runWithHeldWrite(t, {
    async passPointOfNoReturn(...args) {
      await held.promise;
      await store.passPointOfNoReturn(...args);
    },
  });
  assert.equal(run.isPastNoReturn, false);
  const passing = run.passPointOfNoReturn();
  assert.equal(run.isPastNoReturn, true, 'the guest may stand still meanwhile');
  held.resolve();
  await passing;
  assert.equal(run.isPastNoReturn, true);
  const { run: other } = await runWithHeldWrite(t);
  await store.requestCancel(other.id);
  const refused = other.passPointOfNoReturn();
  await assert.rejects(refused, { code: 'CANCELLED' });
  assert.equal(other.isPastNoReturn, false);
});

test('a record write under way does not forget a cancel', async (t) => {
  const { run, reached, release } = await runWithHeldWrite(t);
  const progress = run.update(({ migration }) => migration.leftovers.push('mark'));
  await reached;
  assert.equal(await store.requestCancel(run.id), 'accepted');
  await run.look();
  release();
  await progress;
  assert.notEqual(run.migration.cancelRequestedAt, null);
  assert.equal(run.cancelled.aborted, true);
});

test('a phase does not wait behind progress: only the newest is kept, and goes along', async (t) => {
  const { run, reached, release, written } = await runWithHeldWrite(t);
  const percent = (value: number) => {
    const change = ({ migration }: { migration: typeof run.migration }) => {
      migration.leftovers = [`${value} %`];
    };
    run.report(change, { type: 'progress', message: `${value} %` });
  };
  percent(1);
  await reached; // and stands still, as with a Redis that is slow
  percent(2);
  percent(3);
  const checking = run.enter('checking');
  percent(4);
  release();
  await checking;
  assert.deepEqual(written, ['1 %', 'checking']);
  const stored = await store.get(run.id);
  assert.deepEqual([stored?.phase, stored?.leftovers], ['checking', ['4 %']]);
});

test('a run whose hand-back got no answer is over: the migration may wait in the queue already', async (t) => {
  t.after(() => redis.flushdb()); // it waits for nobody
  const { run } = await runWithHeldWrite(t, {
    async handBack(...args) {
      await store.handBack(...args);
      throw new Error('the answer is lost');
    },
  });
  await assert.rejects(run.handBack({ need: 'a~b', untilMs: Date.now() + 60_000 }), /the answer is lost/);
  assert.equal(run.lost.aborted, true);
  await assert.rejects(run.enter('checking'), (error) => errorCode(error) === 'SUPERSEDED');
});

/** A fail-over to another server that lacks what comes after: call the answer, and Redis is as it was. */
async function remember(id: string): Promise<() => Promise<void>> {
  const names = [keys.migration(id), keys.journal(id)];
  const before = await Promise.all(names.map((name) => redis.dumpBuffer(name)));
  return async () => {
    await redis.del(...names, keys.lease(id));
    for (const [index, name] of names.entries()) {
      const value = before[index];
      if (value) await redis.restore(name, 0, value);
    }
  };
}

async function plainRun(t: TestContext): Promise<Run> {
  const { run, release } = await runWithHeldWrite(t);
  release();
  return run;
}

test('a Redis that has forgotten writes is noticed before anything is done, and told what this run knows', async (t) => {
  const run = await plainRun(t);
  await run.enter('checking');
  const failOver = await remember(run.id);
  await run.journal.intend({ kind: 'hand-over' });
  await run.passPointOfNoReturn();
  await failOver();
  await assert.rejects(run.assertCurrent(), { code: 'WRITES_FORGOTTEN' });
  assert.equal(run.lost.aborted, true, 'nothing is done any more');
  await assert.rejects(run.update(({ migration }) => migration.leftovers.push('late')));

  const next = await Run.claim(store, run.id, { instance: 'test', leaseMs: 60_000, log });
  assert.ok(next instanceof Run);
  t.after(() => next.abandon());
  assert.equal(next.isRecovery, true);
  assert.equal(next.journal.has('hand-over'), true, 'so it asks first where the VM is');
  assert.notEqual(next.migration.pointOfNoReturnAt, null);
  assert.equal(next.migration.phase, 'checking');
});

describe('whatever is said next to a Redis that has forgotten a write is refused', () => {
  const next: Record<string, (run: Run) => Promise<unknown>> = {
    'a record write': (run) => run.update(({ migration }) => migration.leftovers.push('mark')),
    'a journal entry': (run) => run.journal.intend({ kind: 'gateway', end: 'source', site: 'x' }),
    'the point of no return': (run) => run.passPointOfNoReturn(),
    'the end': (run) => run.end(),
  };
  for (const [name, speak] of Object.entries(next)) {
    test(name, async (t) => {
      const run = await plainRun(t);
      await run.enter('checking');
      const failOver = await remember(run.id);
      await run.journal.intend({ kind: 'hand-over' });
      await failOver();
      await assert.rejects(speak(run), { code: 'WRITES_FORGOTTEN' });
      assert.equal(run.lost.aborted, true);
      assert.ok(
        (await store.readJournal(run.id)).some(({ resource }) => resource.kind === 'hand-over'),
        'put back',
      );
    });
  }

  test('a lock, and those that the run has are put back', async (t) => {
    const run = await plainRun(t);
    const lock = keys.vmById(`held by ${run.id}`);
    await run.update(({ notes }) => notes.locks.push(lock)); // as after a crash between the note and the lock
    const failOver = await remember(run.id);
    const another = keys.vmById(`wanted by ${run.id}`);
    await run.lock(another);
    await failOver();
    await redis.del(another);
    await assert.rejects(run.lock(keys.vmById(`too late for ${run.id}`)), { code: 'WRITES_FORGOTTEN' });
    assert.deepEqual(await redis.mget(lock, another), [run.id, run.id]);
  });

  test('also when it was under way together with the forgotten one, and got its number', async (t) => {
    const run = await plainRun(t);
    await run.journal.intend({ kind: 'hand-over' });
    const gateway = (end: 'source' | 'destination') => run.journal.intend({ kind: 'gateway', end, site: 'x' });
    await Promise.all([gateway('source'), redis.hincrby(keys.migration(run.id), 'writes', -1), gateway('destination')]);
    await assert.rejects(run.assertCurrent(), { code: 'WRITES_FORGOTTEN' });
  });

  test('the end, when what is forgotten is the outcome: it is written down after all', async (t) => {
    const run = await plainRun(t);
    for (const phase of ['checking', 'tearing-down'] as const) await run.enter(phase);
    const failOver = await remember(run.id);
    await run.enter('failed');
    await failOver();
    await assert.rejects(run.end(), { code: 'WRITES_FORGOTTEN' });
    assert.equal((await store.get(run.id))?.phase, 'failed');
    assert.equal(await store.isLive(run.id), true, 'so that somebody takes it off the books');
    const next = await Run.claim(store, run.id, { instance: 'test', leaseMs: 60_000, log });
    assert.ok(next instanceof Run);
    await next.end();
    assert.equal(await store.isLive(run.id), false);
    next.abandon();
  });
});

test('a record of which a newer run knows more is left to that one', async (t) => {
  const { run, release } = await runWithHeldWrite(t);
  release();
  await run.enter('checking');
  await redis.hset(keys.migration(run.id), { token: 9 });
  await assert.rejects(run.assertCurrent(), { code: 'SUPERSEDED' });
});

test('a Redis that falls silent ends the run before its lease can lapse there', async (t) => {
  const { run: first, release } = await runWithHeldWrite(t);
  release();
  await first.close();
  await using proxy = await startSilentProxy(server.socketPath);
  const nodes = [{ host: '127.0.0.1', port: proxy.port }] as const;
  const far = connect({ kind: 'server', nodes, db: 0, tls: false }, log);
  t.after(() => far.disconnect());
  const run = await Run.claim(createMigrationStore(far), first.id, { instance: 'test', leaseMs: 400, log });
  assert.ok(run instanceof Run);
  await run.assertCurrent();
  await new Promise((resolve) => setTimeout(resolve, 600));
  assert.equal(run.lost.aborted, false, 'while Redis answers it goes on');
  proxy.fallSilent();
  const fellSilentAt = performance.now();
  await once(run.lost, 'abort');
  assert.ok(performance.now() - fellSilentAt < 600);
  assert.equal(errorCode(run.lost.reason), 'INTERRUPTED');
  for (;;) {
    const next = await Run.claim(store, first.id, { instance: 'test', leaseMs: 60_000, log });
    if (next === 'busy') continue;
    assert.ok(next instanceof Run, 'then, and not sooner, another one may act');
    assert.ok(next.token > run.token);
    return next.abandon();
  }
});
