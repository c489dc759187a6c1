/** When runs are looked at, and what ends them. On a real Redis. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Redis } from 'ioredis';
import { createProjects } from '../access/projects.ts';
import { scopeOf } from '../access/scope.ts';
import { evacuationInputSchema, planBodySchema } from '../schemas/plan.ts';
import { projectInputSchema } from '../schemas/project.ts';
import { startTestRedis } from '../testing/test-redis.ts';
import { besideOf, createPlanDriver, type DriverParts, lookAtMs } from './driver.ts';
import { evacuationPlan, seatOfPlace } from './evacuation.ts';
import { createHold } from './hold.ts';
import { createRunTable, newRun, newRunId, type PlanRun } from './record.ts';

const AT_MS = Date.parse('2026-06-01T12:00:00.000Z');
const AT = new Date(AT_MS).toISOString();
const AHEAD_MS = AT_MS + 365 * 24 * 3_600_000;

const driverOf = (redis: Redis, parts: Pick<DriverParts, 'table' | 'seenBy' | 'onEnd'>) =>
  createPlanDriver({
    ...{ now: () => AT_MS, formerRun: async () => undefined, checkTools: () => ({}) as never },
    log: { debug: () => undefined, info: () => undefined, warn: assert.fail, error: assert.fail } as never,
    hold: createHold(redis, { keyOf: (id) => `hold:${id}`, holdMs: 10_000 }),
    ...parts,
  });

test('a pause that a clock had set that was ahead is found, though its time is far off', async () => {
  await using server = await startTestRedis();
  const table = createRunTable(server.redis);
  const definition = planBodySchema.parse({
    waves: [{ vms: [{ kind: 'host', source: 'a', destination: { endpoint: 'b' } }], afterwards: { pauseMs: 60_000 } }],
  });
  const of = { id: newRunId(), plan: 'p', project: null, mode: 'failover' as const, reverseOf: null };
  const begun = newRun(definition, of, AT);
  const pauseUntil = new Date(AHEAD_MS).toISOString();
  const waves = begun.waves.map((wave) => ({ ...wave, state: 'between' as const, pauseUntil }));
  const run: PlanRun = { ...begun, phase: 'running', waves };
  assert.ok(await table.add(run, besideOf(run, null, [])));
  const driver = driverOf(server.redis, { table, seenBy: () => ({}) as never, onEnd: assert.fail });
  await driver.lookAtDue();
  await driver.look(run.id);
  const found = (await table.find(run.id))?.value ?? assert.fail();
  assert.equal(lookAtMs(found), AT_MS + 60_000);
  await driver.stop();
});

test('a run whose project is gone ends, whether its VMs are looked for or checked again, and its place is free', async () => {
  await using server = await startTestRedis();
  const table = createRunTable(server.redis);
  const projects = createProjects(server.redis);
  await projects.add(projectInputSchema.parse({ id: 'gone', endpoints: null }));
  await projects.remove('gone', async () => []);
  const ends: unknown[] = [];
  const none = { list: async () => [] };
  const driver = driverOf(server.redis, {
    table,
    // Whatever else a project sees is asked for only when it is there.
    seenBy: (caller) => scopeOf(caller, { projects, inventory: { endpoints: none, sites: none } } as never),
    onEnd: (...end) => ends.push(end),
  });
  const source = { endpoint: 'host-a' };
  const seat = { name: seatOfPlace(source), taken: () => assert.fail() };
  const definition = evacuationPlan(evacuationInputSchema.parse({ source, destination: { site: 'b' } }));
  for (const begun of [{}, { phase: 'validating', attempt: 2 }] as const) {
    const of = { id: newRunId(), plan: null, project: 'gone', mode: 'evacuation' as const, reverseOf: null };
    const run: PlanRun = { ...newRun(definition, of, AT), ...begun };
    assert.ok(await table.add(run, { ...besideOf(run, null, []), seat }));
    await driver.look(run.id);
    const { phase, message, endedAt } = (await table.find(run.id))?.value ?? assert.fail();
    assert.deepEqual([phase, endedAt], ['failed', AT]);
    assert.equal(message, 'Its project gone was removed before anything moved.');
    assert.equal(await table.holderOf(seat.name), undefined);
  }
  assert.deepEqual(ends, Array(2).fill(['evacuation', 'failed']));
  await driver.stop();
});
