/**
 * Names of plans and schedules over REST: each project has its own, and so has the installation. What one called something is
 * noticed by no other.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Orchestrator } from '../../apps/orchestrator/src/main.ts';
import type { PlanRun } from '../../apps/orchestrator/src/plans/record.ts';
import { receiveWebhooks } from '../support/webhook-receiver.ts';
import { Api, type Stage, setStage, startInProcess, temporaryDirectory } from '../workflow/harness.ts';

const directory = await temporaryDirectory();
let orchestrator: Orchestrator;
let api: Api;
let stage: Stage;
before(async () => {
  orchestrator = await startInProcess(directory.path, { LMAS_WEBHOOK_ALLOW: '127.0.0.0/8' });
  api = await Api.of(orchestrator);
  stage = await setStage(() => api, directory.path);
});
after(async () => {
  await stage[Symbol.asyncDispose]();
  await orchestrator.stop();
  await directory[Symbol.asyncDispose]();
});

test('each project has its own names: what another one called something is noticed by nobody', async () => {
  await using receiver = await receiveWebhooks();
  const { source, destination, vmId: vm } = stage;
  const as = await Promise.all(
    ['red', 'blue'].map(async (project) => {
      await api.must('POST', '/v1/projects', { id: project, endpoints: [source, destination] });
      const login = { name: project, role: 'operator', project };
      return new Api(api.url, (await api.must<{ key: string }>('POST', '/v1/api-keys', login)).key);
    }),
  );
  const [red, blue] = as;
  assert.ok(red && blue);
  await red.must('POST', '/v1/webhooks', {
    ...{ id: 'told', url: receiver.url },
    events: ['plan-run.started', 'schedule.started'],
  });
  const plan = {
    waves: [{ vms: [{ kind: 'vm', vm, source: { endpoint: source }, destination: { endpoint: destination } }] }],
    migration: { options: { durationMs: 20 } },
  };
  for (const caller of [api, red, blue]) {
    await caller.must('PUT', '/v1/plans/same-base', plan);
    const { id } = await caller.must<{ id: string }>('PUT', '/v1/plans/same', { ...plan, after: ['same-base'] });
    assert.equal(id, 'same');
    assert.equal((await caller.call('POST', '/v1/plans/same/runs', { mode: 'failover' })).body.code, 'PLAN_NOT_READY');
    assert.equal((await caller.call('DELETE', '/v1/plans/same-base')).body.code, 'IN_USE');
    const { items } = await caller.must<{ items: { id: string }[] }>('GET', '/v1/plans?limit=200');
    const mine = items.map(({ id }) => id).filter((id) => id.includes('same') && !id.includes('.'));
    assert.deepEqual(mine, ['same', 'same-base']);
  }
  // Whoever sees everything tells them apart, changes them, and leaves making them to the project.
  assert.equal((await api.must<{ project: string }>('GET', '/v1/plans/blue.same')).project, 'blue');
  const seen = await api.call('PUT', '/v1/plans/blue.same', { ...plan, description: 'by us' }, { 'if-match': '*' });
  assert.deepEqual([seen.status, seen.body.id], [200, 'blue.same']);
  assert.equal((await blue.must<{ description: string }>('GET', '/v1/plans/same')).description, 'by us');
  for (const [caller, name] of [
    [api, 'blue.new'],
    [blue, 'red.same'],
    [blue, 'blue.same'],
  ] as const) {
    assert.equal((await caller.call('PUT', `/v1/plans/${name}`, plan)).body.code, 'PLAN_NOT_FOUND');
    assert.equal((await caller.call('GET', `/v1/plans/${name}`)).status, 404);
  }
  // By a schedule, which has its own names as well; the project and its webhook read them as it wrote them.
  const trigger = { kind: 'cron', expression: '0 0 1 1 *' };
  const schedule = { id: 'same-time', action: { kind: 'plan', plan: 'same-base', mode: 'validate' }, trigger };
  for (const caller of [api, red, blue])
    assert.equal((await caller.must<{ id: string }>('POST', '/v1/schedules', schedule)).id, 'same-time');
  await red.must('POST', '/v1/schedules/same-time/run');
  const [run] = await untilRuns(red, 'same-base');
  assert.ok(run !== undefined);
  assert.deepEqual(
    [run.plan, (await api.must<PlanRun>('GET', `/v1/plan-runs/${run.id}`)).plan],
    ['same-base', 'red.same-base'],
  );
  assert.deepEqual((await untilRuns(api, 'red.same-base')).length, 1);
  assert.deepEqual((await api.must<{ items: object[] }>('GET', '/v1/plan-runs?plan=same-base')).items, []);
  const names = (await receiver.until(2)).map(({ body }) => {
    const { type, data } = JSON.parse(body) as { type: string; data: { id: string; plan?: string } };
    return type.startsWith('schedule') ? data.id : data.plan;
  });
  assert.deepEqual(new Set(names), new Set(['same-time', 'same-base']));
  await red.must('DELETE', '/v1/webhooks/told');
  assert.equal((await red.call('DELETE', '/v1/schedules/same-time')).status, 204);
  assert.equal((await api.must<{ id: string }>('GET', '/v1/schedules/blue.same-time')).id, 'blue.same-time');
});

async function untilRuns(caller: Api, plan: string): Promise<PlanRun[]> {
  for (const deadline = performance.now() + 20_000; performance.now() < deadline; await sleep(50)) {
    const { items } = await caller.must<{ items: PlanRun[] }>('GET', `/v1/plan-runs?plan=${plan}`);
    if (items.some(({ endedAt }) => endedAt !== null)) return items;
  }
  assert.fail(`no run of ${plan} came to its end`);
}
