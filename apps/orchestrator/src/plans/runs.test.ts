/** Orders that two runs would carry out against each other are refused. On a real Redis. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import type { Redis } from 'ioredis';
import { planBodySchema } from '../schemas/plan.ts';
import { startTestRedis, type TestRedis } from '../testing/test-redis.ts';
import { besideOf } from './driver.ts';
import { createRunTable, newRun, newRunId, type PlanItem, type PlanRun } from './record.ts';
import { createPlanRunService, type PlanRunService } from './runs.ts';

const AT = '2026-06-01T12:00:00.000Z';
const definition = planBodySchema.parse({
  waves: [{ vms: [{ kind: 'host', source: 'a', destination: { endpoint: 'b' } }], onFailure: 'go-on' }],
});
const plan = { id: 'p', ...definition, project: null, createdAt: AT, changedAt: AT };
let server: TestRedis;
let redis: Redis;
let runs: PlanRunService;

before(async () => {
  server = await startTestRedis();
  redis = server.redis;
});
after(() => server[Symbol.asyncDispose]());
beforeEach(async () => {
  await redis.flushall();
  runs = createPlanRunService({
    ...{ table: createRunTable(redis), plans: { get: async () => plan }, announce: async () => undefined },
    complaintTools: () => assert.fail('nobody asks'),
    now: () => Date.parse(AT),
  });
});

const item = (name: string, state: PlanItem['state']): PlanItem => ({
  ...{ key: `0/${name}`, wave: 0, vm: { id: name, name }, plugin: 'simulated', state },
  ...{ source: { endpoint: 'a', site: 'x' }, destination: { endpoint: 'b', site: 'y' } },
  ...{ networkMap: {}, diskMap: {}, disks: [], memoryBytes: 1, findings: [] },
  migrations: ['m_00000000-0000-4000-8000-000000000000'],
  ...{
    checkedAt: null,
    prediction: null,
    sourceAfter: null,
    leftAt: null,
    error: null,
    startedAt: null,
    endedAt: null,
  },
});

/** A run that is over or not, as it stands on record. */
async function onRecord(changes: Partial<PlanRun>): Promise<string> {
  const id = newRunId();
  const of = { id, plan: 'p', project: null, mode: 'failover' as const, reverseOf: null };
  const run = { ...newRun(definition, of, AT), ...changes };
  assert.ok(await createRunTable(redis).add(run, besideOf(run, null, [])));
  return id;
}
/** One VM has moved, the other one has not. */
const half = (changes: Partial<PlanRun> = {}) =>
  onRecord({ phase: 'failed', endedAt: AT, items: [item('one', 'moved'), item('two', 'failed')], ...changes });

test('what was taken back, or is being taken back, is not tried again: VMs would be at both sites, and the run call it a success', async () => {
  const id = await half();
  const { id: backId } = await runs.failBack(id, null);
  await assert.rejects(runs.retry(id, null), { code: 'RUN_STATE', message: `Run ${backId} takes back what it moved.` });
  await assert.rejects(runs.start('p', 'failover', null), { code: 'PLAN_BUSY' });
  await runs.cancel(backId, null);
  const other = await half();
  await onRecord({
    plan: null,
    mode: 'failback',
    reverseOf: other,
    phase: 'failed',
    endedAt: AT,
    items: [item('one', 'moved')],
  });
  await assert.rejects(runs.retry(other, null), { code: 'RUN_STATE', message: /has taken back what it moved/ });
});

test('a fail-back that moved nothing stands in the way of nothing', async () => {
  const id = await half();
  await onRecord({ plan: null, mode: 'failback', reverseOf: id, phase: 'cancelled', endedAt: AT });
  assert.deepEqual((await runs.retry(id, null)).attempt, 2);
});

test('nothing is tried again while another run of the plan moves its VMs', async () => {
  const id = await half();
  const other = await onRecord({ phase: 'running', items: [item('one', 'moving')] });
  await assert.rejects(runs.retry(id, null), { code: 'PLAN_BUSY', message: new RegExp(other) });
  await assert.rejects(runs.start('p', 'failover', null), { code: 'PLAN_BUSY', message: new RegExp(other) });
});
