/** An endpoint that takes no VMs: who may say so, and that migrations, plans, evacuations and balancing heed it. Over REST, hosts in memory. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BalancingPass } from '../../apps/orchestrator/src/balancing/types.ts';
import type { PlanRun } from '../../apps/orchestrator/src/plans/record.ts';
import type { Endpoint } from '../../apps/orchestrator/src/sites/sites.ts';
import { lmas } from '../support/lmas.ts';
import { OrchestratorProcess } from '../workflow/child.ts';
import { type Stage, setStage, temporaryDirectory } from '../workflow/harness.ts';

const directory = await temporaryDirectory();
const orchestrator = new OrchestratorProcess(directory.path);
const api = () => orchestrator.api;
before(() => orchestrator.start());
after(async () => {
  await orchestrator[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});

const QUICK = { options: { durationMs: 20 }, retries: { max: 0 } };
const cordon = (id: string) => api().must<Endpoint>('POST', `/v1/endpoints/${id}/cordon`);
const uncordon = (id: string) => api().must<Endpoint>('POST', `/v1/endpoints/${id}/uncordon`);
const cordonedAt = async (id: string) => (await api().must<Endpoint>('GET', `/v1/endpoints/${id}`)).cordonedAt;

async function ended(id: string): Promise<PlanRun> {
  let run: PlanRun | undefined;
  for (const deadline = performance.now() + 30_000; performance.now() < deadline; await sleep(50)) {
    run = await api().must<PlanRun>('GET', `/v1/plan-runs/${id}`);
    if (run.endedAt !== null) return run;
  }
  assert.fail(`still ${JSON.stringify(run)}`);
}

/** At the site of the destination. @returns its name */
async function addThird({ source, destination, server, world }: Stage): Promise<string> {
  const id = `${destination}-third`;
  world.addHost('third');
  const config = { socketPath: server.socketPath, host: 'third' };
  const credential = source.replace(/-source$/, '');
  await api().must('POST', '/v1/endpoints', { id, site: destination, plugin: 'simulated', credential, config });
  return id;
}

test('a migration to it is refused with what to do, unless it says that it may; what leaves it leaves', async () => {
  await using stage = await setStage(api, directory.path);
  const { source, destination, vmId } = stage;
  const first = (await cordon(destination)).cordonedAt;
  assert.equal((await cordon(destination)).cordonedAt, first, 'since the first word');
  const request = { vm: vmId, source, destination, ...QUICK };
  for (const path of ['/v1/migrations', '/v1/migration-checks']) {
    const { status, body } = await api().call('POST', path, request);
    assert.deepEqual([status, body.code], [409, 'ENDPOINT_CORDONED'], path);
    assert.match(JSON.stringify(body), new RegExp(`lmas endpoint uncordon ${destination}`));
  }
  const there = await stage.submit({ ...QUICK, retries: { max: 0, backOffMs: 100 }, allowCordoned: true });
  assert.equal((await api().ended(there.id)).phase, 'succeeded');
  const away = { vm: vmId, source: destination, destination: source, ...QUICK };
  const { id } = await api().must<{ id: string }>('POST', '/v1/migrations', away);
  assert.equal((await api().ended(id)).phase, 'succeeded', 'who leaves it is not kept');

  const env = { LMAS_URL: api().url, LMAS_DATA_DIR: directory.path };
  const listed = await lmas(['endpoint', 'list'], env);
  assert.match(listed.out, new RegExp(`${destination} .*no, cordoned`), listed.err);
  assert.equal((await lmas(['endpoint', 'uncordon', destination], env)).out, `Endpoint ${destination} takes VMs.\n`);
  assert.equal(await cordonedAt(destination), null);
  await stage.submit({ ...QUICK, retries: { max: 0, backOffMs: 100 } });
});

test('operators of the installation may, nobody else; it is in the audit log', async () => {
  await using stage = await setStage(api, directory.path);
  const { source, destination } = stage;
  await api().must('POST', '/v1/projects', { id: 'tenant', endpoints: [source, destination] });
  const evacuation = { source: { endpoint: source }, destination: { endpoint: destination }, cordon: true };
  for (const [name, more, isAllowed] of [
    ['watcher', { role: 'viewer' }, false],
    ['tenant', { role: 'operator', project: 'tenant' }, false],
    ['night', { role: 'operator' }, true],
  ] as const) {
    const { key } = await api().must<{ key: string }>('POST', '/v1/api-keys', { name, ...more });
    const as = { authorization: `Bearer ${key}` };
    const { status } = await api().call('POST', `/v1/endpoints/${source}/cordon`, undefined, as);
    assert.equal(status, isAllowed ? 200 : 403, name);
    if (!isAllowed) {
      const refused = await api().call('POST', '/v1/evacuations', evacuation, as);
      assert.deepEqual([refused.status, refused.body.code], [403, 'FORBIDDEN'], name);
    }
  }
  const { items } = await api().must<{ items: { operation: string; target: string; caller: { name: string } }[] }>(
    'GET',
    '/v1/audit',
  );
  const done = items.filter(({ operation, target }) => operation === 'cordonEndpoint' && target.includes(source));
  assert.deepEqual(
    done.map(({ caller }) => caller.name),
    ['night', 'tenant', 'watcher'],
  );
});

test('an evacuation can cordon its host; it is filled again by nobody, and by a fail-back only once it is uncordoned', async () => {
  await using stage = await setStage(api, directory.path);
  const { source, destination, world, vmId } = stage;
  const third = await addThird(stage);
  await cordon(destination);
  const ends = { source: { endpoint: source }, destination: { site: destination }, migration: QUICK };
  const run = await ended((await api().must<PlanRun>('POST', '/v1/evacuations', { ...ends, cordon: true })).id);
  assert.equal(run.phase, 'succeeded', JSON.stringify(run));
  assert.deepEqual(world.running(vmId), ['third'], 'the other one at that site takes no VMs');
  assert.notEqual(await cordonedAt(source), null);

  const refused = await ended((await api().must<PlanRun>('POST', `/v1/plan-runs/${run.id}/fail-back`)).id);
  assert.equal(refused.phase, 'failed');
  assert.match(
    refused.message,
    new RegExp(`${source} takes no VMs: it is cordoned \\(lmas endpoint uncordon ${source}.*Nothing was moved\\.$`),
    'and no VM that is left out would change that',
  );
  const nowhere = { source: { endpoint: third }, destination: { site: destination }, migration: QUICK };
  const stays = await ended((await api().must<PlanRun>('POST', '/v1/evacuations', nowhere)).id);
  assert.match(stays.message, new RegExp(`no endpoint of site ${destination} .*; ${destination} is cordoned`));
  await uncordon(source);
  const back = await ended((await api().must<PlanRun>('POST', `/v1/plan-runs/${run.id}/fail-back`)).id);
  assert.equal(back.phase, 'succeeded', JSON.stringify(back));
  assert.deepEqual([world.running(vmId), world.violations], [['source'], []]);
});

test('a plan to it is stored and refused when it runs, or runs if it says so; a wave is rolled back to it', async () => {
  await using stage = await setStage(api, directory.path);
  const { source, destination, world, vmId } = stage;
  world.addVm('source', { id: 'late', name: 'late' });
  const vms = [vmId, 'late'].map((vm) => ({
    ...{ kind: 'vm', vm, source: { endpoint: source }, destination: { endpoint: destination } },
  }));
  const store = (id: string, more: object) =>
    api().must('PUT', `/v1/plans/${id}`, {
      ...{ waves: [{ vms, concurrency: 1, onFailure: 'roll-back' }], migration: { ...QUICK, ...more } },
    });
  const start = async (id: string) =>
    await ended((await api().must<PlanRun>('POST', `/v1/plans/${id}/runs`, { mode: 'failover' })).id);
  await cordon(source);
  await cordon(destination);
  await store('heeds', {});
  const heeded = await start('heeds');
  assert.deepEqual(
    heeded.reasons.map(({ message }) => /takes no VMs: it is cordoned/.test(message)),
    [true],
    `of both VMs it is told once: ${JSON.stringify(heeded)}`,
  );
  await store('knows', { allowCordoned: true });
  world.faults.arm('destination.prepare', 'before', { vm: 'late' });
  const run = await start('knows');
  assert.deepEqual(
    run.items.map(({ state }) => state),
    ['moved-back', 'failed'],
    JSON.stringify(run),
  );
  assert.deepEqual(world.running(vmId), ['source']);
});

test('balancing sends it none, and says why', async () => {
  await using stage = await setStage(api, directory.path);
  const { source, destination, world, vmId } = stage;
  world.addVm('source', { id: 'heavy', name: 'heavy', cpuCores: 28 });
  world.setUse(vmId, { cpuCores: 32 });
  const quick = { measureMs: 200, confirmPasses: 1, intervalMs: 3_600_000, memory: { weight: 0 }, mode: 'explain' };
  await api().must('POST', '/v1/balancing-policies', { id: source, endpoints: [source, destination], ...quick });
  const codes = async () => {
    const { decisions } = await api().must<BalancingPass>('POST', `/v1/balancing-policies/${source}/run`);
    return decisions;
  };
  assert.ok((await codes()).some(({ code }) => code === 'MOVE'));
  await cordon(destination);
  const decisions = await codes();
  assert.ok(!decisions.some(({ code }) => code === 'MOVE'), JSON.stringify(decisions));
  const noWay = decisions.find(({ code }) => code === 'NO_WAY');
  assert.match(noWay?.text ?? '', new RegExp(`${destination} takes no VMs: it is cordoned`), JSON.stringify(decisions));
});
