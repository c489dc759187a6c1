/** The record store on a real Redis: locks, claims, fencing, idempotence. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Redis } from 'ioredis';
import { type Admission, createAdmission } from '../admission/admission.ts';
import { laneOf } from '../admission/groups.ts';
import { errorCode, LmasError } from '../errors.ts';
import { createLog } from '../log.ts';
import { connect } from '../redis/connect.ts';
import { keys } from '../redis/keys.ts';
import { type PrivateRedis, startPrivateRedis } from '../redis/private-server.ts';
import { migrationInputSchema } from '../schemas/migration.ts';
import { createChanges } from './changes.ts';
import { newMigrationId, newRecord, type StoredMigration } from './record.ts';
import { createMigrationStore, type MigrationStore } from './store.ts';

const log = createLog('silent');
const directory = await mkdtemp(join(tmpdir(), 'lmas-store-'));
let server: PrivateRedis;
let redis: Redis;
let store: MigrationStore;
let admission: Admission;
before(async () => {
  server = await startPrivateRedis('redis-server', directory, log);
  redis = connect(server, log);
  store = createMigrationStore(redis);
  admission = createAdmission(redis);
});
after(async () => {
  redis.disconnect();
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});

let vms = 0;
async function created(vm = `vm-${++vms}`, limits: { bandwidthBytesPerSec?: number } = {}): Promise<StoredMigration> {
  const request = migrationInputSchema.parse({ vm, source: 'a', destination: 'b', ...limits });
  const record = newRecord(newMigrationId(), request, { source: 'x', destination: 'y' }, [keys.vmByName('a', vm)]);
  await store.create(record, laneOf(record.migration, { transparent: false }));
  return record;
}
async function claimed(id: string, runId = 'run', leaseMs = 10_000) {
  await admission.admit(1_000);
  const answer = await store.claim(id, runId, leaseMs);
  assert.ok(typeof answer !== 'string', String(answer));
  return answer;
}
const superseded = (error: unknown) => errorCode(error) === 'SUPERSEDED';

test('one live migration per VM; the next one once it has ended', async () => {
  const first = await created('twin');
  await assert.rejects(
    created('twin'),
    (error) =>
      errorCode(error) === 'VM_ALREADY_MIGRATING' &&
      error instanceof LmasError &&
      error.message.includes(first.migration.id),
  );
  await store.create(first, laneOf(first.migration, { transparent: false })); // sent again after a lost reply: nothing new
  const { claim } = await claimed(first.migration.id);
  await store.end(claim, { locks: first.notes.locks, phase: 'queued', complete: true });
  await created('twin');
});

test('a claim excludes others while its lease lasts; a take-over fences the former run off', async () => {
  const record = await created();
  const { id } = record.migration;
  const old = await claimed(id, 'old', 150);
  assert.equal(await store.claim(id, 'new', 10_000), 'busy');
  assert.equal((await claimed(id, 'old', 150)).claim.token, old.claim.token, 'the same run again is no take-over');
  let now = await store.claim(id, 'new', 10_000);
  while (now === 'busy') now = await store.claim(id, 'new', 10_000);
  assert.ok(typeof now !== 'string');
  assert.equal(now.claim.token, old.claim.token + 1);

  await assert.rejects(store.write(old.claim, old.version, record), superseded);
  await assert.rejects(store.renew(old.claim, 1_000), superseded);
  await assert.rejects(store.lock(old.claim, keys.vmById('z')), superseded);
  await assert.rejects(store.passPointOfNoReturn(old.claim, 'now'), superseded);
  await assert.rejects(store.end(old.claim, { locks: [], phase: 'queued', complete: true }), superseded);
  const times = { intentAt: '', releasedAt: null, leftAt: null };
  const entry = { key: 'k', sequence: 1, resource: { kind: 'hand-over' }, ...times } as const;
  await assert.rejects(store.writeJournal(old.claim, entry), superseded);
  await store.letGo(old.claim);
  assert.equal(await store.claim(id, 'third', 1_000), 'busy', 'the old run cannot give the new one’s lease away');
  await store.write(now.claim, now.version, record);
});

test('one that waits for its places is taken up only to be ended', async () => {
  await admission.pause('now');
  const { migration } = await created();
  assert.equal(await store.claim(migration.id, 'eager', 1_000), 'waiting');
  await store.requestCancel(migration.id);
  assert.notEqual(await store.claim(migration.id, 'eager', 1_000), 'waiting', 'so that the cancel is carried out');
  assert.equal((await admission.explain([migration.id])).size, 0, 'it does not wait any more');
  await admission.resume();
});

test('a lease that lapsed while nobody took over is simply renewed', async () => {
  const { migration } = await created();
  const { claim } = await claimed(migration.id, 'run', 1_000);
  await redis.del(keys.lease(migration.id));
  assert.deepEqual(await store.orphans().then((all) => all.filter(({ id }) => id === migration.id)), [
    { id: migration.id, token: 1 },
  ]);
  await store.renew(claim, 10_000);
  assert.deepEqual(
    (await store.orphans()).filter(({ id }) => id === migration.id),
    [],
  );
});

test('leases that an instance held when it died are dropped, and no others; the token still grows', async () => {
  const [{ migration }, other] = [await created(), await created()];
  const { claim } = await claimed(migration.id, 'dead.1', 60_000);
  await claimed(other.migration.id, 'dead-not.1', 60_000);
  await store.dropLeases('dead');
  assert.equal(await store.claim(other.migration.id, 'next', 1_000), 'busy');
  await store.dropLeases(null);
  await claimed(other.migration.id, 'next');
  const next = await claimed(migration.id, 'next');
  assert.equal(next.claim.token, claim.token + 1);
  await assert.rejects(store.renew(claim, 1_000), superseded);
});

test('a cancel and the point of no return exclude each other', async () => {
  const a = await created();
  const claimA = (await claimed(a.migration.id)).claim;
  assert.equal(await store.requestCancel(a.migration.id), 'accepted');
  assert.equal(await store.requestCancel(a.migration.id), 'already');
  await assert.rejects(store.passPointOfNoReturn(claimA, 'now'), (error) => errorCode(error) === 'CANCELLED');
  assert.notEqual((await store.renew(claimA, 1_000)).cancelRequestedAt, null);

  const b = await created();
  const claimB = (await claimed(b.migration.id)).claim;
  await store.passPointOfNoReturn(claimB, new Date().toISOString());
  await store.passPointOfNoReturn(claimB, new Date().toISOString());
  assert.equal(await store.requestCancel(b.migration.id), 'too-late');
  assert.notEqual((await store.get(b.migration.id))?.pointOfNoReturnAt, null);
  assert.equal(await store.requestCancel(newMigrationId()), 'missing');
});

/** A fail-over to a replica that lacks what comes after: call the answer, and all of Redis is as it was. */
async function remember(): Promise<() => Promise<void>> {
  const names = await redis.keys('*');
  const values = await Promise.all(names.map((name) => redis.dumpBuffer(name)));
  return async () => {
    await redis.flushall();
    for (const [i, name] of names.entries()) await redis.restore(name, 0, values[i] ?? Buffer.alloc(0));
  };
}
const isQueued = async (id: string) =>
  (await admission.explain([id])).size > 0 || (await redis.zscore(keys.queueDeadlines, id)) !== null;

test('a run whose claim was forgotten puts its migration back as one that runs: it waits for nothing', async () => {
  const { migration } = await created();
  const failOver = await remember();
  const { claim, version, stored, need } = await claimed(migration.id);
  await failOver();
  assert.equal(await isQueued(migration.id), true);
  await store.restore(claim, { version, stored, journal: [], need });
  assert.equal(await isQueued(migration.id), false);
  assert.ok(
    (await store.orphans()).some(({ id }) => id === migration.id),
    'and is taken up again at once',
  );
  const next = await store.claim(migration.id, 'next', 10_000);
  assert.ok(typeof next !== 'string', String(next));
});

test('one whose request was forgotten puts back all of it', async () => {
  const failOver = await remember();
  const record = await created('forgotten', { bandwidthBytesPerSec: 5_000_000 });
  const { id } = record.migration;
  const { claim, version, stored, need } = await claimed(id);
  await failOver();
  assert.equal(await store.get(id), undefined);
  await store.restore(claim, { version, stored, journal: [], need });
  assert.equal((await store.get(id))?.id, id);
  const [newest] = await store.search({ indexes: [], limit: 1 });
  assert.equal(newest?.id, id, 'in the list of all');
  assert.equal(await redis.hget(keys.bandwidth, id), '5000000');
  await assert.rejects(created('forgotten'), (error) => errorCode(error) === 'VM_ALREADY_MIGRATING');
});

test('a limit that was asked for meanwhile is not undone by what is put back', async () => {
  const { merge } = createChanges(redis);
  for (const [asked, kept] of [
    [null, null],
    [7_000_000, '7000000'],
  ] as const) {
    const { migration } = await created(undefined, { bandwidthBytesPerSec: 5_000_000 });
    const { claim, version, stored, need } = await claimed(migration.id);
    assert.equal(await merge(migration.id, { bandwidthBytesPerSec: asked }), 'changed');
    await store.restore(claim, { version, stored, journal: [], need });
    assert.equal(await redis.hget(keys.bandwidth, migration.id), kept);
  }
});

test('what ended can be claimed only as long as something is left to be taken down', async () => {
  const { migration, notes } = await created('untidy');
  const { claim } = await claimed(migration.id);
  await store.end(claim, { locks: notes.locks, phase: 'queued', complete: false });
  await assert.rejects(
    created('untidy'),
    (error) =>
      errorCode(error) === 'VM_ALREADY_MIGRATING' &&
      error instanceof LmasError &&
      error.message.includes(`${migration.id} of this VM has ended; its teardown is not complete yet`),
  );
  assert.ok((await store.incomplete()).includes(migration.id));
  assert.equal(await store.isLive(migration.id), false);
  const again = await claimed(migration.id, 'cleaner');
  await store.end(again.claim, { locks: notes.locks, phase: 'queued', complete: true });
  await created('untidy');
  assert.equal(await store.claim(migration.id, 'nobody', 1_000), 'ended');
  assert.equal(await store.requestCancel(migration.id), 'ended');
});

test('pages go on where they stopped, also between records of the same millisecond', async () => {
  await redis.flushall();
  const ids = Array.from({ length: 7 }, (_, i) => `m_${i}`);
  for (const id of ids) await redis.zadd(keys.migrations, 1_000, id);
  const seen: string[] = [];
  let mark: { id: string; createdAtMs: number } | undefined;
  for (;;) {
    const page = await store.search({ indexes: [], before: mark, limit: 2 });
    if (page.length === 0) break;
    seen.push(...page.map(({ id }) => id));
    mark = page.at(-1);
  }
  assert.deepEqual(seen, ids.toReversed());
});

test('the log stays with the record, is bounded, and takes nothing of a run that was taken over', async () => {
  const { migration } = await created();
  const { claim } = await claimed(migration.id, 'first', 50);
  await store.appendLog(
    claim,
    Array.from({ length: 350 }, (_, i) => `line ${i}`),
  );
  const lines = await store.readLog(migration.id);
  assert.deepEqual([lines.length, lines[0], lines.at(-1)], [300, 'line 50', 'line 349']);
  await store.letGo(claim);
  await claimed(migration.id, 'second');
  await assert.rejects(store.appendLog(claim, ['too late']), superseded);
  assert.equal((await store.readLog(migration.id)).at(-1), 'line 349');
});
