/** Changes of what a schedule starts: the API takes an action whole, and people name only what shall be another. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scheduleChangeSchema, scheduleSchema } from '../../orchestrator/src/schemas/schedule.ts';
import { answer, fakeOrchestrator, problem, sampleMigration } from './fake-orchestrator.ts';
import { lmas } from './fake-terminal.ts';

const DRILL = { kind: 'plan', plan: 'payments', mode: 'drill' };
const { request } = sampleMigration();
const MIGRATION = {
  kind: 'migration',
  migration: {
    ...request,
    ...{ networkMap: { lan: 'lan-b' }, transport: 'direct', options: { tls: true }, labels: { team: 'payments' } },
  },
};

/** What `lmas schedule set x …` makes of an action that is stored; `etags` are those of one read after the other. */
async function changed(action: object, flags: readonly string[]) {
  await using fake = await fakeOrchestrator();
  const stored = scheduleSchema.parse({
    ...{ id: 'x', project: null, state: 'active', nextAt: null, current: null, waiting: null, pausedAt: null },
    ...{ createdAt: '2026-01-01T00:00:00.000Z', trigger: { kind: 'cron', expression: '0 3 * * *' }, action },
  });
  let reads = 0;
  fake.on('GET /v1/schedules/x', (_, response) => {
    reads += 1;
    response.writeHead(200, { 'content-type': 'application/json', etag: `"${reads}"` }).end(JSON.stringify(stored));
  });
  // Somebody else is quicker once.
  fake.on('PATCH /v1/schedules/x', (call, response) => {
    if (call.headers['if-match'] === '"2"') answer(200, scheduleSchema, stored)(call, response);
    else problem(412, 'PRECONDITION_FAILED', 'changed meanwhile')(call, response);
  });
  const { code, err } = await lmas(fake, 'schedule', 'set', 'x', ...flags);
  const sent = fake.calls.filter(({ method }) => method === 'PATCH').at(-1)?.body;
  return { code, err, sent: sent === undefined ? undefined : scheduleChangeSchema.parse(sent) };
}

test('a rehearsal of one plan becomes a rehearsal of another one', async () => {
  const { code, err, sent } = await changed(DRILL, ['--plan', 'payments-2']);
  assert.equal(code, 0, err);
  assert.deepEqual(sent, { action: { ...DRILL, plan: 'payments-2' } });
});

test('the mode alone is changed', async () => {
  const { code, err, sent } = await changed(DRILL, ['--mode', 'validate', '--missed', 'skip']);
  assert.equal(code, 0, err);
  assert.deepEqual(sent, { action: { ...DRILL, mode: 'validate' }, missed: 'skip' });
});

test('a migration keeps its maps, its way, its options and its labels', async () => {
  const flags = ['--vm', 'web-2', '--from', 'host-a', '--to', 'host-c'];
  const { code, err, sent } = await changed(MIGRATION, flags);
  assert.equal(code, 0, err);
  assert.deepEqual(sent, {
    action: { ...MIGRATION, migration: { ...MIGRATION.migration, vm: 'web-2', destination: 'host-c' } },
  });
});

test('one end of a migration alone is changed', async () => {
  const { code, err, sent } = await changed(MIGRATION, ['--to', 'host-c']);
  assert.equal(code, 0, err);
  assert.deepEqual(sent, { action: { ...MIGRATION, migration: { ...MIGRATION.migration, destination: 'host-c' } } });
});

test('an action of another kind is a new one', async () => {
  assert.deepEqual((await changed(MIGRATION, ['--policy', 'hall-1'])).sent, {
    action: { kind: 'balancing', policy: 'hall-1' },
  });
  assert.deepEqual((await changed(MIGRATION, ['--plan', 'payments', '--mode', 'drill'])).sent, { action: DRILL });
  const { sent } = await changed(DRILL, ['--vm', 'web-1', '--from', 'a', '--to', 'b']);
  assert.equal(sent?.action?.kind === 'migration' ? sent.action.migration.vm : undefined, 'web-1');
});

test('what does not fit what is stored is refused, and nothing is sent', async () => {
  const none = { code: 2, sent: undefined };
  for (const [action, flags, said] of [
    [MIGRATION, ['--mode', 'drill'], /runs no plan/],
    [DRILL, ['--to', 'host-c'], /not said what shall be started/],
    [DRILL, ['--plan', 'payments', '--to', 'host-c'], /cannot be used with/],
    [MIGRATION, ['--vm', 'web-2', '--mode', 'drill'], /cannot be used with/],
  ] as const) {
    const { err, ...rest } = await changed(action, flags);
    assert.deepEqual(rest, none);
    assert.match(err, said);
  }
});
