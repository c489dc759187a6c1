/** Plans over REST, with a real Redis and hosts in memory: waves, checks, failures, the way back, and kills in between. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PlanReport, PlanRun } from '../../apps/orchestrator/src/plans/record.ts';
import type { HistoryEntry } from '../../apps/orchestrator/src/schedules/record.ts';
import { receiveWebhooks } from '../support/webhook-receiver.ts';
import { OrchestratorProcess } from '../workflow/child.ts';
import { freePort, type Stage, setStage, temporaryDirectory } from '../workflow/harness.ts';

const directory = await temporaryDirectory();
const allowed = { LMAS_PLAN_CHECK_ALLOW: '127.0.0.0/8', LMAS_WEBHOOK_ALLOW: '127.0.0.0/8' };
const orchestrator = new OrchestratorProcess(directory.path, allowed);
const api = () => orchestrator.api;
before(() => orchestrator.start());
after(async () => {
  await orchestrator[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});

/** A pair of hosts with VMs of these names at the source; their ids by name. */
async function withVms(...names: string[]): Promise<{ stage: Stage; ids: Record<string, string> } & AsyncDisposable> {
  const stage = await setStage(api, directory.path);
  const ids = Object.fromEntries(names.map((name) => [name, randomUUID()]));
  for (const [name, id] of Object.entries(ids)) stage.world.addVm('source', { id, name });
  return { stage, ids, [Symbol.asyncDispose]: () => stage[Symbol.asyncDispose]() };
}

const QUICK = { options: { durationMs: 20 }, retries: { max: 0 } };
const vms = ({ source, destination }: Stage, ...names: string[]) =>
  names.map((vm) => ({ kind: 'vm', vm, source: { endpoint: source }, destination: { endpoint: destination } }));

async function store(id: string, waves: object[], more: object = {}): Promise<void> {
  await api().must('PUT', `/v1/plans/${id}`, { waves, migration: QUICK, ...more });
}
const start = (id: string, mode = 'failover') => api().must<PlanRun>('POST', `/v1/plans/${id}/runs`, { mode });

async function until(id: string, condition: (run: PlanRun) => boolean): Promise<PlanRun> {
  let run: PlanRun | undefined;
  for (const deadline = performance.now() + 30_000; performance.now() < deadline; await sleep(50)) {
    run = await api().must<PlanRun>('GET', `/v1/plan-runs/${id}`);
    if (condition(run)) return run;
  }
  assert.fail(`still ${JSON.stringify(run)}`);
}
const ended = (id: string) => until(id, ({ endedAt }) => endedAt !== null);
const states = ({ items }: PlanRun) => Object.fromEntries(items.map(({ vm, state }) => [vm.name, state]));

/** Never two copies, each VM where it is said to be, none moved more often than it was ordered to. */
function assertTrue(
  { stage, ids }: { stage: Stage; ids: Record<string, string> },
  where: Record<string, string>,
): void {
  assert.deepEqual(stage.world.violations, []);
  for (const [name, host] of Object.entries(where))
    assert.deepEqual(stage.world.running(ids[name] ?? ''), [host], name);
}

test('two waves with a check between them, there and back, with reports and webhooks', async () => {
  await using set = await withVms('db', 'web-1', 'web-2');
  await using receiver = await receiveWebhooks();
  const listener = await listen(await freePort());
  const { port } = listener.address() as { port: number };
  await api().must('POST', '/v1/webhooks', {
    id: 'plans',
    url: receiver.url,
    events: ['plan-run.started', 'plan-run.wave-done', 'plan-run.succeeded'],
  });
  await store('payments', [
    {
      name: 'databases',
      vms: vms(set.stage, 'db'),
      afterwards: { pauseMs: 100, checks: [{ kind: 'tcp', host: '127.0.0.1', port }] },
    },
    { name: '<b>web</b>', vms: vms(set.stage, 'web-1', 'web-2'), concurrency: 1 },
  ]);
  const run = await ended((await start('payments')).id);
  assert.equal(run.phase, 'succeeded', JSON.stringify(run));
  assert.deepEqual(
    run.items.map(({ sourceAfter }) => sourceAfter),
    ['absent', 'absent', 'absent'],
  );
  assert.equal(run.waves[0]?.checks[0]?.passed, true);
  assertTrue(set, { db: 'destination', 'web-1': 'destination', 'web-2': 'destination' });
  const [database, first, second] = run.items;
  assert.ok((first?.startedAt ?? '') >= (database?.endedAt ?? ''), 'the second wave begins after the first');
  assert.ok((second?.startedAt ?? '') >= (first?.endedAt ?? ''), 'one at a time');
  await receiver.until(4);
  listener.close();

  const report = await api().must<PlanReport>('GET', `/v1/plan-runs/${run.id}/report`);
  assert.deepEqual([report.summary.moved.length, report.summary.failed, report.summary.remaining], [3, [], []]);
  const page = await fetch(`${api().url}/v1/plan-runs/${run.id}/report.html`, {
    headers: { authorization: `Bearer ${api().key}` },
  });
  const html = await page.text();
  assert.match(page.headers.get('content-type') ?? '', /^text\/html/);
  assert.match(page.headers.get('content-security-policy') ?? '', /^default-src 'none'; style-src 'sha256-/);
  assert.ok(html.includes('&lt;b&gt;web&lt;/b&gt;') && !html.includes('<b>web'), 'names are escaped');
  assert.ok(!/<script|src=|href=/.test(html), 'it needs nothing else');

  const back = await ended((await api().must<PlanRun>('POST', `/v1/plan-runs/${run.id}/fail-back`)).id);
  assert.deepEqual([back.phase, back.mode, back.reverseOf], ['succeeded', 'failback', run.id], JSON.stringify(back));
  assertTrue(set, { db: 'source', 'web-1': 'source', 'web-2': 'source' });
  const { items } = await api().must<{ items: { id: string }[] }>('GET', '/v1/plan-runs?plan=payments');
  assert.deepEqual(
    items.map(({ id }) => id),
    [back.id, run.id],
  );
  await api().must('DELETE', '/v1/webhooks/plans');
});

test('one that fails stops the run; a retry moves it and what came after it, and nothing twice', async () => {
  await using set = await withVms('a', 'b', 'c');
  await store('halting', [{ vms: vms(set.stage, 'a', 'b'), concurrency: 1 }, { vms: vms(set.stage, 'c') }]);
  set.stage.world.faults.arm('destination.prepare', 'before', { vm: 'b', code: 'INCOMPATIBLE' });
  const { id } = await start('halting');
  const failed = await ended(id);
  assert.deepEqual([failed.phase, states(failed)], ['failed', { a: 'moved', b: 'failed', c: 'skipped' }]);
  assert.equal(failed.items[1]?.error?.code, 'INCOMPATIBLE');
  const { summary } = await api().must<PlanReport>('GET', `/v1/plan-runs/${id}/report`);
  assert.deepEqual(
    summary.remaining.map(({ vm, at }) => [vm, at]),
    [
      ['b', set.stage.source],
      ['c', set.stage.source],
    ],
  );
  await api().must('POST', `/v1/plan-runs/${id}/retry`);
  const again = await until(id, ({ attempt, endedAt }) => attempt === 2 && endedAt !== null);
  assert.deepEqual(
    [again.phase, states(again)],
    ['succeeded', { a: 'moved', b: 'moved', c: 'moved' }],
    JSON.stringify(again),
  );
  assert.deepEqual(
    again.items.map(({ migrations }) => migrations.length),
    [1, 2, 1],
  );
  for (const name of ['a', 'b', 'c']) assert.equal(set.stage.world.performs.get(set.ids[name] ?? ''), 1, name);
  assert.equal((await api().call('POST', `/v1/plan-runs/${id}/retry`)).body.code, 'RUN_STATE');
});

test('a wave that is rolled back; one that goes on', async () => {
  await using set = await withVms('a', 'b', 'c');
  await store('all-or-none', [
    { vms: vms(set.stage, 'a', 'b'), concurrency: 1, onFailure: 'roll-back' },
    { vms: vms(set.stage, 'c') },
  ]);
  set.stage.world.faults.arm('destination.prepare', 'before', { vm: 'b' });
  const run = await ended((await start('all-or-none')).id);
  assert.deepEqual(
    [run.phase, states(run)],
    ['failed', { a: 'moved-back', b: 'failed', c: 'skipped' }],
    JSON.stringify(run),
  );
  assertTrue(set, { a: 'source', b: 'source', c: 'source' });
  await store('go-on', [{ vms: vms(set.stage, 'a', 'b'), onFailure: 'go-on' }, { vms: vms(set.stage, 'c') }]);
  set.stage.world.faults.arm('destination.prepare', 'before', { vm: 'a' });
  const other = await ended((await start('go-on')).id);
  assert.deepEqual([other.phase, states(other)], ['failed', { a: 'failed', b: 'moved', c: 'moved' }]);
});

test('killed in the middle of a wave: it goes on, and orders nothing twice', async () => {
  await using set = await withVms('a', 'b', 'c');
  await store('killed', [{ vms: vms(set.stage, 'a', 'b'), onFailure: 'go-on' }, { vms: vms(set.stage, 'c') }]);
  const holds = ['a', 'b'].map((vm) => set.stage.world.faults.arm('destination.prepare', 'hold-before', { vm }));
  const { id } = await start('killed');
  await Promise.all(holds.map(({ reached }) => reached));
  await orchestrator.end('SIGKILL');
  await orchestrator.start();
  for (const hold of holds) hold.release();
  const run = await ended(id);
  assert.equal(states(run).c, 'moved');
  for (const { vm, migrations, state } of run.items) {
    assert.equal(migrations.length, 1, vm.name);
    assertTrue(set, { [vm.name]: state === 'moved' ? 'destination' : 'source' });
  }
  const { items } = await api().must<{ items: unknown[] }>('GET', `/v1/migrations?correlationId=${id}`);
  assert.equal(items.length, 3);
});

test('killed while a check is made: the check is made again, and the next wave begins once', async () => {
  await using set = await withVms('a', 'b');
  const port = await freePort();
  const check = { kind: 'tcp', host: '127.0.0.1', port, withinMs: 60_000 };
  await store('checking', [
    { vms: vms(set.stage, 'a'), afterwards: { checks: [check] } },
    { vms: vms(set.stage, 'b') },
  ]);
  const { id } = await start('checking');
  await until(id, ({ waves }) => waves[0]?.state === 'between');
  await orchestrator.end('SIGKILL');
  await orchestrator.start();
  assert.equal((await until(id, ({ waves }) => waves[0]?.state === 'between')).waves[1]?.state, 'waiting');
  const listener = await listen(port);
  const run = await ended(id);
  listener.close();
  assert.equal(run.phase, 'succeeded', JSON.stringify(run));
  assert.equal(set.stage.world.performs.get(set.ids.b ?? ''), 1);
});

test('a check that is tried again for an hour holds back no pause and no cancel', async () => {
  await using set = await withVms('a', 'b');
  const check = { kind: 'tcp', host: '127.0.0.1', port: await freePort(), withinMs: 3_600_000 };
  await store('patient', [{ vms: vms(set.stage, 'a'), afterwards: { checks: [check] } }, { vms: vms(set.stage, 'b') }]);
  const { id } = await start('patient');
  await until(id, ({ waves }) => waves[0]?.state === 'between');
  await api().must('POST', `/v1/plan-runs/${id}/pause`);
  await api().must('POST', `/v1/plan-runs/${id}/resume`);
  await api().must('POST', `/v1/plan-runs/${id}/cancel`);
  assert.deepEqual(states(await ended(id)), { a: 'moved', b: 'skipped' });
});

/** Ids of the runs that need a person. */
async function needing(more = ''): Promise<string[]> {
  const { items } = await api().must<{ items: { id: string }[] }>('GET', `/v1/plan-runs?needs=person${more}`);
  return items.map(({ id }) => id);
}

test('a check that fails stops; somebody approves; a pause holds back what has not begun; a cancel ends it', async () => {
  await using set = await withVms('a', 'b', 'c');
  const check = { kind: 'http', url: `http://127.0.0.1:${await freePort()}/`, timeoutMs: 200, withinMs: 0 };
  await store('strict', [{ vms: vms(set.stage, 'a'), afterwards: { checks: [check] } }, { vms: vms(set.stage, 'b') }]);
  const strict = await ended((await start('strict')).id);
  assert.deepEqual([strict.phase, states(strict)], ['failed', { a: 'moved', b: 'skipped' }]);
  assert.match(strict.waves[0]?.checks[0]?.message ?? '', /^GET http:\/\/127.0.0.1:\d+\/: .*ECONNREFUSED/);

  await store('asking', [{ vms: vms(set.stage, 'b'), afterwards: { approval: true } }, { vms: vms(set.stage, 'c') }]);
  const { id } = await start('asking');
  const asking = await until(id, ({ waves }) => waves[0]?.state === 'between');
  assert.equal(asking.message.includes(`waits since ${asking.waves[0]?.waitsSince} for an approval`), true);
  assert.deepEqual(await needing('&plan=asking'), [id]);
  assert.deepEqual(await needing('&plan=strict'), []);
  assert.equal((await api().call('POST', '/v1/plans/asking/runs', { mode: 'failover' })).body.code, 'PLAN_BUSY');
  const paused = await api().must<PlanRun>('POST', `/v1/plan-runs/${id}/pause`);
  assert.match(paused.message, /^It is paused; wave 1 waits for an approval: an operator or admin may give it\.$/);
  const late = await api().call('POST', `/v1/plan-runs/${id}/approve`, { wave: 2 });
  assert.deepEqual([late.status, late.body.code], [409, 'RUN_STATE']);
  const { message } = await api().must<PlanRun>('POST', `/v1/plan-runs/${id}/approve`, { wave: 1 });
  assert.equal(message, 'It is paused; wave 2 is approved and begins with resume.');
  assert.deepEqual(await needing(), []);
  assert.equal((await api().must<PlanRun>('GET', `/v1/plan-runs/${id}`)).waves[1]?.state, 'waiting');
  await api().must('POST', `/v1/plan-runs/${id}/cancel`);
  const cancelled = await ended(id);
  assert.deepEqual([cancelled.phase, states(cancelled)], ['cancelled', { b: 'moved', c: 'skipped' }]);
  assertTrue(set, { a: 'destination', b: 'destination', c: 'source' });
});

test('validate: every check, predicted times against the objective; disaster says what cannot be', async () => {
  await using set = await withVms('a', 'b');
  const link = `${set.stage.source}~${set.stage.destination}`;
  await api().call('PATCH', `/v1/links/${link}`, { rateBitsPerSec: 80_000_000_000 }, { 'if-match': '*' });
  set.stage.world.addVm('destination', { id: set.ids.b ?? '', name: 'b' });
  await store('looking', [{ vms: vms(set.stage, 'a'), afterwards: { pauseMs: 5_000 } }, { vms: vms(set.stage, 'b') }], {
    rtoMs: 2_000,
  });
  const run = await ended((await start('looking', 'validate')).id);
  assert.equal(run.phase, 'failed');
  assert.deepEqual(
    run.items[1]?.findings.map(({ code }) => code),
    ['VM_EXISTS'],
  );
  assert.deepEqual(states(run), { a: 'checked', b: 'refused' });
  assert.ok((run.prediction?.durationMs?.low ?? 0) >= 5_000);
  assert.equal(run.prediction?.fitsRto, 'no');
  const refused = await ended((await start('looking')).id);
  assert.match(refused.message, /Nothing was moved/);
  assert.deepEqual(set.stage.world.running(set.ids.a ?? ''), ['source']);

  const alive = await ended((await start('looking', 'disaster')).id);
  assert.ok(alive.reasons.every(({ message }) => message.includes('answers')));
  await set.stage.server[Symbol.asyncDispose]();
  const gone = await ended((await start('looking', 'disaster')).id);
  const told = gone.reasons.map(({ message }) => message).join('\n');
  assert.match(told, /does not answer .*Fence it first/);
  assert.match(told, /Nobody who answers knows a/);
  assert.match(gone.message, /Nothing was started/);
});

test('what cannot be carried out is refused when it is stored, with every reason', async () => {
  await using set = await withVms('a', 'b');
  set.stage.world.addVm('source', { id: randomUUID(), name: 'two-networks', networks: ['default', 'dmz'] });
  await store('first', [{ vms: vms(set.stage, 'a') }]);
  await store('second', [{ vms: vms(set.stage, 'b') }], { after: ['first'] });
  const answer = await api().call(
    'PUT',
    '/v1/plans/first',
    {
      waves: [
        {
          vms: [...vms(set.stage, 'a', 'nobody'), { kind: 'host', source: 'nowhere', destination: { site: 'beyond' } }],
        },
        {
          vms: vms(set.stage, 'a'),
          afterwards: {
            checks: [
              { kind: 'tcp', host: '10.0.0.1', port: 22 },
              {
                kind: 'ssh',
                host: '127.0.0.1',
                hostKeys: [`SHA256:${'A'.repeat(43)}`],
                credential: 'none',
                command: ['true'],
              },
            ],
          },
        },
        { vms: vms(set.stage, 'b', 'two-networks') },
      ],
      mappings: [{ source: set.stage.source, destination: set.stage.destination, networks: { other: 'elsewhere' } }],
      after: ['second', 'third'],
    },
    { 'if-match': '*' },
  );
  assert.deepEqual([answer.status, answer.body.code], [422, 'INVALID_PLAN']);
  const reasons = (answer.body.errors as { path: string; message: string }[])
    .map(({ path, message }) => `${path}: ${message}`)
    .join('\n');
  for (const expected of [
    /waves.0.vms.1.vm: there is no VM nobody at/,
    /waves.0.vms.2.source: there is no endpoint nowhere/,
    /waves.1.vms.0: a is in waves.0.vms.0 already/,
    /after.0: goes in a circle: first after second after first/,
    /after.1: there is no plan third/,
    /waves.1.afterwards.checks.0: .*10.0.0.1 is not a public address.*LMAS_PLAN_CHECK_ALLOW/,
    /waves.1.afterwards.checks.1: .*none/,
    /waves.2.vms.1: the mapping from \S+ to \S+ misses dmz of two-networks$/m,
  ]) {
    assert.match(reasons, expected);
  }
  assert.equal((await api().call('POST', '/v1/plans/second/runs', { mode: 'failover' })).body.code, 'PLAN_NOT_READY');
  assert.equal((await api().call('DELETE', '/v1/plans/first')).body.code, 'IN_USE');
});

test('a plan that was removed meanwhile is not made anew by whoever changes it', async () => {
  await using set = await withVms('a');
  const plan = { waves: [{ vms: vms(set.stage, 'a') }] };
  const put = (headers: Record<string, string>) => api().call('PUT', '/v1/plans/removed', plan, headers);
  const tag = (await put({})).headers.get('etag') ?? assert.fail('it has no version');
  assert.equal((await put({})).body.code, 'PRECONDITION_REQUIRED', 'who makes one takes the place of none');
  await api().must('DELETE', '/v1/plans/removed');
  const late = await put({ 'if-match': tag });
  assert.deepEqual([late.status, late.body.code], [412, 'PRECONDITION_FAILED']);
  assert.match(String(late.body.detail), /It has been removed/);
  assert.equal((await api().call('GET', '/v1/plans/removed')).status, 404);
  assert.equal((await put({ 'if-match': '*' })).status, 201);
});

test('a host, and a site, is emptied in one request; what is powered off is left if that is asked for, and said so', async () => {
  await using set = await withVms('a', 'b', 'off');
  const off = set.stage.world.vm('source', set.ids.off ?? '');
  assert.ok(off !== undefined);
  off.presence = 'stopped';
  const ends = { source: { endpoint: set.stage.source }, destination: { site: set.stage.destination } };
  const place = { ...ends, poweredOff: 'leave' };
  const stays = `left at ${set.stage.source}: off.`;
  await store('looked', [{ vms: vms(set.stage, 'a', 'off') }], { poweredOff: 'leave' });
  const looked = await ended((await start('looked', 'validate')).id);
  assert.equal(looked.message, `Every check passed. 1 that is powered off would be ${stays}`);
  const odd = await api().call('POST', '/v1/evacuations', { ...place, migration: { options: { nonsense: 1 } } });
  const { code, errors = [] } = odd.body as { code?: string; errors?: { message: string }[] };
  assert.equal(code, 'INVALID_PLAN');
  const [why] = errors.map(({ message }) => message).filter((message) => message.includes('INVALID_OPTIONS'));
  assert.match(why ?? '', /\((?=.*\ba\b)(?=.*\bb\b)(?!.*\boff\b)/, 'the VMs that it keeps are named');
  const run = await api().must<PlanRun>('POST', '/v1/evacuations', { ...place, migration: QUICK });
  const done = await ended(run.id);
  assert.equal(done.phase, 'succeeded', JSON.stringify(done));
  assert.equal(done.message, `Every running VM has moved. 1 that is powered off was ${stays}`);
  const left = done.items.find(({ vm }) => vm.name === 'off');
  assert.deepEqual([left?.state, left?.findings[0]?.code], ['left', 'POWERED_OFF']);
  assert.match(left?.findings[0]?.message ?? '', /off is powered off, and is left where it is/);
  assertTrue(set, { a: 'destination', b: 'destination' });
  const refused = await api().call('POST', '/v1/evacuations', { ...place, poweredOff: 'refuse' });
  assert.equal(refused.body.code, 'INVALID_PLAN');
  // A whole site to another one: also how a new site is filled.
  const sites = { source: { site: set.stage.destination }, destination: { site: set.stage.source } };
  const filled = await api().must<PlanRun>('POST', '/v1/evacuations', { ...sites, except: ['b'], migration: QUICK });
  assert.deepEqual(states(await ended(filled.id)), { a: 'moved', [set.stage.vmName]: 'moved' });
  assertTrue(set, { a: 'source', b: 'destination' });
});

test('a silent host of a site: refused, or left and the run ends as failed, and says so; disaster knows which', async () => {
  await using set = await withVms('a', 'b');
  const { source, destination, world } = set.stage;
  const silent = `${source}-silent`;
  const config = { socketPath: join(directory.path, 'nobody.sock'), host: 'other' };
  const credential = source.replace(/-source$/, '');
  await api().must('POST', '/v1/endpoints', { id: silent, site: source, plugin: 'simulated', credential, config });
  const site = { kind: 'site', source, destination: { endpoint: destination }, first: ['b'] };
  await store('half', [{ vms: [site], concurrency: 1 }]);
  const refused = await ended((await start('half')).id);
  assert.match(refused.message, new RegExp(`It cannot be carried out: ${silent} cannot be asked.*Nothing was moved`));
  const told = await ended((await start('half', 'disaster')).id);
  assert.match(JSON.stringify(told.reasons), /with `silent: leave` in the plan/);

  await api().must(
    'PUT',
    '/v1/plans/half',
    { waves: [{ vms: [site], concurrency: 1 }], migration: QUICK, silent: 'leave' },
    {
      'if-match': '*',
    },
  );
  const left = ` ${silent} did not answer: what it has was left.`;
  const looked = await ended((await start('half', 'validate')).id);
  assert.deepEqual([looked.phase, looked.message], ['failed', `Every check passed.${left}`]);
  const run = await ended((await start('half')).id);
  assert.deepEqual([run.phase, run.message], ['failed', `Every VM that was found has moved.${left}`]);
  assert.deepEqual(
    run.reasons.map(({ code, endpoint }) => [code, endpoint]),
    [['ENDPOINT_SILENT', silent]],
  );
  assert.deepEqual(states(run), { a: 'moved', b: 'moved', [set.stage.vmName]: 'moved' });
  const [one, two] = [...run.items].sort((x, y) => Date.parse(x.startedAt ?? '') - Date.parse(y.startedAt ?? ''));
  assert.deepEqual([one?.vm.name, two?.vm.name], ['b', 'a'], 'what comes first comes first');
  await api().must('POST', `/v1/plan-runs/${run.id}/retry`);
  const again = await until(run.id, ({ attempt, endedAt }) => attempt === 2 && endedAt !== null);
  assert.deepEqual([again.phase, again.message], [run.phase, run.message], 'nobody has looked there since');
  assert.deepEqual(world.violations, []);

  // An evacuation takes what it finds, and named VMs are found wherever somebody answers.
  const back = { source: { site: destination }, destination: { endpoint: source }, migration: QUICK };
  const home = await ended((await api().must<PlanRun>('POST', '/v1/evacuations', back)).id);
  assert.equal(home.phase, 'succeeded', home.message);
  const place = { source: { site: source }, destination: { site: destination }, migration: QUICK };
  assert.match(
    (await ended((await api().must<PlanRun>('POST', '/v1/evacuations', place)).id)).message,
    new RegExp(left),
  );
  await ended((await api().must<PlanRun>('POST', '/v1/evacuations', back)).id);
  await store('named', [
    { vms: [{ kind: 'vm', vm: 'a', source: { site: source }, destination: { endpoint: destination } }] },
  ]);
  assert.equal((await ended((await start('named')).id)).phase, 'succeeded');
  assert.equal((await api().call('DELETE', `/v1/endpoints/${silent}`)).status, 204);
});

test('an evacuation into too little memory moves what fits, and refuses the rest', async () => {
  await using set = await withVms('a');
  set.stage.world.shapes.set('destination', { cpus: 64, memoryBytes: 80 * 2 ** 30 });
  for (const name of ['big-1', 'big-2', 'big-3'])
    set.stage.world.addVm('source', { id: randomUUID(), name, memoryBytes: 30 * 2 ** 30 });
  const place = { source: { endpoint: set.stage.source }, destination: { endpoint: set.stage.destination } };
  const run = await ended((await api().must<PlanRun>('POST', '/v1/evacuations', { ...place, migration: QUICK })).id);
  assert.deepEqual(states(run), {
    ...{ a: 'moved', [set.stage.vmName]: 'moved' },
    ...{ 'big-1': 'moved', 'big-2': 'moved', 'big-3': 'refused' },
  });
  assert.equal(run.items.find(({ vm }) => vm.name === 'big-3')?.error?.code, 'MEMORY_SHORT_TOGETHER');
  await api().must('POST', `/v1/plan-runs/${run.id}/retry`);
  const again = await until(run.id, ({ attempt, endedAt }) => attempt === 2 && endedAt !== null);
  assert.equal(again.items.find(({ vm }) => vm.name === 'big-3')?.error?.code, 'MEMORY_SHORT_TOGETHER');
});

test('a plan runs by a schedule', async () => {
  await using set = await withVms('a');
  await store('nightly', [{ vms: vms(set.stage, 'a') }]);
  const trigger = { kind: 'once', at: new Date(Date.now() + 300).toISOString() };
  await api().must('POST', '/v1/schedules', { id: 'night', action: { kind: 'plan', plan: 'nightly' }, trigger });
  for (const deadline = performance.now() + 20_000; performance.now() < deadline; await sleep(50)) {
    const { items } = await api().must<{ items: HistoryEntry[] }>('GET', '/v1/schedules/night/history');
    if (items.some(({ event }) => event === 'succeeded')) {
      assertTrue(set, { a: 'destination' });
      const yearly = {
        id: 'yearly',
        action: { kind: 'plan', plan: 'nightly' },
        trigger: { kind: 'cron', expression: '0 0 1 1 *' },
      };
      await api().must('POST', '/v1/schedules', yearly);
      const { status, body } = await api().call('DELETE', '/v1/plans/nightly');
      assert.deepEqual([status, body.code], [409, 'IN_USE']);
      assert.match(String(body.detail), /is run by schedule yearly/, 'the one that is over counts no more');
      await api().must('DELETE', '/v1/schedules/yearly');
      assert.equal((await api().call('DELETE', '/v1/plans/nightly')).status, 204);
      return;
    }
  }
  assert.fail('it never ran');
});

test('a project sees its own plans and runs, and moves nothing that was not given to it', async () => {
  await using set = await withVms('a');
  await store('ours', [{ vms: vms(set.stage, 'a') }]);
  const run = await ended((await start('ours', 'validate')).id);
  await api().must('POST', '/v1/projects', { id: 'other', endpoints: [set.stage.source] });
  const { key } = await api().must<{ key: string }>('POST', '/v1/api-keys', {
    name: 'o',
    role: 'operator',
    project: 'other',
  });
  const as = (method: string, path: string, body?: object) =>
    api().call(method, path, body, { authorization: `Bearer ${key}` });
  assert.equal((await as('GET', '/v1/plans/ours')).body.code, 'PLAN_NOT_FOUND');
  assert.equal((await as('POST', '/v1/plans/ours/runs', { mode: 'failover' })).body.code, 'PLAN_NOT_FOUND');
  assert.equal((await as('GET', `/v1/plan-runs/${run.id}`)).body.code, 'PLAN_RUN_NOT_FOUND');
  assert.equal((await as('GET', `/v1/plan-runs/${run.id}/report.html`)).status, 404);
  assert.deepEqual((await as('GET', '/v1/plan-runs')).body.items, []);
  const foreign = await as('PUT', '/v1/plans/theirs', { waves: [{ vms: vms(set.stage, 'a') }] });
  assert.deepEqual([foreign.status, foreign.body.code], [422, 'INVALID_PLAN'], 'the destination is not theirs');
});

async function listen(port: number): Promise<Server> {
  const server = createServer((socket) => socket.destroy()).listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server;
}
