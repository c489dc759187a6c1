import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requestOf } from '../balancing/observe.ts';
import { newMigrationId, newRecord, storedMigrationSchema } from '../migrations/record.ts';
import { storedScheduleSchema } from '../schedules/record.ts';
import { balancingPolicySchema } from './balancing.ts';
import { migrationInputSchema, tunnelNowSchema } from './migration.ts';
import { planSchema } from './plan.ts';
import { scheduleInputSchema } from './schedule.ts';

const wanted = { vm: 'v', source: 'a', destination: 'b' };
const accepts = (change: object) => migrationInputSchema.safeParse({ ...wanted, ...change }).success;
const entries = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, each) => [`n${each}`, 'lan']));

test('names of VMs, networks and disks are short and plain', () => {
  const fits = [{ vm: 'v'.repeat(255) }, { vm: '数据库 1' }, { networkMap: entries(64) }];
  const maps = [{ ['d'.repeat(256)]: 'x'.repeat(1_024) }, { '': 'lan' }, { ['d'.repeat(257)]: 'lan' }];
  const [longest, ...bad] = [
    ...maps,
    { d: '' },
    { d: 'x'.repeat(1_025) },
    { d: 'a\nb' },
    { 'a\u0000': 'b' },
    entries(65),
  ];
  for (const change of [...fits, { networkMap: longest, diskMap: longest }]) assert.ok(accepts(change));
  for (const vm of ['', 'v'.repeat(256), 'a\nb', '\u001b[2J', '\u0085'])
    assert.ok(!accepts({ vm }), JSON.stringify(vm));
  for (const map of bad) {
    assert.ok(!accepts({ networkMap: map }), JSON.stringify(map));
    assert.ok(!accepts({ diskMap: map }), JSON.stringify(map));
  }
});

test('a stage has a day at most, the queue and the whole have three weeks: what a timer can hold', () => {
  const day = 24 * 3_600_000;
  const longest = {
    ...{ checkingMs: day, provisioningMs: day, preparingMs: day, noProgressMs: day },
    ...{ queueMs: 21 * day, totalMs: 21 * day },
  };
  assert.ok(accepts({ timeouts: longest }));
  for (const [name, ms] of Object.entries(longest)) {
    assert.ok(ms < 2 ** 31, name);
    for (const longer of [ms + 1, 2 ** 31, Number.MAX_SAFE_INTEGER]) {
      assert.ok(!accepts({ timeouts: { [name]: longer } }), name);
    }
  }
});

test('what was recorded of a tunnel before its link’s queue and losses were is still read', () => {
  const former = {
    ...{ sendBitsPerSec: 8, linkBitsPerSec: null, windowBytes: 64, bufferedBytes: 0, rekeys: 0, compressionRatio: 1 },
    ...{ subflows: [], streams: [] },
  };
  const { linkQueueMs, linkLossShare } = tunnelNowSchema.parse(former);
  assert.deepEqual([linkQueueMs, linkLossShare], [null, null]);
});

test('records from before these limits are still read', () => {
  const timeouts = { ...migrationInputSchema.parse(wanted).timeouts, checkingMs: 2 ** 40, totalMs: 2 ** 50 };
  const former = {
    ...{ vm: `a\n${'v'.repeat(100_000)}`, networkMap: { '': 'x'.repeat(2_000) }, diskMap: entries(65) },
    timeouts,
  };
  const request = { ...migrationInputSchema.parse(wanted), ...former };
  const record = newRecord(newMigrationId(), request, { source: 'x', destination: 'y' }, []);
  assert.deepEqual(storedMigrationSchema.parse(record).migration.request, request);
  const once = {
    id: 's',
    action: { kind: 'migration', migration: wanted },
    trigger: { kind: 'cron', expression: '0 3 * * *' },
  };
  const at = '2026-01-01T00:00:00Z';
  const stored = {
    ...scheduleInputSchema.parse(once),
    ...{ action: { kind: 'migration', migration: request }, project: null, createdAt: at, pausedAt: null },
    progress: { seenUntil: at, starting: null, waiting: null, current: null },
  };
  assert.deepEqual(storedScheduleSchema.parse(stored).action, stored.action);
  const {
    vm: _,
    source: __,
    destination: ___,
    drill: ____,
    mayReplace: _____,
    powerState: ______,
    networkMap,
    diskMap,
    ...ofPlan
  } = request;
  const plan = { id: 'p', waves: [{ vms: [{ kind: 'host', source: 'a', destination: { site: 'b' } }] }] };
  const kept = { ...plan, project: null, createdAt: at, changedAt: at, migration: ofPlan };
  assert.deepEqual(planSchema.parse(kept).migration, ofPlan);
  const { labels: _______, correlationId: ________, allowCordoned: _________, ...rest } = ofPlan;
  const ofPolicy = { ...rest, networkMap };
  const policy = { id: 'h', endpoints: ['a', 'b'], migration: ofPolicy, pausedAt: null, createdAt: at };
  const { migration } = balancingPolicySchema.parse(policy);
  assert.deepEqual(migration, ofPolicy);
  assert.deepEqual(requestOf({ migration }, wanted, []).timeouts, timeouts);
});
