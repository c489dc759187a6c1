/** A run's places on a real Redis: who has a pair of hosts or addresses, who waits for them and in which order, and what a hand-back leaves. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import type { Redis } from 'ioredis';
import { type Admission, createAdmission } from '../admission/admission.ts';
import { addressesNeed, addressGroup, endpointGroup, hostPairOf, laneOf } from '../admission/groups.ts';
import { errorCode } from '../errors.ts';
import { createLog } from '../log.ts';
import { connect } from '../redis/connect.ts';
import { keys } from '../redis/keys.ts';
import { type PrivateRedis, startPrivateRedis } from '../redis/private-server.ts';
import { migrationInputSchema } from '../schemas/migration.ts';
import { newMigrationId, newRecord } from './record.ts';
import { createMigrationStore, type MigrationStore } from './store.ts';

const log = createLog('silent');
const directory = await mkdtemp(join(tmpdir(), 'lmas-places-'));
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
beforeEach(async () => {
  await redis.flushall();
});
after(async () => {
  redis.disconnect();
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});

const PAIR = hostPairOf('vc: 1/host|a', 'vc: 1/host~b');
const OTHER = hostPairOf('vc: 1/host|a', 'vc: 1/host~c');
const superseded = (error: unknown) => errorCode(error) === 'SUPERSEDED';

let vms = 0;
async function submitted({ priority = 50, transport = 'tunnel' as 'tunnel' | 'direct', transparent = false } = {}) {
  vms += 1;
  const request = migrationInputSchema.parse({ vm: `vm-${vms}`, source: 'a', destination: 'b', priority, transport });
  const record = newRecord(newMigrationId(), request, { source: 'x', destination: 'y' }, []);
  record.migration.createdAt = new Date(vms).toISOString(); // the order of submission, to the millisecond
  record.migration.request.timeouts.queueMs = Date.now() + 1_000_000;
  await store.create(record, laneOf(record.migration, { transparent }));
  return record.migration;
}

/** Of endpoints that are one host each: its lane names the pair from the beginning. */
const submittedBetweenTwo = () => submitted({ transparent: true });

async function claim(id: string) {
  const claimed = await store.claim(id, `run-${Math.random()}`, 60_000);
  assert.ok(typeof claimed !== 'string', String(claimed));
  return claimed;
}

/** A run of a migration that was admitted. */
async function running(wish: Parameters<typeof submitted>[0] = {}) {
  const migration = await submitted(wish);
  assert.deepEqual(await admission.admit(1), [migration.id]);
  const claimed = await claim(migration.id);
  return {
    ...{ id: migration.id, migration, claim: claimed.claim },
    take: (pair = PAIR) => store.takeHosts(claimed.claim, migration, pair),
    handBack: (pair = PAIR, untilMs = Date.now() + 60_000) =>
      store.handBack(claimed.claim, migration, { need: pair, untilMs }),
    takeAddresses: (count = 1, limit = 2) => store.takeAddresses(claimed.claim, migration, { count, limit }),
    end: (complete = true) => store.end(claimed.claim, { locks: [], phase: 'queued', complete }),
  };
}

const taken = async (group: string) => (await admission.books()).taken.get(group);
const reason = async (id: string) => (await admission.explain([id])).get(id)?.reason;

test('a pair is had by one at a time, and by the same one however often it asks', async () => {
  const [one, other] = [await running(), await running()];
  assert.equal(await one.take(), undefined);
  assert.equal(await one.take(), undefined);
  assert.equal(await other.take(), one.id);
  assert.equal(await other.take(OTHER), undefined);
  await one.end();
  assert.equal(await other.take(), undefined, 'and the other pair is free again');
  assert.equal(await taken(`host-pair:${OTHER}`), undefined);
});

test('one that is handed back holds nothing, says what it waits for, and starts with the pair once that is free', async () => {
  const [one, other] = [await running(), await running()];
  await one.take();
  assert.equal(await other.take(), one.id);
  await other.handBack();
  await other.handBack(); // sent again after a lost reply: nothing new
  assert.equal(await taken(endpointGroup('a')), 1);
  assert.match((await reason(other.id)) ?? '', /vc: 1\/host\|a~vc: 1\/host~b allows 1/);
  assert.equal(await store.claim(other.id, 'somebody', 60_000), 'waiting');
  assert.deepEqual([await store.orphans(), await store.overdue(), await admission.notTakenUp()], [[], [], []]);
  await assert.rejects(store.renew(other.claim, 60_000), superseded);
  assert.deepEqual(await admission.admit(10), []);
  await one.end();
  assert.deepEqual(await admission.admit(10), [other.id]);
  const next = await claim(other.id);
  assert.deepEqual([next.handedBack, next.need], [true, PAIR]);
  assert.equal(await store.takeHosts(next.claim, other.migration, PAIR), undefined);
  await assert.rejects(other.handBack(), superseded);
  const later = await running();
  assert.equal(await later.take(), other.id);
});

test('priority and age decide who has it next; nobody who comes later gets it meanwhile', async () => {
  const first = await running();
  await first.take();
  const waiting = [await running(), await running({ priority: 90 }), await running()];
  for (const each of waiting) {
    assert.notEqual(await each.take(), undefined);
    await each.handBack();
  }
  const [older, urgent, newer] = waiting.map(({ id }) => id);
  const late = await running();
  await first.end();
  // Free, and nobody was admitted yet: whoever asks in this moment is not the first.
  assert.equal(await late.take(), urgent);
  await late.handBack();
  const order: string[] = [];
  for (const _ of [1, 2, 3, 4]) {
    const [id, ...others] = await admission.admit(10);
    assert.ok(id !== undefined && others.length === 0);
    order.push(id);
    const { claim: held } = await claim(id);
    await store.end(held, { locks: [], phase: 'queued', complete: true });
  }
  assert.deepEqual(order, [urgent, older, newer, late.id]);
});

test('direct ones share a pair, and wait for one that goes through gateways as it does for them', async () => {
  const [one, two] = [await running({ transport: 'direct' }), await running({ transport: 'direct' })];
  assert.deepEqual([await one.take(), await two.take()], [undefined, undefined]);
  const tunnelled = await running();
  assert.ok([one.id, two.id].includes((await tunnelled.take()) ?? ''));
  await tunnelled.handBack();
  const three = await running({ transport: 'direct' });
  assert.equal(await three.take(), tunnelled.id, 'it would pass one that waits');
  await three.handBack();
  await one.end();
  assert.deepEqual(await admission.admit(10), []);
  await two.end();
  assert.deepEqual(await admission.admit(10), [tunnelled.id]);
  const held = await claim(tunnelled.id);
  await store.end(held.claim, { locks: [], phase: 'queued', complete: true });
  assert.deepEqual(await admission.admit(10), [three.id]);
});

test('one that is let go before a pause is free for others', async () => {
  const [one, other] = [await running(), await running()];
  await one.take();
  await store.letNeedGo(one.claim, one.migration);
  assert.equal(await other.take(), undefined);
  assert.equal(await one.take(), other.id);
  assert.equal(await taken(endpointGroup('a')), 2, 'every other place is kept');
});

test('a cancel has one that waits taken up at once; so has the end of its time', async () => {
  const one = await running();
  await one.take();
  const [cancelled, late, before] = [await running(), await running(), await running()];
  await store.requestCancel(before.id);
  await before.handBack();
  assert.deepEqual(await store.overdue(), [before.id], 'the cancel came before the hand-back');
  await cancelled.handBack();
  await late.handBack(PAIR, Date.now() - 1);
  await store.requestCancel(cancelled.id);
  assert.deepEqual((await store.overdue()).sort(), [before.id, cancelled.id, late.id].sort());
  for (const { id } of [cancelled, late, before]) {
    const { claim: last } = await claim(id);
    await store.end(last, { locks: [], phase: 'queued', complete: true });
  }
  assert.equal((await admission.summary()).waiting, 0);
});

test('what is still to be taken down keeps its pair from others until it is', async () => {
  const [one, other] = [await running(), await running()];
  await one.take();
  await one.end(false);
  assert.equal(await other.take(), one.id);
  await other.handBack();
  assert.match((await reason(other.id)) ?? '', /allows 1/);
  assert.deepEqual(await admission.admit(10), []);
  await rebuild();
  assert.deepEqual(await admission.admit(10), []);
  const again = await claim(one.id);
  await store.end(again.claim, { locks: [], phase: 'queued', complete: true });
  assert.deepEqual(await admission.admit(10), [other.id]);
});

/** @param meanwhile when the records have been read */
async function rebuild(meanwhile: () => Promise<unknown> = async () => undefined): Promise<void> {
  const migrations = await store.getMany(await store.live());
  const needs = await store.needs(migrations.map(({ id }) => id));
  const lanes = migrations.map((migration, n) => {
    const need = needs[n] ?? null;
    return { migration, need, lane: laneOf(migration, { transparent: false, need }) };
  });
  await meanwhile();
  await admission.rebuild(
    (async function* () {
      yield lanes;
    })(),
  );
}

test('what a crash or a fail-over has lost of the queue comes back with its pairs', async () => {
  const [one, other] = [await running(), await running()];
  await one.take();
  await other.handBack();
  await redis.del(keys.places, keys.placesTaken, keys.waiting, keys.waitingLanes, keys.waitingEntries);
  await redis.hset(keys.keptPairs, PAIR, 'm_gone');
  await rebuild();
  assert.equal(await taken(`host-pair:${PAIR}`), 1);
  assert.deepEqual(await admission.admit(10), []);
  await one.end();
  assert.deepEqual(await admission.admit(10), [other.id]);
});

test('a pair that is taken while the places are counted anew is not counted away', async () => {
  const [one, other] = [await running(), await running()];
  await rebuild(() => one.take());
  assert.equal(await other.take(), one.id);
  await rebuild(() => store.letNeedGo(one.claim, one.migration));
  assert.equal(await other.take(), undefined);
});

test('what a lane named of a pair is free again once nothing is left to be taken down', async () => {
  const one = await submittedBetweenTwo();
  assert.deepEqual(await admission.admit(10), [one.id]);
  const first = await claim(one.id);
  await store.end(first.claim, { locks: [], phase: 'queued', complete: false });
  const other = await submittedBetweenTwo();
  assert.deepEqual(await admission.admit(10), []);
  const again = await claim(one.id);
  await store.end(again.claim, { locks: [], phase: 'queued', complete: true });
  assert.deepEqual(await admission.admit(10), [other.id]);
});

test('a run that puts back what Redis has forgotten ends no wait in order', async () => {
  const [one, other] = [await running(), await running()];
  await one.take();
  await other.handBack();
  await one.end();
  assert.deepEqual(await admission.admit(10), [other.id]);
  const next = await claim(other.id);
  // A replica takes over that has the hand-back, and nothing since.
  await redis.hset(keys.migration(other.id), { handedBack: 1, token: next.claim.token - 1 });
  await redis.srem(keys.running, other.id);
  const { version, stored, need } = next;
  await store.restore(next.claim, { version, stored, journal: [], need });
  assert.equal((await claim(other.id)).handedBack, false);
});

const ADDRESSES = addressGroup('x');

test('addresses are had by as many as there are, and by the same ones however often they ask', async () => {
  const [one, two, three] = [await running(), await running(), await running()];
  assert.equal(await one.takeAddresses(), undefined);
  assert.equal(await one.takeAddresses(), undefined);
  assert.equal(await two.takeAddresses(), undefined);
  assert.equal(await taken(ADDRESSES), 2);
  assert.ok([one.id, two.id].includes((await three.takeAddresses()) ?? ''));
  await one.end();
  assert.equal(await three.takeAddresses(2), two.id, 'two are not free');
  assert.equal(await three.takeAddresses(), undefined);
  await two.end();
  assert.equal(await three.takeAddresses(2), undefined, 'and now they are, in place of the one it had');
  assert.equal(await taken(ADDRESSES), 2);
  await three.end();
  assert.equal(await taken(ADDRESSES), undefined);
});

test('who waits for addresses says so, holds none, and nobody passes who wants one, also where that one would be free', async () => {
  const one = await running();
  await one.takeAddresses();
  const two = await running();
  assert.equal(await two.takeAddresses(2), one.id);
  await two.handBack(addressesNeed(2));
  assert.equal(
    await reason(two.id),
    'waits for a place: the gateway machine of site x has 2 addresses, and this migration needs its own',
  );
  const [blocker] = (await admission.explain([two.id])).get(two.id)?.blockedBy ?? [];
  assert.deepEqual(blocker, { kind: 'gateway-address', id: 'x', limit: 2 });
  const three = await running();
  assert.equal(await three.takeAddresses(), two.id);
  await three.handBack(addressesNeed(1));
  const other = await running();
  assert.equal(await other.take(), undefined, 'one that needs none goes on');
  assert.deepEqual(await admission.admit(10), []);
  await one.end();
  assert.deepEqual(await admission.admit(10), [two.id]);
  const next = await claim(two.id);
  assert.equal(next.need, addressesNeed(2));
  assert.equal(await store.takeAddresses(next.claim, two.migration, { count: 2, limit: 2 }), undefined);
  await store.end(next.claim, { locks: [], phase: 'queued', complete: true });
  assert.deepEqual(await admission.admit(10), [three.id]);
});

test('one that waits for more addresses than there are by now keeps them from nobody, and is started to be refused', async () => {
  const [one, two] = [await running(), await running()];
  await one.takeAddresses();
  assert.equal(await two.takeAddresses(2), one.id);
  await two.handBack(addressesNeed(2));
  const three = await running();
  assert.equal(await three.takeAddresses(), two.id, 'as long as there are two of them');
  await one.end();
  assert.equal(await three.takeAddresses(1, 1), undefined);
  assert.deepEqual(await admission.admit(10), [two.id]);
});

test('whoever counts other addresses than those of before tells everybody, and nobody else does', async () => {
  const [one, two] = [await running(), await running()];
  using listening = new DisposableStack();
  const listener = listening.adopt(redis.duplicate(), (connection) => connection.disconnect());
  let heard = 0;
  listener.on('message', () => {
    heard += 1;
  });
  await listener.subscribe(keys.admissionChannel);
  await one.takeAddresses(1, 1);
  await two.takeAddresses(1, 1);
  await two.takeAddresses(1, 2);
  await listener.ping(); // an answer comes after what was told before
  assert.equal(heard, 2);
});

test('addresses that are let go before a pause are free for others; those that a crash has lost are counted anew', async () => {
  const [one, two, three] = [await running(), await running(), await running()];
  await one.takeAddresses(2);
  await store.letNeedGo(one.claim, one.migration);
  assert.equal(await two.takeAddresses(), undefined);
  assert.equal(await three.takeAddresses(), undefined);
  assert.notEqual(await one.takeAddresses(2), undefined);
  await one.handBack(addressesNeed(2));
  await redis.del(keys.places, keys.placesTaken, keys.waiting, keys.waitingLanes, keys.waitingEntries);
  await rebuild();
  assert.equal(await taken(ADDRESSES), 2);
  assert.deepEqual(await admission.admit(10), []);
  await two.end();
  assert.deepEqual(await admission.admit(10), []);
  await three.end();
  assert.deepEqual(await admission.admit(10), [one.id]);
});
