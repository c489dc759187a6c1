/** Orders that two runs would carry out against each other are refused; what was looked at is not kept for ever. On a real Redis. */
import assert from 'node:assert/strict';
import { after as afterAll, before, beforeEach, test } from 'node:test';
import type { Redis } from 'ioredis';
import type { Scope } from '../access/scope.ts';
import { LmasError } from '../errors.ts';
import type { Migration } from '../migrations/record.ts';
import { evacuationInputSchema, planBodySchema } from '../schemas/plan.ts';
import { startTestRedis, type TestRedis } from '../testing/test-redis.ts';
import { besideOf } from './driver.ts';
import { createRunTable, newRun, newRunId, newWave, type PlanItem, type PlanRun } from './record.ts';
import { createPlanRunService, type PlanRunService } from './runs.ts';
import { judge } from './validate.ts';

const AT = '2026-06-01T12:00:00.000Z';
const definition = planBodySchema.parse({
  waves: [{ vms: [{ kind: 'host', source: 'a', destination: { endpoint: 'b' } }], onFailure: 'go-on' }],
});
const plan = { id: 'p', ...definition, project: null, createdAt: AT, changedAt: AT };
let server: TestRedis;
let redis: Redis;
let runs: PlanRunService;
/** What each plan runs after. */
let after: Record<string, string[]>;
let migrations: Map<string, Migration>;

before(async () => {
  server = await startTestRedis();
  redis = server.redis;
});
afterAll(() => server[Symbol.asyncDispose]());
beforeEach(async () => {
  await redis.flushall();
  migrations = new Map();
  after = {};
  runs = createPlanRunService({
    ...{
      table: createRunTable(redis),
      plans: { get: async (id) => ({ ...plan, id, after: after[id] ?? [] }) },
      announce: async () => undefined,
    },
    complaintTools: () => ({ scope, guard: undefined as never }),
    cordon: async () => undefined,
    migrationsOf: () => ({
      get: async (id) => migrations.get(id) ?? Promise.reject(new LmasError('MIGRATION_NOT_FOUND')),
    }),
    now: () => Date.parse(AT),
  });
});

const endpoint = (id: string) => ({
  ...{ id, site: id.slice(0, 1), plugin: 'simulated', credential: 'c', config: {}, createdAt: AT, cordonedAt: null },
});
/** Two sites, whose hosts nobody can ask. */
const scope = {
  endpoints: { list: async () => ['a', 'a2', 'b'].map(endpoint) },
  sites: { list: async () => [{ id: 'a' }, { id: 'b' }] },
  questions: { lend: () => Promise.reject(new Error('nobody is there')) },
} as unknown as Scope;

const item = (name: string, state: PlanItem['state']): PlanItem => ({
  ...{ key: `0/${name}`, wave: 0, vm: { id: name, name }, plugin: 'simulated', state },
  ...{ source: { endpoint: 'a', site: 'x' }, destination: { endpoint: 'b', site: 'y' } },
  ...{ networkMap: {}, diskMap: {}, keptDisks: [], disks: [], memoryBytes: 1, powerState: 'running', findings: [] },
  migrations: ['m_00000000-0000-4000-8000-000000000000'],
  ...{
    checkedAt: null,
    prediction: null,
    sourceAfter: null,
    leftAt: null,
    rehearsal: null,
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

test('a fail-back is found under the plan whose VMs it takes back, by the name that its reader has for it, and is no run of it', async () => {
  const named = { plan: 'tenant.p', project: 'tenant' };
  const back = await runs.failBack(await half(named), 'tenant');
  assert.deepEqual([back.plan, back.reverseOfPlan], [null, 'p']);
  await end(back.id);
  const again = await runs.failBack(back.id, null);
  const listed = async (plan: string, project: string | null) => {
    const { items } = await runs.list({ plan, limit: 10 }, project);
    const backs = items.filter(({ mode }) => mode === 'failback');
    return new Map(backs.map((run) => [run.id, [run.reverseOf, run.reverseOfPlan]]));
  };
  const own = new Map([
    [back.id, [back.reverseOf, 'p']],
    [again.id, [back.id, 'p']],
  ]);
  assert.deepEqual(await listed('p', 'tenant'), own);
  assert.deepEqual((await listed('tenant.p', null)).get(again.id), [back.id, 'tenant.p']);
  assert.equal((await listed('p', null)).size, 0);
  assert.equal((await runs.formerRun({ ...back, plan: 'tenant.p' }))?.mode, 'failover');
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

test('no fail-over begins while a drill copies disks of its VMs; one whose copies are up is in nobody’s way', async () => {
  const drill = await onRecord({ mode: 'drill', phase: 'running', items: [item('one', 'copying')] });
  const refused = { code: 'PLAN_BUSY', message: new RegExp(drill), remedy: new RegExp(`lmas plan cancel ${drill}`) };
  await assert.rejects(runs.start('p', 'failover', null), refused);
  await end(drill);
  await onRecord({ mode: 'drill', phase: 'keeping', items: [item('one', 'copied')] });
  assert.equal((await runs.start('p', 'failover', null)).mode, 'failover');
});

/** Who was refused, and by whom the seat was taken, of those that asked at the same moment. */
async function atOnce(asked: readonly Promise<PlanRun>[]): Promise<PlanRun> {
  const answers = await Promise.allSettled(asked);
  const [begun, ...others] = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
  assert.ok(begun !== undefined && others.length === 0, `${others.length + 1} began`);
  for (const answer of answers) {
    if (answer.status === 'fulfilled') continue;
    assert.equal(answer.reason.code, 'PLAN_BUSY');
    assert.match(answer.reason.message, new RegExp(begun.id));
  }
  return begun;
}
const end = async (id: string) => {
  const table = createRunTable(redis);
  await table.change(id, (before) => {
    const value: PlanRun = {
      ...before,
      phase: 'failed',
      endedAt: AT,
      items: [item('one', 'moved'), item('two', 'failed')],
    };
    return { value, beside: besideOf(value, before, []) };
  });
};

test('of those who ask at the same moment one moves the VMs of a plan, there, back or once more; its end lets the next one', async () => {
  const start = () => runs.start('p', 'failover', null);
  const first = await atOnce([start(), start(), start(), start()]);
  await end(first.id);
  const back = () => runs.failBack(first.id, null);
  const second = await atOnce([start(), back(), runs.retry(first.id, null), start(), back()]);
  await end(second.id);
  const third = await runs.failBack(first.id, null);
  await end(third.id);
  const fourth = await atOnce([start(), runs.failBack(third.id, null), start()]);
  await assert.rejects(runs.failBack(third.id, null), { code: 'PLAN_BUSY', message: new RegExp(fourth.id) });
});

test('what moves no VM is in nobody’s way, and nobody in its', async () => {
  const looks = ['validate', 'drill', 'validate', 'failover', 'disaster'] as const;
  const begun = await Promise.all(looks.map((mode) => runs.start('p', mode, null)));
  assert.equal(new Set(begun.map(({ id }) => id)).size, looks.length);
});

test('of runs that only looked the last few stay, those of the last hour, and the newest that found its VMs', async () => {
  const hoursAgo = (hours: number) => new Date(Date.parse(AT) - hours * 3_600_000).toISOString();
  const looked = async (hours: number, changes: Partial<PlanRun> = {}) => {
    const at = hoursAgo(hours);
    return await onRecord({ mode: 'validate', phase: 'failed', createdAt: at, endedAt: at, ...changes });
  };
  const moved = await half({ createdAt: hoursAgo(200), endedAt: hoursAgo(200) });
  const older = await looked(101, { items: [item('one', 'waiting')] });
  const survey = await looked(100, { items: [item('one', 'waiting')] });
  const kept = [];
  for (let hours = 40; hours > 20; hours -= 1) kept.push(await looked(hours));
  const going = await looked(150, { phase: 'validating', endedAt: null });
  const drills = [];
  for (let hours = 90; hours > 70; hours -= 1) drills.push(await looked(hours, { mode: 'drill' }));
  await runs.start('p', 'drill', null);
  const { id } = await runs.start('p', 'validate', null);
  const { items } = await runs.list({ plan: 'p', limit: 200 }, null);
  const left = items.filter(({ mode }) => mode !== 'drill').map((run) => run.id);
  assert.deepEqual(left.sort(), [id, going, moved, survey, ...kept.slice(-10)].sort());
  assert.equal(items.length - left.length, drills.length + 1, 'drills are evidence');
  await assert.rejects(runs.get(older, null), { code: 'PLAN_RUN_NOT_FOUND' });
});

/** Of VM `two` of a run, as it is by now. */
const laterOn = (where: Migration['where'], byHand: string | null = null, changes: object = {}): void => {
  const of = { source: { endpoint: 'a' }, destination: { endpoint: 'b' }, report: null };
  const migration = { id: LOST_ID, phase: 'failed', where, byHand, ...of, ...changes };
  migrations.set(LOST_ID, migration as unknown as Migration);
};
const LOST_ID = 'm_11111111-0000-4000-8000-000000000000';
/** Of the second one nobody knew where it was when the run ended. */
const withLost = (leftAt: PlanItem['leftAt'], state: PlanItem['state'] = 'failed') =>
  half({ items: [item('one', 'moved'), { ...item('two', state), migrations: [LOST_ID], leftAt }] });
const vmsOf = ({ definition: { waves } }: PlanRun) =>
  waves.flatMap(({ vms }) => vms.map((selector) => (selector.kind === 'vm' ? selector.vm : selector.kind)));

test('a VM that was found at the destination later has moved: it is not tried again, and goes back with the others', async () => {
  const keptAtSource = [{ kind: 'disk', id: '/two' }];
  for (const leftAt of ['unknown', 'both'] as const) {
    laterOn('destination', null, { report: { keptAtSource } });
    const id = await withLost(leftAt);
    const again = await runs.retry(id, null);
    assert.deepEqual(
      again.items.map(({ state, keptDisks }) => [state, keptDisks]),
      [
        ['moved', []],
        ['moved', ['/two']],
      ],
    );
    const { timeline } = await runs.report(id, null);
    assert.ok(timeline.some(({ vm, message }) => vm === 'two' && message === 'It was found at b later.'));
    await end(id);
    const back = await runs.failBack(await withLost(leftAt), null);
    assert.deepEqual(vmsOf(back), ['one', 'two']);
    await runs.cancel(back.id, null);
    await end(back.id);
  }
});

test('while nobody knows where a VM runs nothing is tried again, and nothing taken back unless it is left out', async () => {
  for (const where of ['unknown', 'both'] as const) {
    laterOn(where, 'Look at both hosts.');
    const id = await withLost(where);
    await assert.rejects(runs.retry(id, null), { code: 'RUN_STATE', message: /^Where two runs is not clear/ });
    await assert.rejects(runs.failBack(id, null), { code: 'INVALID_PLAN', message: /where two runs is not clear/ });
    const back = await runs.failBack(id, null, { except: ['two'] });
    assert.deepEqual(vmsOf(back), ['one']);
    await end(back.id);
  }
});

test('a VM that was found at the source later is tried again from there; one that went back after all has moved back', async () => {
  laterOn('source');
  const again = await runs.retry(await withLost('unknown'), null);
  assert.deepEqual(
    again.items.map(({ state, leftAt }) => [state, leftAt]),
    [
      ['moved', null],
      ['waiting', null],
    ],
  );
  await end(again.id);
  laterOn('destination', null, { source: { endpoint: 'b' }, destination: { endpoint: 'a' } });
  const id = await withLost('unknown', 'stuck');
  const back = await runs.failBack(id, null);
  assert.deepEqual(vmsOf(back), ['one']);
  assert.equal((await runs.get(id, null)).items[1]?.state, 'moved-back');
});

test('what was said of a VM that nobody knew the place of is said no more once it was found at its source', async () => {
  laterOn('source');
  const error = { code: 'OUTCOME_UNKNOWN', message: 'Nobody could be asked.', remedy: 'Do what `byHand` says.' };
  const lost: PlanItem = { ...item('two', 'failed'), migrations: [LOST_ID], leftAt: 'unknown', error };
  const id = await half({ items: [item('one', 'moved'), lost] });
  await runs.failBack(id, null);
  const { remaining } = (await runs.report(id, null)).summary;
  assert.deepEqual(remaining, [{ vm: 'two', at: 'a', why: 'two did not move: it was found at a later.' }]);
});

test('two copies that were seen after a migration that succeeded stay a person’s matter', async () => {
  laterOn('destination', null, { phase: 'succeeded' });
  await assert.rejects(runs.retry(await withLost('both'), null), { code: 'RUN_STATE' });
});

test('a fail-back leaves what it is told to, says so in its description, and knows no name that the run does not', async () => {
  const id = await half({ items: [item('one', 'moved'), item('two', 'moved')] });
  await assert.rejects(runs.failBack(id, null, { except: ['tow'] }), {
    ...{ code: 'INVALID_PLAN', message: 'the run has no tow to except' },
  });
  await assert.rejects(runs.failBack(id, null, { except: ['one', 'two'] }), {
    ...{ code: 'INVALID_PLAN', message: 'nothing else of it runs at its destination' },
  });
  const back = await runs.failBack(id, null, { except: ['one'], poweredOff: 'leave' });
  assert.deepEqual([vmsOf(back), back.definition.poweredOff], [['two'], 'leave']);
  assert.equal(back.definition.description, 'Back, without one, what is powered off is left: ');
  await end(back.id);
  assert.equal((await runs.failBack(id, null)).definition.poweredOff, 'refuse', 'as the plan of the run says');
});

test('what stands in the way of a fail-back is told with the way around it', async () => {
  const id = await half();
  const back = await runs.failBack(id, null);
  const findings = [{ severity: 'blocker' as const, code: 'X', message: 'It cannot.', remedy: 'Leave it.' }];
  const [wave] = back.definition.waves;
  const stopping = { ...back.definition, waves: [{ ...(wave ?? assert.fail()), onFailure: 'stop' as const }] };
  const items = [{ ...item('one', 'waiting'), findings }];
  const judged = judge({ ...back, definition: stopping, items, phase: 'validating' }, Date.parse(AT));
  assert.match(judged.message, new RegExp(`^The checks say no for one\\. .*lmas plan fail-back ${id} --except VM`));
});

test('an approval that names its wave approves no later one, however late it comes and however often', async () => {
  const asks = { approval: true };
  const waves = [asks, asks, {}].map((afterwards) => ({ ...definition.waves[0], afterwards }));
  const asking = planBodySchema.parse({ waves });
  const state = (...states: PlanRun['waves'][number]['state'][]) =>
    states.map((each) => ({ ...newWave({ name: '' }), state: each }));
  const id = await onRecord({ definition: asking, phase: 'running', waves: state('between', 'waiting', 'waiting') });
  await assert.rejects(runs.approve(id, null, 2), { code: 'RUN_STATE', message: /wave 2; wave 1 waits/ });
  for (let times = 0; times < 2; times++) assert.equal((await runs.approve(id, null, 1)).waves[0]?.approvedAt, AT);
  const later = await onRecord({ definition: asking, phase: 'running', waves: state('done', 'between', 'waiting') });
  await assert.rejects(runs.approve(later, null, 1), { code: 'RUN_STATE', message: /wave 1; wave 2 waits/ });
  assert.equal((await runs.get(later, null)).waves[1]?.approvedAt, null);
  assert.equal((await runs.approve(later, null)).waves[1]?.approvedAt, AT, 'unnamed: whichever waits');
});

test('plans that wait for each other, since two people stored them at the same moment, are told of it when one is to begin', async () => {
  after = { p: ['q'], q: ['p'] };
  await assert.rejects(runs.start('p', 'failover', null), {
    code: 'PLAN_NOT_READY',
    message:
      'p runs after q, whose last failover was never. It never can: the order goes in a circle: p after q after p.',
  });
  after = { p: ['q'] };
  await assert.rejects(runs.start('p', 'failover', null), {
    message: 'p runs after q, whose last failover was never.',
  });
});

test('a run on record with a time without end, as a rate of 0 made it, is read, told and cancelled like any other', async () => {
  const span = { low: Number.POSITIVE_INFINITY, high: null };
  const facts = { rateBytesPerSec: 0, dirtyRateBytesPerSec: null, convergence: 'unknown', passes: null } as const;
  const prediction = { ...facts, durationMs: span, downtimeMs: null };
  const id = await onRecord({
    phase: 'validating',
    prediction: { durationMs: span, fitsRto: null, notes: [] },
    items: [{ ...item('one', 'waiting'), prediction }],
  });
  const { prediction: whole, items } = await runs.get(id, null);
  assert.deepEqual([whole?.durationMs, items[0]?.prediction?.durationMs], [null, null]);
  assert.equal((await runs.list({ limit: 10 }, null)).items[0]?.id, id);
  assert.notEqual((await runs.cancel(id, null)).cancelRequestedAt, null);
  const { value } = await createRunTable(redis).readLogOn(id, '0-0', 10);
  assert.equal(value?.id, id);
});

test('a host is emptied by one run at a time, and so are its site and the hosts of a site; there, back and once more', async () => {
  const { signal } = new AbortController();
  const evacuate = (source: object, project: string | null = null) =>
    runs.evacuate(evacuationInputSchema.parse({ source, destination: { site: 'b' } }), project, { signal });
  const [host, other, site] = [{ endpoint: 'a' }, { endpoint: 'a2' }, { site: 'a' }];
  const first = await atOnce([evacuate(host), evacuate(host), evacuate(host)]);
  const busy = { code: 'PLAN_BUSY', message: new RegExp(first.id) };
  await assert.rejects(evacuate(site), busy, 'the host is a part of it');
  await end((await evacuate(other)).id);
  await end(first.id);
  const back = await runs.failBack(first.id, null);
  await assert.rejects(evacuate(host), { code: 'PLAN_BUSY', message: new RegExp(back.id) });
  await end(back.id);
  const whole = await evacuate(site);
  for (const part of [host, other])
    await assert.rejects(evacuate(part), { code: 'PLAN_BUSY', message: new RegExp(whole.id) });
  await end(whole.id);
  // Where two projects have the same host, each hears of its own run only.
  const reds = await evacuate(host, 'red');
  const named = { code: 'PLAN_BUSY', message: new RegExp(reds.id) };
  for (const project of ['red', null]) await assert.rejects(evacuate(site, project), named);
  const unnamed = { code: 'PLAN_BUSY', message: 'Somebody else’s run, which moves the same VMs, is under way.' };
  for (const place of [host, site]) await assert.rejects(evacuate(place, 'blue'), unnamed);
  await end(reds.id);
  const blues = await evacuate(host, 'blue');
  await assert.rejects(runs.retry(reds.id, 'red'), unnamed);
  await assert.rejects(runs.failBack(reds.id, 'red'), unnamed);
  await assert.rejects(runs.retry(reds.id, null), { code: 'PLAN_BUSY', message: new RegExp(blues.id) });
});

test('a plan does not run after one that was taken back, or is being taken back, unless that was taken back in turn', async () => {
  after = { c2: ['p'] };
  const over: Partial<PlanRun> = { phase: 'succeeded', endedAt: AT, items: [item('one', 'moved')] };
  const back = (reverseOf: string, more: Partial<PlanRun> = {}) =>
    onRecord({ plan: null, mode: 'failback', reverseOf, ...over, ...more });
  const start = () => runs.start('c2', 'failover', null);
  const first = await onRecord(over);
  await back(first, { phase: 'failed', items: [item('one', 'failed')] });
  const ready = await start();
  await end(ready.id);
  const id = await back(first);
  const told = (message: string) => ({ code: 'PLAN_NOT_READY', message });
  const about = 'c2 runs after p, whose last failover';
  await assert.rejects(start(), told(`${about} was taken back by run ${id}.`));
  const once = await back(id, { phase: 'running', endedAt: null });
  await assert.rejects(start(), told(`${about} is not settled: run ${once} is under way.`));
  await end(once);
  assert.equal((await start()).plan, 'c2');
});
