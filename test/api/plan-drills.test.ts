/** Rehearsals of plans over REST, with a real Redis and hosts in memory: every copy is undone, whatever failed, and no VM is touched. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ISOLATED_NETWORK } from '@lmas/plugin-simulated/world';
import type { PlanReport, PlanRun } from '../../apps/orchestrator/src/plans/record.ts';
import { type Ended, lmas } from '../support/lmas.ts';
import { OrchestratorProcess } from '../workflow/child.ts';
import { type Stage, setStage, temporaryDirectory } from '../workflow/harness.ts';

const directory = await temporaryDirectory();
const orchestrator = new OrchestratorProcess(directory.path, { LMAS_PLAN_CHECK_ALLOW: '127.0.0.0/8' });
const api = () => orchestrator.api;
before(() => orchestrator.start());
after(async () => {
  await orchestrator[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});

interface Setting extends AsyncDisposable {
  readonly stage: Stage;
  readonly ids: Readonly<Record<string, string>>;
}

/** A pair of hosts with VMs of these names at the source. */
async function withVms(...names: string[]): Promise<Setting> {
  const stage = await setStage(api, directory.path);
  const ids = Object.fromEntries(names.map((name) => [name, randomUUID()]));
  for (const [name, id] of Object.entries(ids)) stage.world.addVm('source', { id, name });
  return { stage, ids, [Symbol.asyncDispose]: () => stage[Symbol.asyncDispose]() };
}

const vms = ({ source, destination }: Stage, ...names: string[]) =>
  names.map((vm) => ({ kind: 'vm', vm, source: { endpoint: source }, destination: { endpoint: destination } }));
const HOUR_MS = 3_600_000;

async function rehearse(id: string, waves: object[], keepMs: number): Promise<PlanRun> {
  const migration = { options: { durationMs: 20 }, retries: { max: 2, backOffMs: 100 } };
  const drill = { networks: { default: ISOLATED_NETWORK }, keepMs };
  await api().must('PUT', `/v1/plans/${id}`, { waves, migration, drill, rtoMs: HOUR_MS });
  return await api().must<PlanRun>('POST', `/v1/plans/${id}/runs`, { mode: 'drill' });
}

async function until(id: string, condition: (run: PlanRun) => boolean): Promise<PlanRun> {
  let run: PlanRun | undefined;
  for (const deadline = performance.now() + 30_000; performance.now() < deadline; await sleep(50)) {
    const answer = await api().call('GET', `/v1/plan-runs/${id}`);
    run = answer.status === 200 ? (answer.body as unknown as PlanRun) : undefined;
    if (run !== undefined && condition(run)) return run;
  }
  assert.fail(`still ${JSON.stringify(run)}`);
}
const ended = (id: string) => until(id, ({ endedAt }) => endedAt !== null);
const kept = (id: string) => until(id, ({ phase }) => phase === 'keeping');
/** What a person reads, whatever the lines are broken at. */
async function command(...args: string[]): Promise<Ended> {
  const ended = await lmas(args, { LMAS_URL: api().url, LMAS_DATA_DIR: directory.path });
  return { ...ended, out: ended.out.replace(/\s+/g, ' ') };
}
const cancel = (id: string) => api().must('POST', `/v1/plan-runs/${id}/cancel`);
const states = ({ items }: PlanRun) => Object.fromEntries(items.map(({ vm, state }) => [vm.name, state]));

function assertUntouched({ stage: { world }, ids }: Setting): void {
  assert.deepEqual(world.violations, []);
  assert.deepEqual(world.drills.leftovers, []);
  assert.deepEqual(world.vms('destination'), []);
  assert.deepEqual([...world.gateways.keys()], []);
  for (const [name, id] of Object.entries(ids)) {
    assert.deepEqual(world.running(id), ['source'], name);
    assert.equal(world.performs.get(id), undefined, `${name} was moved`);
  }
}

test('two waves with a check between them: copies come up in order, are kept and undone; the report says how long each took', async () => {
  await using setting = await withVms('db', 'web-1', 'web-2');
  const listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as { port: number };
  const checks = [{ kind: 'tcp', host: '127.0.0.1', port }];
  const { id } = await rehearse(
    'both-waves',
    [{ vms: vms(setting.stage, 'db'), afterwards: { checks } }, { vms: vms(setting.stage, 'web-1', 'web-2') }],
    HOUR_MS,
  );
  const keeping = await kept(id);
  assert.equal(setting.stage.world.drills.copies.size, 3);
  assert.deepEqual(states(keeping), { db: 'copied', 'web-1': 'copied', 'web-2': 'copied' });
  assert.ok(
    (keeping.items[1]?.startedAt ?? '') >= (keeping.items[0]?.rehearsal?.upAt ?? ''),
    'one wave after the other',
  );
  assert.equal(keeping.waves[0]?.checks[0]?.passed, true);
  await cancel(id);
  const run = await ended(id);
  listener.close();
  assert.deepEqual(
    [run.phase, states(run)],
    ['succeeded', { db: 'rehearsed', 'web-1': 'rehearsed', 'web-2': 'rehearsed' }],
  );
  assertUntouched(setting);
  const { summary } = await api().must<PlanReport>('GET', `/v1/plan-runs/${id}/report`);
  assert.deepEqual(
    summary.rehearsed.map(({ vm, fitsRto }) => [vm, fitsRto]),
    [
      ['db', true],
      ['web-1', true],
      ['web-2', true],
    ],
  );
  assert.deepEqual([summary.moved, summary.remaining], [[], []]);
  const page = await fetch(`${api().url}/v1/plan-runs/${id}/report.html`, {
    headers: { authorization: `Bearer ${api().key}` },
  });
  assert.match(await page.text(), /What was rehearsed/);
});

test('whose checks say no is told and the others are rehearsed; what fails stops the next wave, and everything is undone', async () => {
  await using setting = await withVms('fine', 'refused', 'broken', 'late');
  const { stage, ids } = setting;
  stage.world.faults.arm('source.find', 'before', { vm: ids.refused ?? '' });
  stage.world.faults.arm('source.copy-disks', 'before', { vm: ids.broken ?? '' });
  const { id } = await rehearse(
    'partly',
    [{ vms: vms(stage, 'fine', 'refused', 'broken'), concurrency: 1 }, { vms: vms(stage, 'late') }],
    100,
  );
  const run = await ended(id);
  assert.deepEqual(
    [run.phase, states(run)],
    ['failed', { fine: 'rehearsed', refused: 'refused', broken: 'failed', late: 'skipped' }],
  );
  assertUntouched(setting);
  const { summary } = await api().must<PlanReport>('GET', `/v1/plan-runs/${id}/report`);
  assert.deepEqual(
    summary.remaining.map(({ vm }) => vm),
    ['refused', 'broken', 'late'],
  );
  assert.ok(summary.remaining.every(({ why, at }) => why !== '' && at === stage.source));
});

test('what a silent host has, and what is off, was not rehearsed: the run ends as failed, and its report and `lmas plan run` say so', async () => {
  await using setting = await withVms('seen', 'resting');
  const { stage, ids } = setting;
  stage.world.powerOff('source', ids.resting ?? '');
  const silent = `${stage.source}-silent`;
  const config = { socketPath: join(directory.path, 'nobody.sock'), host: 'other' };
  const credential = stage.source.replace(/-source$/, '');
  await api().must('POST', '/v1/endpoints', {
    ...{ id: silent, site: stage.source, plugin: 'simulated', credential, config },
  });
  const site = { kind: 'site', source: stage.source, destination: { endpoint: stage.destination } };
  const drill = { networks: { default: ISOLATED_NETWORK }, keepMs: 0 };
  const half = { waves: [{ vms: [site] }], migration: { options: { durationMs: 20 } }, drill };
  await api().must('PUT', '/v1/plans/half', { ...half, silent: 'leave', poweredOff: 'leave' });
  const shown = await command('plan', 'run', 'half', '--mode', 'drill', '--watch');
  const said = `Not rehearsed, since only what runs can be: resting. ${silent} did not answer: what it has was not rehearsed.`;
  assert.equal(shown.code, 1, shown.err);
  assert.ok(shown.out.includes(said), shown.out);
  const id = /r_[0-9a-f-]{36}/.exec(shown.out)?.[0] ?? assert.fail(shown.out);
  const run = await ended(id);
  assert.deepEqual([run.phase, run.message], ['failed', `Every copy came up, and was undone. ${said}`]);
  assert.deepEqual(
    run.reasons.map(({ code, endpoint }) => [code, endpoint]),
    [['ENDPOINT_SILENT', silent]],
  );
  const { out: report } = await command('plan', 'report', id);
  assert.ok(report.includes(said), report);
  await api().must('DELETE', `/v1/endpoints/${silent}`);
});

test('a copy is its drill’s: an evacuation of the host where it runs leaves it there', async () => {
  await using setting = await withVms('db');
  const { source, destination } = setting.stage;
  const run = await rehearse('kept-here', [{ vms: vms(setting.stage, 'db') }], HOUR_MS);
  await kept(run.id);
  const { items } = await ended(
    (
      await api().must<PlanRun>('POST', '/v1/evacuations', {
        ...{ source: { endpoint: destination }, destination: { endpoint: source } },
      })
    ).id,
  );
  assert.deepEqual(
    items.map(({ state, findings }) => [state, findings.map(({ code }) => code)]),
    [['refused', ['MANAGED_BY_OTHER']]],
  );
  await cancel(run.id);
  await ended(run.id);
  assertUntouched(setting);
});

test('a cancel in a wave undoes what came up and what is being made', async () => {
  await using setting = await withVms('first', 'second');
  const hold = setting.stage.world.faults.arm('source.copy-disks', 'hold-before', { vm: setting.ids.second ?? '' });
  const waves = [{ vms: vms(setting.stage, 'first') }, { vms: vms(setting.stage, 'second') }];
  const { id } = await rehearse('cancelled', waves, HOUR_MS);
  await hold.reached;
  assert.equal(setting.stage.world.drills.copies.size, 1);
  await cancel(id);
  await until(id, ({ phase }) => phase === 'undoing'); // its copies are told by then
  hold.release();
  const run = await ended(id);
  assert.deepEqual([run.phase, states(run)], ['cancelled', { first: 'rehearsed', second: 'cancelled' }]);
  assertUntouched(setting);
});

test('an orchestrator that is killed in a wave, and again while the copies are kept, goes on to the end', async () => {
  await using setting = await withVms('one', 'two');
  const hold = setting.stage.world.faults.arm('source.copy-disks', 'hold-before', { vm: setting.ids.two ?? '' });
  const { id } = await rehearse('killed', [{ vms: vms(setting.stage, 'one', 'two') }], HOUR_MS);
  await hold.reached;
  await orchestrator.end('SIGKILL');
  hold.release();
  await orchestrator.start();
  await kept(id);
  await orchestrator.end('SIGKILL');
  await orchestrator.start();
  assert.deepEqual((await kept(id)).phase, 'keeping');
  assert.equal(setting.stage.world.drills.copies.size, 2);
  await cancel(id);
  const run = await ended(id);
  assert.deepEqual([run.phase, states(run)], ['succeeded', { one: 'rehearsed', two: 'rehearsed' }], run.message);
  assertUntouched(setting);
});
