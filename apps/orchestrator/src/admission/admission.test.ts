/** Admission on a real Redis: limits, order, reasons, and that random lives of migrations never break a limit. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import fc from 'fast-check';
import type { Redis } from 'ioredis';
import { createLog } from '../log.ts';
import { newMigrationId, newRecord, type StoredMigration } from '../migrations/record.ts';
import { createMigrationStore, type MigrationStore } from '../migrations/store.ts';
import { connect } from '../redis/connect.ts';
import { keys } from '../redis/keys.ts';
import { type PrivateRedis, startPrivateRedis } from '../redis/private-server.ts';
import { migrationInputSchema } from '../schemas/migration.ts';
import { AdmissionModel, isAddress } from '../testing/admission-model.ts';
import { type Admission, createAdmission } from './admission.ts';
import {
  addressesNeed,
  addressGroup,
  endpointGroup,
  laneOf,
  linkGroup,
  linkId,
  projectGroup,
  siteGroup,
  TOTAL,
} from './groups.ts';

const log = createLog('silent');
const directory = await mkdtemp(join(tmpdir(), 'lmas-admission-'));
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

interface Wish {
  /** `site.host` */
  readonly from?: string;
  readonly to?: string;
  readonly project?: string | null;
  readonly priority?: number;
  readonly transparent?: boolean;
  readonly direct?: boolean;
  /** Of the gateway machine at its source. */
  readonly addresses?: number;
}

/** As its lane is after a check. */
const needsOf = ({ transparent = false, direct = false, addresses = 0 }: Wish) => ({
  ...{ transparent, direct, need: transparent || direct || addresses === 0 ? null : addressesNeed(addresses) },
});

let submissions = 0;
async function submit({ from = 'a.1', to = 'b.1', project = null, priority = 50, ...wish }: Wish = {}) {
  submissions += 1;
  const name = (place: string) => place.replace('.', '-');
  const site = (place: string) => place.split('.')[0] ?? '';
  const vm = `vm-${submissions}`;
  const request = migrationInputSchema.parse({ vm, source: name(from), destination: name(to), priority });
  const sites = { source: site(from), destination: site(to) };
  const record = newRecord(newMigrationId(), request, sites, [keys.vmByName(request.source, vm)], { project });
  record.migration.createdAt = new Date(submissions).toISOString(); // the order of submission, to the millisecond
  record.migration.request.timeouts.queueMs = Date.now() + 1_000_000;
  await store.create(record, laneOf(record.migration, needsOf(wish)));
  return record;
}

const idOf = ({ migration }: StoredMigration): string => migration.id;
const runOf = async (id: string) => {
  const claimed = await store.claim(id, `run-${id}`, 60_000);
  assert.ok(typeof claimed !== 'string', String(claimed));
  return claimed.claim;
};
const finish = async (record: StoredMigration) =>
  await store.end(await runOf(idOf(record)), { locks: record.notes.locks, phase: 'queued', complete: true });
const reason = async (record: StoredMigration) => (await admission.explain([idOf(record)])).get(idOf(record))?.reason;

describe('limits', () => {
  test('of a project, of a site, of a link, of an endpoint and of the whole each hold, and the record says which one', async () => {
    const cases = [
      [projectGroup('red'), 'project red'],
      [siteGroup('a'), 'site a'],
      [endpointGroup('b-1'), 'endpoint b-1'],
      [linkGroup(linkId('b', 'a')), 'link a~b'],
      [TOTAL, 'the installation'],
    ] as const;
    for (const [group, words] of cases) {
      await redis.flushall();
      await admission.setLimit(group, 2);
      const records = [];
      for (let i = 0; i < 3; i++) records.push(await submit({ project: 'red' }));
      assert.deepEqual(await admission.admit(10), records.slice(0, 2).map(idOf));
      const third = records[2];
      assert.ok(third !== undefined);
      assert.equal(await reason(third), `waits for a place: ${words} allows 2`);
      assert.deepEqual(await admission.admit(10), []);
      for (const record of records.slice(0, 1)) await finish(record);
      assert.deepEqual(await admission.admit(10), [idOf(third)], 'a place was given back');
    }
  });

  test('may change at any time: more start at once, what runs goes on, zero lets none begin', async () => {
    await admission.setLimit(siteGroup('a'), 0);
    const records = [await submit(), await submit(), await submit()];
    assert.deepEqual(await admission.admit(10), []);
    await admission.setLimit(siteGroup('a'), 2);
    assert.equal((await admission.admit(10)).length, 2);
    await admission.setLimit(siteGroup('a'), 1);
    assert.equal((await admission.books()).taken.get(siteGroup('a')), 2, 'nothing is taken away');
    await finish(records[0] as StoredMigration);
    assert.deepEqual(await admission.admit(10), []);
    await admission.setLimit(siteGroup('a'), null);
    assert.equal((await admission.admit(10)).length, 1);
  });

  test('of a project hold up no other one, and nobody who has none, whatever their priority', async () => {
    await admission.setLimit(projectGroup('red'), 1);
    const [running, ...reds] = [
      await submit({ project: 'red', priority: 90 }),
      await submit({ project: 'red', priority: 90 }),
      await submit({ project: 'red', from: 'c.1', to: 'd.1', priority: 90 }),
    ];
    const others = [
      await submit({ project: 'red-2' }),
      await submit({ project: 'blue', priority: 10 }),
      await submit(),
    ];
    const order = [running, others[0], others[2], others[1]];
    assert.deepEqual(
      await admission.admit(10),
      order.map((record) => record && idOf(record)),
    );
    for (const red of reds) assert.equal(await reason(red), 'waits for a place: project red allows 1');
    const explained = await admission.explain(reds.map(idOf));
    assert.deepEqual(
      [...explained.values()].map(({ blockedBy }) => blockedBy),
      [1, 2].map(() => [{ kind: 'project', id: 'red', limit: 1 }]),
    );
    await admission.setLimit(projectGroup('red'), 2);
    assert.deepEqual(await admission.admit(10), reds.slice(0, 1).map(idOf));
    await admission.setLimit(projectGroup('red'), null);
    assert.deepEqual(await admission.admit(10), reds.slice(1).map(idOf));
  });

  test('of a project that has no place left, one lane is looked at and no more, however many it has', async () => {
    await admission.setLimit(projectGroup('red'), 0);
    const looks = async () => Number(/zrangebylex:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1] ?? 0);
    const other = await submit({ project: 'redder', from: 'z.1' });
    for (let n = 1; n <= 60; n++) await submit({ project: 'red', from: `a.${n}` });
    await redis.config('RESETSTAT');
    assert.deepEqual(await admission.admit(10), [idOf(other)]);
    assert.ok((await looks()) <= 4, `${await looks()} looks at the lanes`);
  });

  test('one transparent migration per pair of hosts, in either direction; redirected ones do not mind', async () => {
    const first = await submit({ transparent: true });
    const back = await submit({ from: 'b.1', to: 'a.1', transparent: true });
    const other = await submit({ from: 'a.2', transparent: true });
    const redirected = await submit();
    assert.deepEqual(await admission.admit(10), [first, other, redirected].map(idOf));
    assert.match((await reason(back)) ?? '', /a-1~b-1 allows 1/);
    await finish(first);
    assert.deepEqual(await admission.admit(10), [idOf(back)]);
  });

  test('direct ones between hosts that can be intercepted are many, but none beside one that is', async () => {
    const direct = { transparent: true, direct: true };
    const [one, two] = [await submit(direct), await submit({ from: 'b.1', to: 'a.1', ...direct })];
    const intercepted = await submit({ transparent: true });
    const late = await submit(direct);
    assert.deepEqual(await admission.admit(10), [one, two].map(idOf));
    assert.match((await reason(intercepted)) ?? '', /a-1~b-1 allows 1/);
    await finish(one);
    assert.deepEqual(
      await admission.admit(10),
      [],
      'the late one does not pass the one that waits for the last of them',
    );
    await finish(two);
    assert.deepEqual(await admission.admit(10), [idOf(intercepted)]);
    assert.match((await reason(late)) ?? '', /a-1~b-1 allows 1/);
    await finish(intercepted);
    assert.deepEqual(await admission.admit(10), [idOf(late)]);
  });

  test('one that waits for more than its hosts keeps them from nobody', async () => {
    await admission.setLimit(endpointGroup('c-1'), 0);
    const running = await submit({ transparent: true, direct: true });
    assert.deepEqual(await admission.admit(10), [idOf(running)]);
    const stuck = await submit({ from: 'c.1', transparent: true });
    const passes = await submit({ from: 'c.2', transparent: true });
    assert.deepEqual(await admission.admit(10), [idOf(passes)]);
    assert.equal(await reason(stuck), 'waits for a place: endpoint c-1 allows 0');
  });
});

test('one that needs more addresses than there are starts, for its run to refuse it, and holds up nobody', async () => {
  await admission.setLimit(addressGroup('a'), 2);
  const running = await submit({ addresses: 1 });
  assert.deepEqual(await admission.admit(10), [idOf(running)]);
  const tooMany = await submit({ addresses: 2 });
  const behind = await submit({ from: 'a.2', addresses: 1 });
  assert.deepEqual(await admission.admit(10), [], 'it waits for the second one, and nobody passes it');
  await admission.setLimit(addressGroup('a'), 1);
  assert.equal(await reason(tooMany), 'waits for its turn, or for a worker that is free');
  assert.deepEqual(await admission.admit(10), [idOf(tooMany)]);
  await finish(tooMany);
  assert.deepEqual(await admission.admit(10), [], 'the one address is taken');
  await finish(running);
  assert.deepEqual(await admission.admit(10), [idOf(behind)]);
});

describe('order', () => {
  test('the higher priority first, then the older; the place is told', async () => {
    const low = await submit({ priority: 10 });
    const normal = await submit();
    const high = await submit({ priority: 90 });
    const later = await submit();
    const explained = await admission.explain([low, normal, high, later].map(idOf));
    assert.deepEqual(
      [high, normal, later, low].map((record) => explained.get(idOf(record))?.place),
      [1, 2, 3, 4],
    );
    assert.deepEqual(await admission.admit(1), [idOf(high)]);
    assert.deepEqual(await admission.admit(10), [normal, later, low].map(idOf));
  });

  test('one that cannot start holds up only those that need the same places', async () => {
    await admission.setLimit(siteGroup('a'), 1);
    const running = await submit();
    assert.deepEqual(await admission.admit(10), [idOf(running)]);
    const blocked = await submit({ priority: 100 });
    const free = await submit({ from: 'c.1', to: 'd.1' });
    const alsoFree = await submit({ from: 'b.1', to: 'd.1', priority: 0 });
    assert.deepEqual(await admission.admit(10), [free, alsoFree].map(idOf));
    assert.equal(await reason(blocked), 'waits for a place: site a allows 1');
  });

  test('no more than there is room for; a pause stops everything, and a resume goes on', async () => {
    const records = [await submit(), await submit(), await submit()];
    await admission.pause('2026-01-01T00:00:00Z');
    await admission.pause('2027-01-01T00:00:00Z');
    assert.deepEqual(await admission.admit(10), []);
    assert.equal(await reason(records[0] as StoredMigration), 'the queue is paused');
    assert.deepEqual(await admission.summary(), { waiting: 3, running: 0, pausedAt: '2026-01-01T00:00:00Z' });
    await admission.resume();
    assert.deepEqual(await admission.admit(2), records.slice(0, 2).map(idOf));
    assert.deepEqual(await admission.admit(0), []);
  });
});

test('many who admit at the same time start each migration once and no more than there are places', async () => {
  await admission.setLimit(TOTAL, 7);
  await admission.setLimit(siteGroup('c'), 2);
  const records = [];
  for (let i = 0; i < 12; i++) records.push(await submit({ from: i % 2 === 0 ? 'a.1' : 'c.1' }));
  const connections = Array.from({ length: 8 }, () => connect(server, log));
  const answers = await Promise.all(connections.flatMap((one) => [1, 2, 3].map((n) => createAdmission(one).admit(n))));
  for (const one of connections) one.disconnect();
  const started = answers.flat();
  assert.equal(started.length, 7);
  assert.equal(new Set(started).size, 7);
  const { taken } = await admission.books();
  assert.equal(taken.get(TOTAL), 7);
  assert.equal(taken.get(siteGroup('c')), 2);
});

test('what a crash or a person broke is set right from the records', async () => {
  await admission.setLimit(siteGroup('a'), 2);
  const records = [await submit(), await submit(), await submit(), await submit()];
  const [running, admitted, waiting] = records as [StoredMigration, StoredMigration, StoredMigration];
  await admission.admit(10);
  await runOf(idOf(running));
  assert.deepEqual(await admission.notTakenUp(), [idOf(admitted)]);
  await redis.del(keys.waiting, keys.waitingLanes, keys.waitingEntries);
  await redis.hset(keys.placesTaken, siteGroup('a'), 77, siteGroup('zz'), 5);
  await redis.hset(keys.places, 'm_gone', 'site:a');
  await redis.hdel(keys.places, idOf(running));
  const live = records.map(({ migration }) => {
    return { migration, need: null, lane: laneOf(migration, { transparent: false }) };
  });
  await admission.rebuild(
    (async function* () {
      yield live;
    })(),
  );
  const { taken } = await admission.books();
  assert.deepEqual([taken.get(siteGroup('a')), taken.get(siteGroup('zz')), taken.get(TOTAL)], [2, undefined, 2]);
  assert.equal((await admission.summary()).waiting, 2);
  await finish(running);
  assert.deepEqual(await admission.admit(10), [idOf(waiting)]);
});

test('what waits in a lane of another name, as an earlier version has put it there, comes into its own', async () => {
  const record = await submit({ project: 'red' });
  const late = await submit({ project: 'red' });
  const { migration } = record;
  const lane = laneOf(migration, { transparent: false });
  const entry = (await redis.hget(keys.waitingEntries, migration.id)) ?? '';
  const former = entry.replace('project:red ', '');
  await redis.multi().hset(keys.waitingEntries, migration.id, former).zrem(keys.waitingLanes, entry).exec();
  await redis.zadd(keys.waitingLanes, 0, former);
  const live = [record, late].map(({ migration }) => ({ migration, need: null, lane }));
  await admission.rebuild(
    (async function* () {
      yield live;
    })(),
  );
  assert.equal(await redis.hget(keys.waitingEntries, migration.id), entry);
  assert.equal(await redis.zcard(keys.waitingLanes), 2);
  await admission.setLimit(projectGroup('red'), 1);
  assert.deepEqual(await admission.admit(10), [migration.id]);
  assert.equal(await reason(late), 'waits for a place: project red allows 1');
});

describe('any life', () => {
  const site = fc.constantFrom('a', 'b', 'c');
  const place = fc.tuple(site, fc.constantFrom('1', '2')).map(([name, host]) => `${name}.${host}`);
  const group = fc.oneof(
    fc.constant(TOTAL),
    site.map(siteGroup),
    site.map(addressGroup),
    fc.constantFrom('red', 'blue').map(projectGroup),
    place.map((name) => endpointGroup(name.replace('.', '-'))),
    fc.tuple(site, site).map(([one, other]) => linkGroup(linkId(one, other))),
  );
  const act = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constant('submit' as const),
        from: place,
        to: place,
        project: fc.constantFrom('red', 'blue', null),
        priority: fc.constantFrom(0, 50, 100),
        transparent: fc.boolean(),
        direct: fc.boolean(),
        addresses: fc.constantFrom(0, 0, 1, 2),
      }),
    },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('admit' as const), room: fc.integer({ min: 0, max: 4 }) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('end' as const), which: fc.nat() }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('cancel' as const), which: fc.nat() }) },
    { weight: 1, arbitrary: fc.constant({ kind: 'crash' as const }) },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant('limit' as const),
        group,
        places: fc.option(fc.integer({ min: 0, max: 3 })),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('pause' as const), paused: fc.boolean() }) },
  );

  test('never exceeds a limit, starts exactly what the rules say, and at last everything has run', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(act, { minLength: 5, maxLength: 40 }), async (acts) => {
        await redis.flushall();
        const model = new AdmissionModel();
        const end = async (id: string) => {
          const entry = model.running.get(id);
          assert.ok(entry !== undefined);
          await finish(entry.record);
          model.running.delete(id);
        };
        for (const one of acts) {
          switch (one.kind) {
            case 'submit': {
              if (one.from === one.to) break;
              const record = await submit(one);
              model.waiting.set(idOf(record), { record, lane: laneOf(record.migration, needsOf(one)) });
              break;
            }
            case 'admit':
              assert.deepEqual(await admission.admit(one.room), model.admit(one.room));
              break;
            case 'end': {
              const ids = [...model.running.keys()];
              if (ids.length > 0) await end(ids[one.which % ids.length] ?? '');
              break;
            }
            case 'cancel': {
              const waiting = [...model.waiting];
              const [id, entry] = waiting[one.which % Math.max(1, waiting.length)] ?? [];
              if (id === undefined || entry === undefined) break;
              await store.requestCancel(id);
              await finish(entry.record);
              model.waiting.delete(id);
              break;
            }
            case 'crash': {
              const live = [...model.waiting.values(), ...model.running.values()];
              await redis.del(keys.placesTaken);
              await admission.rebuild(
                (async function* () {
                  yield live.map(({ record: { migration }, lane }) => ({ migration, need: null, lane }));
                })(),
              );
              break;
            }
            case 'limit':
              await admission.setLimit(one.group, one.places);
              if (one.places === null) model.limits.delete(one.group);
              else model.limits.set(one.group, one.places);
              break;
            case 'pause':
              model.paused = one.paused;
              await (one.paused ? admission.pause('now') : admission.resume());
              break;
          }
          const { taken } = await admission.books();
          for (const [name, count] of taken) assert.equal(count, model.taken(name), name);
        }
        // Nobody starves: with every limit at one place at least, all of them come to their turn; addresses may be too few for some.
        await admission.resume();
        model.paused = false;
        for (const [name, places] of model.limits) {
          if (places >= 1 || isAddress(name)) continue;
          await admission.setLimit(name, 1);
          model.limits.set(name, 1);
        }
        for (let left = model.waiting.size + model.running.size; left > 0; left--) {
          assert.deepEqual(await admission.admit(2), model.admit(2));
          const [id] = model.running.keys();
          assert.ok(id !== undefined, 'something can always start when nothing runs');
          await end(id);
        }
        assert.deepEqual(await admission.summary(), { waiting: 0, running: 0, pausedAt: null });
      }),
      { numRuns: 60 },
    );
  });
});
