/** When runs are looked at. On a real Redis. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planBodySchema } from '../schemas/plan.ts';
import { startTestRedis } from '../testing/test-redis.ts';
import { besideOf, createPlanDriver, lookAtMs } from './driver.ts';
import { createHold } from './hold.ts';
import { createRunTable, newRun, newRunId, type PlanRun } from './record.ts';

const AT_MS = Date.parse('2026-06-01T12:00:00.000Z');
const AHEAD_MS = AT_MS + 365 * 24 * 3_600_000;

test('a pause that a clock had set that was ahead is found, though its time is far off', async () => {
  await using server = await startTestRedis();
  const table = createRunTable(server.redis);
  const definition = planBodySchema.parse({
    waves: [{ vms: [{ kind: 'host', source: 'a', destination: { endpoint: 'b' } }], afterwards: { pauseMs: 60_000 } }],
  });
  const of = { id: newRunId(), plan: 'p', project: null, mode: 'failover' as const, reverseOf: null };
  const at = new Date(AT_MS).toISOString();
  const begun = newRun(definition, of, at);
  const pauseUntil = new Date(AHEAD_MS).toISOString();
  const waves = begun.waves.map((wave) => ({ ...wave, state: 'between' as const, pauseUntil }));
  const run: PlanRun = { ...begun, phase: 'running', waves };
  assert.ok(await table.add(run, besideOf(run, null, [])));
  const log = { debug: () => undefined, info: () => undefined, warn: assert.fail, error: assert.fail };
  const driver = createPlanDriver({
    ...{ table, now: () => AT_MS, log: log as never, onEnd: assert.fail, formerRun: async () => undefined },
    ...{ seenBy: () => ({}) as never, checkTools: () => ({}) as never },
    hold: createHold(server.redis, { keyOf: (id) => `hold:${id}`, holdMs: 10_000 }),
  });
  await driver.lookAtDue();
  await driver.look(run.id);
  const found = (await table.find(run.id))?.value ?? assert.fail();
  assert.equal(lookAtMs(found), AT_MS + 60_000);
  await driver.stop();
});
