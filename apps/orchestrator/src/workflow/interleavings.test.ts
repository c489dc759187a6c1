/**
 * The run of a migration, somebody who cancels it and two who change it, all at once, on a real Redis: their commands reach it one at a
 * time, in orders that are drawn. Whatever the order, nobody undoes what another has written, a cancel and the point of no return
 * exclude each other, and the run has read every change that was accepted. A failure names its seed.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { createAdmission } from '../admission/admission.ts';
import { laneOf } from '../admission/groups.ts';
import { errorCode } from '../errors.ts';
import { createLog } from '../log.ts';
import { type Changes, createChanges, type MigrationChanges } from '../migrations/changes.ts';
import { newMigrationId, newRecord } from '../migrations/record.ts';
import { createMigrationStore } from '../migrations/store.ts';
import { keys } from '../redis/keys.ts';
import { migrationInputSchema } from '../schemas/migration.ts';
import { startTestRedis, type TestRedis } from '../testing/test-redis.ts';
import { Run } from './run.ts';

const SEEDS = 40;
const log = createLog('silent');
let server: TestRedis;
let redis: Redis;
/** Of each of those who act at the same time. */
let connections: Redis[];

before(async () => {
  server = await startTestRedis();
  redis = server.redis;
  connections = await Promise.all(
    Array.from({ length: 4 }, async () => {
      const connection = redis.duplicate();
      await connection.ping();
      return connection;
    }),
  );
});
after(async () => {
  for (const connection of connections) connection.disconnect();
  await server[Symbol.asyncDispose]();
});

/** Mulberry32: the same numbers for the same seed. */
function drawing(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** Carries out what all of them do, with one command at a time on its way to Redis. */
async function interleaved(seed: number, acts: readonly Promise<unknown>[], waiting: (() => Promise<unknown>)[]) {
  const draw = drawing(seed);
  let isOver = false;
  const whole = Promise.allSettled(acts).finally(() => {
    isOver = true;
  });
  while (!isOver) {
    await turn(); // whoever has an answer says what he wants next
    const [send] = waiting.splice(draw(waiting.length || 1), 1);
    await send?.().catch(() => undefined); // told to whoever sent it
  }
  for (const outcome of await whole) if (outcome.status === 'rejected') throw outcome.reason;
}

/** From then on its commands wait for their turn. @returns what undoes it */
function takeTurns(connection: Redis, waiting: (() => Promise<unknown>)[]): () => void {
  const send = connection.sendCommand.bind(connection);
  connection.sendCommand = (command, stream) => {
    waiting.push(async () => await send(command, stream));
    return command.promise;
  };
  return () => {
    connection.sendCommand = send;
  };
}

async function submitted(): Promise<string> {
  const vm = newMigrationId();
  const request = migrationInputSchema.parse({ vm, source: 'a', destination: 'b', bandwidthBytesPerSec: 5_000 });
  const record = newRecord(newMigrationId(), request, { source: 'x', destination: 'y' }, [keys.vmByName('a', vm)]);
  await createMigrationStore(redis).create(record, laneOf(record.migration, { transparent: false }));
  await createAdmission(redis).admit(1);
  return record.migration.id;
}

interface Seen {
  hasPassed: boolean;
  wasCancelled: boolean;
  changes: MigrationChanges;
}

/** As the workflow does it: some phases with news in each, the point of no return unless somebody cancelled, the end. */
async function runs(run: Run, changes: Changes): Promise<Seen> {
  const seen: Seen = { hasPassed: false, wasCancelled: false, changes: {} };
  for (const phase of ['checking', 'provisioning', 'preparing', 'performing'] as const) {
    await run.enter(phase);
    await run.update(({ migration }) => migration.leftovers.push(phase));
    await run.look();
  }
  try {
    await run.passPointOfNoReturn();
    seen.hasPassed = true;
    seen.changes = await changes.get(run.id);
  } catch (error) {
    assert.equal(errorCode(error), 'CANCELLED');
    seen.wasCancelled = true;
  }
  await run.enter('tearing-down');
  if (!seen.hasPassed) seen.changes = await changes.get(run.id);
  await run.enter(seen.hasPassed ? 'succeeded' : 'cancelled');
  await run.end();
  return seen;
}

/** Lets the others go first, so many times. */
async function waits(connection: Redis, turns: number): Promise<void> {
  for (let n = 0; n < turns; n += 1) await connection.ping();
}

async function asks(
  connection: Redis,
  id: string,
  wanted: readonly MigrationChanges[],
  draw: (below: number) => number,
): Promise<MigrationChanges> {
  const changes = createChanges(connection);
  let accepted: MigrationChanges = {};
  for (const change of wanted) {
    await waits(connection, draw(12));
    if ((await changes.merge(id, change)) === 'changed') accepted = { ...accepted, ...change };
  }
  return accepted;
}

async function play(seed: number): Promise<string> {
  const id = await submitted();
  const claimed = await Run.claim(createMigrationStore(connections[0] as Redis), id, {
    instance: 'test',
    leaseMs: 60_000,
    log,
  });
  assert.ok(claimed instanceof Run);
  const [ofRun, ofCancel, ofOne, ofOther] = connections as [Redis, Redis, Redis, Redis];
  const waiting: (() => Promise<unknown>)[] = [];
  const undo = connections.map((connection) => takeTurns(connection, waiting));
  try {
    const run = runs(claimed, createChanges(ofRun));
    const draw = drawing(-seed);
    const cancel = waits(ofCancel, draw(40)).then(() => createMigrationStore(ofCancel).requestCancel(id));
    const limits = [6_000, 7_000, null].map((bandwidthBytesPerSec) => ({ bandwidthBytesPerSec }));
    const one = asks(ofOne, id, limits, draw);
    const policies = [{ convergence: 'must-finish' as const }, { maxDowntimeMs: 100 }];
    const other = asks(ofOther, id, policies, draw);
    await interleaved(seed, [run, cancel, one, other], waiting);
    const [seen, verdict, accepted] = [await run, await cancel, { ...(await one), ...(await other) }];
    const stored = await createMigrationStore(redis).get(id);
    assert.deepEqual(seen.changes, accepted, 'the run has read what was accepted, and nothing came after that');
    assert.deepEqual(stored?.leftovers, ['checking', 'provisioning', 'preparing', 'performing']);
    assert.equal(stored?.timeline.length, 7);
    assert.equal(stored?.cancelRequestedAt !== null, verdict === 'accepted');
    assert.equal(stored?.pointOfNoReturnAt !== null, seen.hasPassed);
    assert.equal(seen.wasCancelled, verdict === 'accepted', 'either of the two');
    assert.equal(await redis.hexists(keys.bandwidth, id), 0, 'no limit outlives its migration');
    return `${verdict}, ${Object.keys(accepted).length} changes`;
  } finally {
    for (const each of undo) each();
    claimed.abandon();
  }
}

test('whatever the order in which a run and those who want something of it are heard, nothing is lost', async () => {
  const outcomes = new Set<string>();
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    try {
      outcomes.add(await play(seed));
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
  assert.ok(outcomes.size > 5, `many ways to go: ${[...outcomes].join('; ')}`);
});
