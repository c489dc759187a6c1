/**
 * Schedules on a controlled clock and a real Redis, several keepers at once: what is started, how often, and what the
 * history says of it. What is started is played: it holds, fails and loses replies on command.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { Redis } from 'ioredis';
import { LmasError } from '../errors.ts';
import { createLog } from '../log.ts';
import { keys } from '../redis/keys.ts';
import type { VersionedTable } from '../redis/versioned-table.ts';
import { scheduleChangeSchema, scheduleInputSchema } from '../schemas/schedule.ts';
import { startTestRedis, type TestRedis } from '../testing/test-redis.ts';
import type { ActionKind, Actions, Order } from './actions.ts';
import type { RunEnd } from './decide.ts';
import { createScheduleKeeper, type ScheduleKeeper } from './keeper.ts';
import { previewOf } from './preview.ts';
import { createScheduleTable, type ScheduleAction, type StoredSchedule } from './record.ts';
import { createScheduleService, type ScheduleService } from './service.ts';

const MIGRATION = { vm: 'web', source: 'a', destination: 'b' };
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
let server: TestRedis;
let redis: Redis;
let nowMs: number;
let played: PlayedRuns;
let table: VersionedTable<StoredSchedule>;
let service: ScheduleService;
let keepers: ScheduleKeeper[];

/** Runs that are what the test says, each started once for its purpose. */
class PlayedRuns {
  readonly started = new Map<string, string>();
  readonly ends = new Map<string, RunEnd>();
  readonly cancelled: string[] = [];
  failNext: Error | undefined;
  /** What stands in the way of every start, until it is taken away. */
  inTheWay: Error | undefined;
  loseReplies = 0;
  beforeStart = async (): Promise<void> => undefined;

  readonly #kind: ActionKind<ScheduleAction> = {
    complaints: async () => [],
    start: async (_, { purpose, fence }: Order) => {
      await this.beforeStart();
      if ((await redis.hget(fence.key, 'token')) !== String(fence.token)) throw new LmasError('WITHDRAWN');
      const failure = this.inTheWay ?? this.failNext;
      this.failNext = undefined;
      if (failure !== undefined) throw failure;
      const id = this.started.get(purpose) ?? `m${this.started.size + 1}`;
      this.started.set(purpose, id);
      if (this.loseReplies-- > 0) throw new Error('the connection broke');
      return { kind: 'migration', id };
    },
    find: async (purpose) => {
      const id = this.started.get(purpose);
      return id === undefined ? undefined : { kind: 'migration', id };
    },
    endOf: async (id) => this.ends.get(id) ?? null,
    cancel: async (id) => void this.cancelled.push(id),
  };
  readonly actions: Actions = { migration: this.#kind, plan: this.#kind, balancing: this.#kind };

  end(id: string, outcome: RunEnd['outcome'] = 'succeeded'): void {
    this.ends.set(id, { outcome, message: outcome, code: null });
  }
}

before(async () => {
  server = await startTestRedis();
  redis = server.redis;
});
after(() => server[Symbol.asyncDispose]());
beforeEach(async () => {
  await redis.flushall();
  nowMs = Date.parse('2026-06-01T12:00:00Z');
  played = new PlayedRuns();
  table = createScheduleTable(redis);
  const parts = { table, actions: played.actions, now: () => nowMs };
  service = createScheduleService({ ...parts, announce: async () => undefined });
  const wakes = { wakeAt: async () => undefined };
  keepers = [0, 1, 2].map(() =>
    createScheduleKeeper({ ...parts, wakes, onEvent: () => undefined, log: createLog('silent') }),
  );
});

const make = (settings: object) =>
  service.create(
    scheduleInputSchema.parse({ id: 's', action: { kind: 'migration', migration: MIGRATION }, ...settings }),
    null,
  );
const cron = (expression: string) => ({ trigger: { kind: 'cron', expression } });
/** The clock shows that time, and every keeper looks, side by side. */
async function at(time: string | number, looking = keepers): Promise<void> {
  nowMs = typeof time === 'number' ? time : Date.parse(time);
  await Promise.all(looking.map((keeper) => keeper.lookAtDue()));
}
const events = async () => (await service.history('s', null)).map(({ event }) => event).reverse();

describe('on time', () => {
  test('each time is one run, however many keepers look', async () => {
    await make(cron('0 * * * *'));
    await at('2026-06-01T12:59:59Z');
    assert.equal(played.started.size, 0);
    for (let hour = 13; hour < 18; hour++) {
      await at(`2026-06-01T${hour}:00:01Z`);
      await at(nowMs + 1_000);
      assert.equal(played.started.size, hour - 12);
      played.end(`m${hour - 12}`);
      await at(nowMs + 1_000);
    }
    assert.deepEqual(await events(), Array.from({ length: 5 }, () => ['started', 'succeeded']).flat());
  });

  test('once, and then it is finished', async () => {
    await make({ trigger: { kind: 'once', at: '2026-06-02T03:00:00' }, timeZone: 'Europe/Lisbon' });
    assert.equal((await service.get('s', null)).nextAt, '2026-06-02T02:00:00.000Z');
    await at('2026-06-02T02:00:00Z');
    assert.equal((await service.get('s', null)).state, 'active');
    played.end('m1');
    await at('2026-06-02T02:30:00Z');
    assert.equal((await service.get('s', null)).state, 'finished');
    await at('2027-06-02T02:30:00Z');
    assert.equal(played.started.size, 1);
  });

  test('a lost reply, a keeper that dies and a broken connection start nothing twice', async () => {
    await make(cron('0 * * * *'));
    played.loseReplies = 2;
    await at('2026-06-01T13:00:00Z');
    await at(nowMs + 10_000);
    await at(nowMs + 10_000);
    assert.equal(played.started.size, 1);
    assert.deepEqual(await events(), ['started']);
    assert.deepEqual((await service.get('s', null)).current?.run, { kind: 'migration', id: 'm1' });
  });

  test('what is refused is told, and the next time is another chance', async () => {
    await make(cron('0 * * * *'));
    played.failNext = new LmasError('UNKNOWN_REFERENCE', 'There is no b.');
    await at('2026-06-01T13:00:00Z');
    await at('2026-06-01T14:00:00Z');
    assert.deepEqual(await events(), ['refused', 'started']);
    assert.equal((await service.history('s', null)).at(-1)?.code, 'UNKNOWN_REFERENCE');
  });
});

describe('missed', () => {
  for (const [missed, expected] of [
    ['skip', ['skipped', 'skipped']],
    ['run-now', ['skipped', 'started']],
    ['next-window', ['skipped', 'started']],
  ] as const) {
    test(`${missed}: the orchestrator was away for three runs`, async () => {
      await make({ ...cron('0 * * * *'), missed });
      await at('2026-06-01T15:20:00Z');
      await at(nowMs + 1_000);
      assert.deepEqual(await events(), expected);
      assert.match((await service.history('s', null)).at(-1)?.message ?? '', /2 runs before this one were missed/);
      if (missed !== 'skip') played.end('m1');
      await at('2026-06-01T16:00:00Z');
      assert.equal((await events()).at(-1), 'started', 'the next one is on time');
    });
  }

  test('outside of its windows: left out, or made up for when one opens', async () => {
    const windows = [{ kind: 'weekly', from: '22:00', to: '02:00' }];
    const timeZone = 'Europe/Berlin'; // UTC+2
    await make({ ...cron('0 18 * * *'), timeZone, windows, missed: 'next-window' });
    await at('2026-06-01T16:00:05Z');
    assert.deepEqual(await events(), ['waits']);
    const nothing = { message: null, code: null };
    const { waiting } = await service.get('s', null);
    assert.deepEqual(waiting, { dueAt: '2026-06-01T16:00:00.000Z', for: 'window', ...nothing });
    await at('2026-06-01T19:59:59Z');
    assert.equal(played.started.size, 0);
    await at('2026-06-01T20:00:00Z');
    assert.deepEqual(await events(), ['waits', 'started']);
  });

  for (const overlap of ['queue', 'replace'] as const) {
    test(`${overlap}: what waited for the window makes way for the run whose time comes as it opens`, async () => {
      const windows = [{ kind: 'weekly', from: '22:00', to: '04:00' }];
      await make({ ...cron('0 20,22 * * *'), windows, missed: 'next-window', overlap });
      await at('2026-06-01T20:00:00Z');
      assert.equal((await service.get('s', null)).waiting?.for, 'window');
      await at('2026-06-01T22:00:00Z');
      await at(nowMs + 1_000);
      const { current, waiting } = await service.get('s', null);
      assert.deepEqual([current?.dueAt, waiting, played.cancelled], ['2026-06-01T22:00:00.000Z', null, []]);
      assert.deepEqual(await events(), ['waits', 'skipped', 'started']);
      assert.equal(
        (await service.history('s', null))[1]?.message,
        'The run of 2026-06-01T22:00:00.000Z takes its place.',
      );
    });
  }

  test('a blackout counts for more than a window', async () => {
    const blackouts = [{ kind: 'dates', from: '2026-06-01T12:30:00Z', to: '2026-06-01T13:30:00Z' }];
    await make({ ...cron('0 * * * *'), blackouts });
    await at('2026-06-01T13:00:00Z');
    await at('2026-06-01T14:00:00Z');
    assert.deepEqual(await events(), ['skipped', 'started']);
  });
});

describe('overlap', () => {
  test('skip', async () => {
    await make(cron('0 * * * *'));
    await at('2026-06-01T13:00:00Z');
    await at('2026-06-01T14:00:00Z');
    assert.deepEqual(await events(), ['started', 'skipped']);
    assert.equal(played.started.size, 1);
  });

  test('queue: one waits at most, and the newest', async () => {
    await make({ ...cron('0 * * * *'), overlap: 'queue' });
    for (const hour of ['13', '14', '15']) await at(`2026-06-01T${hour}:00:00Z`);
    played.end('m1');
    await at('2026-06-01T15:20:00Z');
    assert.deepEqual(await events(), ['started', 'waits', 'skipped', 'waits', 'succeeded', 'started']);
    assert.equal((await service.get('s', null)).current?.dueAt, '2026-06-01T15:00:00.000Z');
  });

  test('queue: the window has closed when the former run ends', async () => {
    const windows = [{ kind: 'weekly', from: '13:00', to: '15:00' }];
    await make({ ...cron('0 13,14 * * *'), windows, overlap: 'queue' });
    await at('2026-06-01T13:00:00Z');
    await at('2026-06-01T14:00:00Z');
    played.end('m1', 'failed');
    await at('2026-06-01T15:00:00Z');
    assert.deepEqual(await events(), ['started', 'waits', 'failed', 'skipped']);
  });

  test('replace: the former one is cancelled first', async () => {
    await make({ ...cron('0 * * * *'), overlap: 'replace' });
    await at('2026-06-01T13:00:00Z');
    await at('2026-06-01T14:00:00Z');
    assert.ok(played.cancelled.includes('m1'));
    assert.equal(played.started.size, 1, 'not before it has ended');
    played.end('m1', 'cancelled');
    await at(nowMs + 1_000);
    assert.equal(played.started.size, 2);
  });
});

describe('a run that somebody else has begun is in its way', () => {
  const busy = (by = 'r_1') => new LmasError('PLAN_BUSY', `Run ${by}, which moves VMs of payments, is under way.`);
  const last = async () => (await service.history('s', null))[0];

  test('skip: it is left out, and the history says why', async () => {
    await make(cron('0 * * * *'));
    played.inTheWay = busy();
    await at('2026-06-01T13:00:00Z');
    const { event, code, message } = (await last()) ?? assert.fail();
    assert.deepEqual([event, code, message], ['skipped', 'PLAN_BUSY', busy().message]);
    played.inTheWay = undefined;
    await at('2026-06-01T13:30:00Z');
    assert.equal(played.started.size, 0);
    await at('2026-06-01T14:00:00Z');
    assert.deepEqual(await events(), ['skipped', 'started']);
  });

  for (const overlap of ['queue', 'replace']) {
    test(`${overlap}: it is tried again until it begins, and cancels nothing of somebody else`, async () => {
      await make({ ...cron('0 * * * *'), overlap });
      played.inTheWay = new LmasError('VM_ALREADY_MIGRATING', 'Migration m_1 of web is under way.');
      await at('2026-06-01T13:00:00Z');
      const { waiting } = await service.get('s', null);
      assert.deepEqual(waiting, {
        ...{ dueAt: '2026-06-01T13:00:00.000Z', for: 'other-run', code: 'VM_ALREADY_MIGRATING' },
        message: 'Migration m_1 of web is under way.',
      });
      await at(nowMs + 30_000);
      played.inTheWay = new LmasError('VM_ALREADY_MIGRATING', 'Migration m_2 of web is under way.');
      await at(nowMs + 30_000);
      assert.deepEqual(await events(), ['waits', 'waits'], 'once for each reason');
      played.inTheWay = undefined;
      await at(nowMs + 10_000);
      assert.equal(played.started.size, 0, 'not before it is tried again');
      await at(nowMs + 20_000);
      assert.deepEqual(await events(), ['waits', 'waits', 'started']);
      assert.deepEqual([(await service.get('s', null)).waiting, played.cancelled], [null, []]);
    });
  }

  test('queue: until the window closes; then it is left out with the reason, or waits for the next one', async () => {
    const windows = [{ kind: 'weekly', from: '13:00', to: '15:00' }];
    for (const [missed, expected] of [
      ['skip', 'skipped'],
      ['next-window', 'waits'],
    ] as const) {
      await redis.flushall();
      await make({ ...cron('0 13 * * *'), windows, overlap: 'queue', missed });
      for (const time of ['13:00:00', '13:00:40', '14:59:50']) {
        played.inTheWay = busy();
        await at(`2026-06-01T${time}Z`);
      }
      played.inTheWay = undefined;
      await at('2026-06-01T15:00:20Z');
      assert.deepEqual(await events(), ['waits', expected], missed);
      if (missed === 'skip') {
        assert.match((await last())?.message ?? '', /until its window closed: Run r_1/);
        assert.equal((await last())?.code, 'PLAN_BUSY');
      }
      assert.equal(played.started.size, 0);
      nowMs = Date.parse('2026-06-01T12:00:00Z');
    }
  });

  test('queue: the next time takes its place; a pause ends the waiting; what is begun by hand goes first', async () => {
    await make({ ...cron('0 * * * *'), overlap: 'queue' });
    played.inTheWay = busy();
    await at('2026-06-01T13:00:00Z');
    played.inTheWay = busy('r_2');
    await at('2026-06-01T14:00:00Z');
    assert.deepEqual(await events(), ['waits', 'skipped', 'waits']);
    assert.equal((await service.get('s', null)).waiting?.dueAt, '2026-06-01T14:00:00.000Z');
    await service.pause('s', null);
    await at(nowMs + 60_000);
    assert.equal(played.started.size, 0);
    await service.resume('s', null);
    played.inTheWay = undefined;
    await at(nowMs + 60_000);
    assert.equal(played.started.size, 0, 'a pause misses nothing');
    played.inTheWay = busy();
    await at('2026-06-01T15:00:00Z');
    played.inTheWay = undefined;
    nowMs += 1_000;
    await service.run('s', null);
    await at(nowMs + 1_000);
    assert.equal(played.started.size, 1);
    await at(nowMs + 40_000);
    assert.equal((await service.get('s', null)).waiting?.for, 'former-run');
    played.end('m1');
    await at(nowMs + 60_000);
    assert.equal(played.started.size, 2, 'what waited came after it');
  });

  test('a clock that was ahead and has come back makes it wait no longer', async () => {
    await make({ ...cron('0 * * * *'), overlap: 'queue' });
    played.inTheWay = busy();
    await at('2026-06-01T13:00:50Z');
    played.inTheWay = undefined;
    await at('2026-06-01T13:00:10Z');
    assert.equal(played.started.size, 1);
  });
});

describe('clocks', () => {
  test('that go back an hour bring no run twice', async () => {
    await make(cron('0 * * * *'));
    await at('2026-06-01T14:00:10Z');
    played.end('m1');
    await at('2026-06-01T14:00:20Z');
    for (let minute = 0; minute < 60; minute += 5) await at(Date.parse('2026-06-01T13:00:30Z') + minute * MINUTE_MS);
    assert.equal(played.started.size, 1);
    await at('2026-06-01T15:00:00Z');
    assert.equal(played.started.size, 2);
  });

  test('that come back from a year ahead do not silence it for a year', async () => {
    await make({ ...cron('0 * * * *'), missed: 'run-now' });
    await at('2027-06-01T13:00:00Z');
    played.end('m1');
    await at('2026-06-01T13:30:00Z');
    await at('2026-06-01T14:00:00Z');
    assert.equal(played.started.size, 2);
  });

  test('on the nights on which clocks are moved: one run each night', async () => {
    for (const [night, start] of [
      ['forward', '2026-03-27T12:00:00Z'],
      ['back', '2026-10-23T12:00:00Z'],
    ] as const) {
      await redis.flushall();
      played.started.clear();
      nowMs = Date.parse(start);
      await make({ ...cron('30 2 * * *'), timeZone: 'Europe/Berlin' });
      for (let step = 0; step < 4 * 24 * 4; step++) {
        await at(Date.parse(start) + (step + 1) * (HOUR_MS / 4));
        for (const id of played.started.values()) played.end(id);
      }
      assert.equal(played.started.size, 4, `${night}: four nights`);
    }
  });
});

describe('orders', () => {
  test('a pause withdraws what was about to begin, also from a keeper that slept', async () => {
    await make(cron('0 * * * *'));
    played.beforeStart = async () => {
      played.beforeStart = async () => undefined;
      await service.pause('s', null);
    };
    await at('2026-06-01T13:00:00Z', keepers.slice(0, 1));
    await at('2026-06-01T13:00:10Z');
    assert.equal(played.started.size, 0);
    assert.deepEqual(await events(), ['skipped']);
    await at('2026-06-01T14:00:00Z');
    await service.resume('s', null);
    await at('2026-06-01T14:30:00Z');
    assert.equal(played.started.size, 0, 'a pause misses nothing');
    await at('2026-06-01T15:00:00Z');
    assert.equal(played.started.size, 1);
  });

  test('a removal withdraws it, too', async () => {
    await make(cron('0 * * * *'));
    played.beforeStart = () => service.remove('s', null);
    await at('2026-06-01T13:00:00Z', keepers.slice(0, 1));
    await at('2026-06-01T14:00:00Z');
    assert.equal(played.started.size, 0);
    await assert.rejects(service.get('s', null), { code: 'SCHEDULE_NOT_FOUND' });
  });

  test('and still does when another one has its name by then', async () => {
    await make(cron('0 * * * *'));
    played.beforeStart = async () => {
      played.beforeStart = async () => undefined;
      await service.remove('s', null);
      await make({ ...cron('30 * * * *'), description: 'another one' });
    };
    await at('2026-06-01T13:00:00Z', keepers.slice(0, 1));
    assert.equal(played.started.size, 0);
    assert.equal((await service.get('s', null)).description, 'another one');
    await at('2026-06-01T13:30:00Z');
    assert.deepEqual([played.started.size, await events()], [1, ['started']]);
  });

  test('by hand: now, whatever the windows say, one at a time, not while it is paused', async () => {
    await make({ ...cron('0 22 * * *'), windows: [{ kind: 'weekly', from: '22:00', to: '23:00' }] });
    await service.run('s', null);
    await at(nowMs + 1_000);
    assert.equal(played.started.size, 1);
    await assert.rejects(service.run('s', null), { code: 'SCHEDULE_BUSY' });
    played.end('m1');
    await at(nowMs + 1_000);
    await service.pause('s', null);
    await assert.rejects(service.run('s', null), { code: 'SCHEDULE_PAUSED' });
  });

  test('another time: what was missed by the old one is over', async () => {
    await make({ ...cron('0 * * * *'), missed: 'run-now' });
    nowMs = Date.parse('2026-06-01T18:10:00Z');
    await service.change('s', { trigger: { kind: 'cron', expression: '30 * * * *' } }, null, () => undefined);
    await at('2026-06-01T18:20:00Z');
    assert.equal(played.started.size, 0);
    await at('2026-06-01T18:30:00Z');
    assert.equal(played.started.size, 1);
  });
});

for (const [why, by] of [
  ['It was paused while it waited.', () => service.pause('s', null)],
  [
    'Its times were changed while it waited.',
    () => service.change('s', scheduleChangeSchema.parse(cron('30 * * * *')), null, () => undefined),
  ],
] as const) {
  test(`a run that waited is told of where a person ends the waiting: ${why}`, async () => {
    const windows = [{ kind: 'weekly', from: '22:00', to: '23:00' }];
    await make({ ...cron('0 13 * * *'), windows, missed: 'next-window' });
    await at('2026-06-01T13:00:05Z');
    await by();
    await by(); // again: nothing waits any more
    const [last, ...others] = await service.history('s', null);
    assert.deepEqual(
      [last?.event, last?.dueAt, last?.message, others.length],
      ['skipped', '2026-06-01T13:00:00.000Z', why, 1],
    );
    const notices = await redis.xrange(keys.feed, '-', '+');
    assert.ok(JSON.stringify(notices).includes(why), 'whoever follows everything hears of it');
  });
}

test('of one whose time is over, and whose run waits, the windows can still be changed', async () => {
  const trigger = { kind: 'once', at: '2026-06-01T13:00:00Z' };
  const weekly = (from: string, to: string) => ({ kind: 'weekly', from, to });
  await make({ trigger, windows: [weekly('22:00', '23:00')], missed: 'next-window' });
  await at('2026-06-01T13:00:05Z');
  const change = scheduleChangeSchema.parse({ windows: [weekly('13:00', '14:00')], missed: 'skip' });
  await service.change('s', change, null, () => undefined);
  await at('2026-06-01T13:10:00Z');
  assert.deepEqual(await events(), ['waits', 'started']);
  await assert.rejects(
    service.change('s', { trigger: scheduleChangeSchema.parse({ trigger }).trigger }, null, () => undefined),
    {
      code: 'INVALID_SCHEDULE',
    },
  );
});

test('what makes no sense is refused with every reason', async () => {
  const refusal = async (settings: object): Promise<string> => {
    const error: unknown = await make(settings).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof LmasError && error.code === 'INVALID_SCHEDULE', String(error));
    return (error.issues ?? []).map(({ path, message }) => `${path}: ${message}`).join('\n');
  };
  const night = [{ kind: 'weekly', from: '22:00', to: '23:00' }];
  const all = await refusal({
    ...cron('0 0 30 2 *'),
    windows: [...night, { kind: 'dates', from: '2026-07-02T00:00:00Z', to: '2026-07-01T00:00:00Z' }],
    blackouts: [{ kind: 'weekly', from: '21:00', to: '23:30' }],
  });
  assert.match(all, /trigger.expression: never comes/);
  assert.match(all, /windows.1.to: is not after `from`/);
  assert.match(all, /windows: never opens again/);
  assert.match(await refusal({ ...cron('0 12 * * *'), windows: night }), /none of the next runs falls into/);
  assert.match(await refusal({ ...cron('*/30 12 * * *'), windows: night }), /none of the next runs falls into/);
  assert.match(await refusal({ trigger: { kind: 'once', at: '2020-01-01T00:00:00Z' } }), /trigger.at: is over/);
  await make({ ...cron('0 12 * * *'), windows: night, missed: 'next-window' });
});

test('a preview tells when each run would begin, and what clocks do to it', async () => {
  await make({
    ...cron('30 2 * * *'),
    timeZone: 'Europe/Berlin',
    windows: [{ kind: 'weekly', days: ['mon'], from: '00:00', to: '04:00' }],
    missed: 'next-window',
  });
  nowMs = Date.parse('2027-03-27T12:00:00Z');
  const { items } = await service.preview('s', 2, null);
  assert.deepEqual(
    items.map(({ dueAt, local, startsAt }) => [dueAt, local, startsAt]),
    [
      ['2027-03-28T01:30:00.000Z', '2027-03-28 03:30 Europe/Berlin', '2027-03-28T22:00:00.000Z'],
      ['2027-03-29T00:30:00.000Z', '2027-03-29 02:30 Europe/Berlin', '2027-03-29T00:30:00.000Z'],
    ],
  );
  assert.match(items[0]?.notes[0] ?? '', /2027-03-28 02:30 does not exist/);
  assert.match(items[0]?.notes[1] ?? '', /waits until 2027-03-29 00:00/);
});

test('of times that wait for the same window a preview lets the newest begin, as it will be', () => {
  const nightly = { kind: 'weekly' as const, days: ['wed' as const], from: '06:00', to: '08:00' };
  const schedule = { timeZone: 'UTC', windows: [nightly], blackouts: [], missed: 'next-window' as const };
  const trigger = { kind: 'cron' as const, expression: '0 */2 * * *' };
  const starts = (count: number) =>
    previewOf({ ...schedule, trigger }, { afterMs: Date.parse('2026-06-03T01:00Z'), count }).items.map(
      ({ startsAt, notes }) => [startsAt?.slice(11, 16) ?? null, notes.at(-1) ?? ''],
    );
  const replaced = (by: string) => [null, `The run of 2026-06-03 ${by} UTC takes its place.`];
  const three = [replaced('04:00'), replaced('06:00'), ['06:00', '']];
  assert.deepEqual(starts(3), three);
  assert.deepEqual(starts(2), three.slice(0, 2), 'also by one that is not shown any more');
});
