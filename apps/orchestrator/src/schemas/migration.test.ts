import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newMigrationId, newRecord, storedMigrationSchema } from '../migrations/record.ts';
import { storedScheduleSchema } from '../schedules/record.ts';
import { migrationInputSchema } from './migration.ts';
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

test('records from before these limits are still read', () => {
  const former = { vm: `a\n${'v'.repeat(100_000)}`, networkMap: { '': 'x'.repeat(2_000) }, diskMap: entries(65) };
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
});
