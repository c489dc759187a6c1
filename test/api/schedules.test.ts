/** Schedules over REST, with a real Redis and hosts in memory; killed and started again. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HistoryEntry, Schedule } from '../../apps/orchestrator/src/schedules/record.ts';
import { receiveWebhooks } from '../support/webhook-receiver.ts';
import { OrchestratorProcess } from '../workflow/child.ts';
import { type Stage, setStage, temporaryDirectory } from '../workflow/harness.ts';

const directory = await temporaryDirectory();
const orchestrator = new OrchestratorProcess(directory.path, { LMAS_WEBHOOK_ALLOW: '127.0.0.0/8' });
const api = () => orchestrator.api;
let stage: Stage;
before(async () => {
  await orchestrator.start();
  stage = await setStage(api, directory.path);
});
after(async () => {
  await stage[Symbol.asyncDispose]();
  await orchestrator[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});

const action = ({ vmId: vm, source, destination }: Stage) => ({
  kind: 'migration',
  migration: { vm, source, destination, options: { durationMs: 20 } },
});
const inMs = (ms: number) => ({ kind: 'once', at: new Date(Date.now() + ms).toISOString() });
const yearly = { kind: 'cron', expression: '0 0 1 1 *' };
const historyOf = async (id: string) =>
  (await api().must<{ items: HistoryEntry[] }>('GET', `/v1/schedules/${id}/history`)).items;

async function until(id: string, event: HistoryEntry['event']): Promise<HistoryEntry> {
  for (const deadline = performance.now() + 20_000; performance.now() < deadline; await sleep(50)) {
    const found = (await historyOf(id)).find((entry) => entry.event === event);
    if (found !== undefined) return found;
  }
  assert.fail(`${id} never ${event}: ${JSON.stringify(await historyOf(id))}`);
}

test('a migration begins at its time, webhooks tell of it, and the history how it ended', async () => {
  await using receiver = await receiveWebhooks();
  await api().must('POST', '/v1/webhooks', {
    id: 'told',
    url: receiver.url,
    events: ['schedule.started', 'schedule.succeeded'],
  });
  const dueMs = Date.now() + 700;
  const trigger = { kind: 'once', at: new Date(dueMs).toISOString() };
  await api().must('POST', '/v1/schedules', { id: 'tonight', action: action(stage), trigger });
  const { run } = await until('tonight', 'succeeded');
  const migration = await api().migration(run?.id ?? '');
  assert.equal(migration.where, 'destination');
  assert.ok(Date.parse(migration.createdAt) >= dueMs, 'not before its time');
  assert.equal((await api().must<Schedule>('GET', '/v1/schedules/tonight')).state, 'finished');
  const messages = (await receiver.until(2)).map(
    ({ body }) => JSON.parse(body) as { type: string; data: { id: string; run: object } },
  );
  assert.deepEqual(
    messages.map(({ type, data }) => [type, data.id]),
    [
      ['schedule.started', 'tonight'],
      ['schedule.succeeded', 'tonight'],
    ],
  );
  await api().must('DELETE', '/v1/webhooks/told');
});

test('killed before its time and started after it: it is made up for, once', async () => {
  await using world = await setStage(api, directory.path);
  await api().must('POST', '/v1/schedules', {
    id: 'away',
    action: action(world),
    trigger: inMs(400),
    missed: 'run-now',
  });
  await orchestrator.end('SIGKILL');
  await sleep(500);
  await orchestrator.start();
  await until('away', 'succeeded');
  assert.equal((await historyOf('away')).filter(({ event }) => event === 'started').length, 1);
  assert.equal(world.world.performs.get(world.vmId), 1);
});

test('killed while its migration runs: it follows it to the end, and starts no other', async () => {
  await using world = await setStage(api, directory.path);
  const hold = world.world.faults.arm('source.perform', 'hold-before');
  await api().must('POST', '/v1/schedules', { id: 'half-way', action: action(world), trigger: yearly });
  await api().must('POST', '/v1/schedules/half-way/run');

  await hold.reached;
  await orchestrator.end('SIGKILL');
  await orchestrator.start();
  hold.release();
  await until('half-way', 'failed'); // interrupted before the hand-over: never begun a second time blindly
  const started = (await historyOf('half-way')).filter(({ event }) => event === 'started');
  assert.equal(started.length, 1);
  assert.ok((world.world.performs.get(world.vmId) ?? 0) <= 1);
});

test('what makes no sense is refused with every reason, also what it would move', async () => {
  const answer = await api().call('POST', '/v1/schedules', {
    id: 'senseless',
    action: { kind: 'migration', migration: { vm: 'x', source: 'nowhere', destination: 'elsewhere' } },
    trigger: { kind: 'cron', expression: '* * * * * *' },
    windows: [{ kind: 'dates', from: '2020-01-01T00:00:00Z', to: '2020-01-02T00:00:00Z' }],
  });
  assert.deepEqual([answer.status, answer.body.code], [422, 'INVALID_SCHEDULE']);
  const reasons = (answer.body.errors as { path: string }[]).map(({ path }) => path);
  assert.deepEqual(
    reasons,
    ['trigger.expression', 'action.migration', 'windows'],
    'when, and what, before the windows',
  );
  const zone = await api().call('POST', '/v1/schedules', {
    id: 'x',
    action: action(stage),
    trigger: yearly,
    timeZone: 'Mars/Olympus',
  });
  assert.deepEqual([zone.status, zone.body.code], [400, 'INVALID_REQUEST']);
  const preview = await api()
    .must<{ items: { notes: string[] }[] }>('POST', '/v1/schedule-previews?count=400', {
      id: 'night',
      action: action(stage),
      trigger: { kind: 'cron', expression: '30 2 * * *' },
      timeZone: 'Europe/Berlin',
    })
    .catch(() => undefined);
  assert.equal(preview, undefined, 'more than 100 are not shown at once');
});

test('a VM that nobody has is refused; one that is at the destination now, or at a silent host, is not', async () => {
  await using world = await setStage(api, directory.path);
  const of = (migration: object) => ({
    ...{ id: world.vmName, trigger: yearly },
    action: { kind: 'migration', migration: { ...action(world).migration, ...migration } },
  });
  const typo = await api().call('POST', '/v1/schedules', of({ vm: 'typo' }));
  assert.deepEqual([typo.status, typo.body.code], [422, 'INVALID_SCHEDULE']);
  const [reason, ...others] = typo.body.errors as { path: string; message: string }[];
  assert.deepEqual([reason?.path, others], ['action.migration.vm', []]);
  assert.match(reason?.message ?? '', /there is no VM typo at .* \(VM_NOT_FOUND\)/);
  await api().must('POST', '/v1/schedules', of({ source: world.destination, destination: world.source }));
  await api().must('DELETE', `/v1/schedules/${world.vmName}`);
  world.server.goAway();
  await api().must('POST', '/v1/schedules', of({ vm: 'typo' }));
  world.server.comeBack();
  await api().must('DELETE', `/v1/schedules/${world.vmName}`);
});

test('changes need the version that was seen; projects see their own only', async () => {
  await api().must('POST', '/v1/schedules', { id: 'edited', action: action(stage), trigger: yearly });
  const seen = await api().call('GET', '/v1/schedules/edited');
  const tag = seen.headers.get('etag') ?? '';
  assert.equal((await api().call('PATCH', '/v1/schedules/edited', { description: 'x' })).status, 428);
  const changed = await api().call('PATCH', '/v1/schedules/edited', { description: 'x' }, { 'if-match': tag });
  assert.equal(changed.status, 200);
  assert.equal(
    (await api().call('PATCH', '/v1/schedules/edited', { description: 'y' }, { 'if-match': tag })).status,
    412,
  );
  assert.equal((await api().must<Schedule>('POST', '/v1/schedules/edited/pause')).state, 'paused');
  assert.equal((await api().call('POST', '/v1/schedules/edited/run')).body.code, 'SCHEDULE_PAUSED');
  assert.equal((await api().must<Schedule>('POST', '/v1/schedules/edited/resume')).state, 'active');

  await api().must('POST', '/v1/projects', { id: 'tenant', endpoints: [stage.source] });
  const { key } = await api().must<{ key: string }>('POST', '/v1/api-keys', {
    name: 't',
    role: 'operator',
    project: 'tenant',
  });
  const theirs = { authorization: `Bearer ${key}` };
  assert.equal((await api().call('GET', '/v1/schedules/edited', undefined, theirs)).body.code, 'SCHEDULE_NOT_FOUND');
  assert.equal((await api().call('DELETE', '/v1/schedules/edited', undefined, theirs)).status, 404);
  assert.deepEqual((await api().call('GET', '/v1/schedules', undefined, theirs)).body.items, []);
  const foreign = await api().call(
    'POST',
    '/v1/schedules',
    { id: 'theirs', action: action(stage), trigger: yearly },
    theirs,
  );
  assert.equal(foreign.body.code, 'INVALID_SCHEDULE', 'an endpoint that was not given to them');
  await api().must('DELETE', '/v1/schedules/edited');
});
