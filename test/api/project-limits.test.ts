/**
 * Limits of projects over REST, with a real Redis and hosts in memory: one tenant cannot fill the installation, and what it had
 * planned before a limit was set is done all the same, within it.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Project } from '../../apps/orchestrator/src/access/projects.ts';
import type { Orchestrator } from '../../apps/orchestrator/src/main.ts';
import type { Migration } from '../../apps/orchestrator/src/migrations/record.ts';
import type { PlanRun } from '../../apps/orchestrator/src/plans/record.ts';
import type { HistoryEntry, Schedule } from '../../apps/orchestrator/src/schedules/record.ts';
import { type Answer, Api, type Stage, setStage, startInProcess, temporaryDirectory } from '../workflow/harness.ts';

const directory = await temporaryDirectory();
let orchestrator: Orchestrator;
let admin: Api;
let stage: Stage;
let projects = 0;
/** Of this test: its name, and somebody who is bound to it. */
let red: { readonly id: string; readonly api: Api };
before(async () => {
  orchestrator = await startInProcess(directory.path);
  admin = await Api.of(orchestrator);
  stage = await setStage(() => admin, directory.path);
});
beforeEach(async () => {
  red = await makeProject('red');
});
after(async () => {
  await stage[Symbol.asyncDispose]();
  await orchestrator.stop();
  await directory[Symbol.asyncDispose]();
});

async function makeProject(name: string, limits: object = {}) {
  projects += 1;
  const id = `${name}-${projects}`;
  await admin.must('POST', '/v1/projects', { id, endpoints: [stage.source, stage.destination], limits });
  const login = { name, role: 'operator', project: id };
  const { key } = await admin.must<{ key: string }>('POST', '/v1/api-keys', login);
  return { id, api: new Api(admin.url, key) };
}
const limit = ({ id }: { readonly id: string }, limits: object) =>
  admin.must<Project>('PATCH', `/v1/projects/${id}`, { limits }, { 'if-match': '*' });

/** A request for a VM of its own. */
function request(more: object = {}) {
  const vm = randomUUID();
  stage.world.addVm('source', { id: vm, name: `vm-${vm.slice(0, 8)}` });
  const options = { durationMs: 20 };
  return { vm, source: stage.source, destination: stage.destination, options, ...more };
}
const submit = (api: Api, more: object = {}) => api.must<Migration>('POST', '/v1/migrations', request(more));
function refused({ status, body }: Answer, code: string, detail: RegExp): void {
  assert.deepEqual([status, body.code], [code === 'PROJECT_QUEUE_FULL' ? 409 : 422, code], JSON.stringify(body));
  assert.match(JSON.stringify(body), detail);
}

async function eventually<T>(look: () => Promise<T>, condition: (seen: T) => boolean): Promise<T> {
  let seen: T | undefined;
  for (const deadline = performance.now() + 20_000; performance.now() < deadline; await sleep(30)) {
    seen = await look();
    if (condition(seen)) return seen;
  }
  assert.fail(`still ${JSON.stringify(seen)}`);
}
const plan = (vms: readonly string[], migration: object = {}) => ({
  waves: [
    {
      vms: vms.map((vm) => ({
        ...{ kind: 'vm', vm },
        ...{ source: { endpoint: stage.source }, destination: { endpoint: stage.destination } },
      })),
      concurrency: 5,
    },
  ],
  migration: { options: { durationMs: 20 }, retries: { max: 0 }, ...migration },
});

test('one project takes so many places and no more, says why the rest waits, and is refused past its queue', async () => {
  const blue = await makeProject('blue');
  const failed = await submit(red.api, { vm: 'nobody', retries: { max: 0 } });
  assert.equal((await red.api.ended(failed.id)).phase, 'failed');
  await limit(red, { maxMigrations: 1, maxWaiting: 2 });
  const hold = stage.world.faults.arm('source.perform', 'hold-before');
  const { id: first } = await submit(red.api, { priority: 90 });
  await hold.reached;
  const waiting = [await submit(red.api, { priority: 90 }), await submit(red.api, { priority: 90 })];
  await submit(blue.api).then(({ id }) => blue.api.ended(id));
  const path = '/v1/queue/migrations';
  for (const api of [red.api, admin]) {
    const { items } = await api.must<{ items: Migration[] }>('GET', path);
    assert.deepEqual(
      items.map(({ id, waiting }) => [id, waiting?.reason]),
      waiting.map(({ id }) => [id, `waits for a place: project ${red.id} allows 1`]),
    );
  }
  assert.deepEqual((await blue.api.must<{ items: Migration[] }>('GET', path)).items, []);
  const one = request();
  const full = await red.api.call('POST', '/v1/migrations', one);
  refused(full, 'PROJECT_QUEUE_FULL', /2 migrations wait; it may have 2 waiting\. .*--max-waiting/);
  refused(await admin.call('POST', `/v1/migrations/${failed.id}/retry`), 'PROJECT_QUEUE_FULL', /2 waiting/);

  await limit(red, { maxWaiting: 3 });
  const { id: last } = await red.api.must<Migration>('POST', '/v1/migrations', one);
  await limit(red, { maxMigrations: 2 });
  for (const { id } of waiting) await red.api.ended(id);
  await red.api.ended(last);
  assert.equal((await red.api.migration(first)).phase, 'performing', 'nothing that runs is touched');
  hold.release();
  assert.equal((await red.api.ended(first)).phase, 'succeeded');
});

test('limits are set with a project or later, one by one, by who sees all, and by the version that was seen', async () => {
  const limits = { maxMigrations: 5, maxWaiting: 200, maxPriority: 60 };
  const { id, api } = await makeProject('set', limits);
  const path = `/v1/projects/${id}`;
  const seen = await api.call('GET', path);
  assert.deepEqual(seen.body.limits, limits);
  const tag = { 'if-match': seen.headers.get('etag') ?? '' };
  assert.equal((await api.call('PATCH', path, { limits: { maxMigrations: null } }, tag)).body.code, 'FORBIDDEN');
  const changed = await admin.call('PATCH', path, { limits: { maxMigrations: null } }, tag);
  assert.deepEqual(changed.body.limits, { ...limits, maxMigrations: null });
  const late = await admin.call('PATCH', path, { limits: { maxMigrations: 1 } }, tag);
  assert.equal(late.body.code, 'PRECONDITION_FAILED');
  const listed = await admin.must<{ items: Project[] }>('GET', '/v1/projects');
  assert.deepEqual(listed.items.find((one) => one.id === id)?.limits, { ...limits, maxMigrations: null });
  const none = { maxMigrations: null, maxWaiting: null, maxPriority: null };
  assert.deepEqual(listed.items.find((one) => one.id === red.id)?.limits, none);
  assert.equal((await admin.call('PATCH', path, { limits: { maxPriority: 101 } }, tag)).status, 400);
});

test('a higher priority than its project may ask for is refused; one that nobody asked for is lowered', async () => {
  await limit(red, { maxPriority: 30 });
  const high = request({ priority: 31 });
  const words = new RegExp(`Project ${red.id} may ask for priority 30 at most, and not for 31\\..*"path":"priority"`);
  for (const path of ['/v1/migrations', '/v1/migration-checks'])
    refused(await red.api.call('POST', path, high), 'PRIORITY_TOO_HIGH', words);
  const trigger = { kind: 'cron', expression: '0 0 1 1 *' };
  const action = { kind: 'migration', migration: high };
  const schedule = await red.api.call('POST', '/v1/schedules', { id: 'high', action, trigger });
  refused(schedule, 'INVALID_SCHEDULE', /PRIORITY_TOO_HIGH/);
  refused(
    await red.api.call('PUT', '/v1/plans/high', plan([high.vm], { priority: 31 })),
    'INVALID_PLAN',
    /PRIORITY_TOO_/,
  );
  const priorities = await Promise.all([{}, { priority: 30 }, { priority: 1 }].map((more) => submit(red.api, more)));
  assert.deepEqual(
    priorities.map(({ request: { priority } }) => priority),
    [30, 30, 1],
  );
  assert.equal((await submit(admin, { priority: 100 })).request.priority, 100);
  await red.api.must('POST', '/v1/migration-checks', request());
});

test('what a schedule and a plan had been made with before the limit goes with the highest priority that is left', async () => {
  const [one, other] = [request({ priority: 80 }), request()];
  const trigger = { kind: 'cron', expression: '0 0 1 1 *' };
  const action = { kind: 'migration', migration: one };
  await red.api.must('POST', '/v1/schedules', { id: 'yearly', action, trigger });
  await red.api.must('PUT', '/v1/plans/all', plan([other.vm], { priority: 80 }));
  await limit(red, { maxPriority: 60 });
  await red.api.must('POST', '/v1/schedules/yearly/run');
  const run = await red.api.must<PlanRun>('POST', '/v1/plans/all/runs', { mode: 'failover' });
  const ended = await eventually(
    () => red.api.must<PlanRun>('GET', `/v1/plan-runs/${run.id}`),
    ({ endedAt }) => endedAt !== null,
  );
  assert.equal(ended.phase, 'succeeded', ended.message);
  const history = await eventually(historyOf('yearly'), ([last]) => last?.event === 'succeeded');
  for (const id of [ended.items[0]?.migrations[0], history[0]?.run?.id])
    assert.equal((await red.api.migration(id ?? '')).request.priority, 60);
  const kept = await red.api.must<Schedule>('GET', '/v1/schedules/yearly');
  assert.deepEqual(kept.action.kind === 'migration' && kept.action.migration.priority, 80, 'it stays as it was made');
});

const historyOf = (id: string) => async () =>
  (await red.api.must<{ items: HistoryEntry[] }>('GET', `/v1/schedules/${id}/history`)).items;

test('a plan and a schedule wait for room in the queue of their project, say so, and lose nothing', async () => {
  const [one, two, scheduled, skipped] = [request(), request(), request(), request()];
  const trigger = { kind: 'cron', expression: '0 0 1 1 *' };
  await red.api.must('PUT', '/v1/plans/both', plan([one.vm, two.vm]));
  for (const [id, migration, overlap] of [['patient', scheduled, 'queue'] as const, ['busy', skipped, 'skip'] as const])
    await red.api.must('POST', '/v1/schedules', { id, action: { kind: 'migration', migration }, trigger, overlap });
  await limit(red, { maxMigrations: 0, maxWaiting: 2 });
  const blocking = await submit(red.api);

  const { id } = await red.api.must<PlanRun>('POST', '/v1/plans/both/runs', { mode: 'failover' });
  const look = () => red.api.must<PlanRun>('GET', `/v1/plan-runs/${id}`);
  const codesOf = ({ items }: PlanRun) => items.map(({ findings }) => findings.map(({ code }) => code));
  const held = await eventually(look, (run) => codesOf(run).flat().includes('PROJECT_QUEUE_FULL'));
  assert.match(held.message, /: not ordered yet\. Of project \S+ 2 migrations wait; it may have 2 waiting\.$/);
  assert.deepEqual(
    held.items.map(({ state }) => state),
    ['moving', 'moving'],
  );
  for (const schedule of ['patient', 'busy']) await red.api.must('POST', `/v1/schedules/${schedule}/run`);
  await eventually(historyOf('patient'), ([last]) => last?.event === 'waits' && last.code === 'PROJECT_QUEUE_FULL');
  await eventually(historyOf('busy'), ([last]) => last?.event === 'skipped' && last.code === 'PROJECT_QUEUE_FULL');

  await limit(red, { maxMigrations: null });
  await red.api.ended(blocking.id);
  const ended = await eventually(look, ({ endedAt }) => endedAt !== null);
  assert.equal(ended.phase, 'succeeded', ended.message);
  assert.deepEqual(codesOf(ended), [[], []]);
  const { timeline } = await red.api.must<{ timeline: { code: string | null }[] }>('GET', `/v1/plan-runs/${id}/report`);
  assert.equal(
    timeline.filter(({ code }) => code === 'PROJECT_QUEUE_FULL').length,
    1,
    'said once, however often it is tried',
  );
});
