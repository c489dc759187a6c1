/**
 * Balancing through the API, on simulated hosts: what a policy says, proposes and does, who may ask for it, and what is
 * refused at once. Killed between its decision and its migration, it submits one and never two.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BalancingMove, BalancingPass } from '../../apps/orchestrator/src/balancing/types.ts';
import type { Orchestrator } from '../../apps/orchestrator/src/main.ts';
import { OrchestratorProcess } from '../workflow/child.ts';
import { Api, type Stage, setStage, startInProcess, temporaryDirectory } from '../workflow/harness.ts';

const HOUR_MS = 3_600_000;
const QUICK = { measureMs: 200, confirmPasses: 1, intervalMs: HOUR_MS, memory: { weight: 0 } };

/** Two VMs that use 60 of the source's 64 processors; the second one is named `…-b`. */
async function busyStage(getApi: () => Api, directory: string): Promise<Stage & { other: string }> {
  const stage = await setStage(getApi, directory);
  const other = randomUUID();
  stage.world.addVm('source', { id: other, name: `${stage.source}-b`, cpuCores: 28 });
  stage.world.setUse(stage.vmId, { cpuCores: 32 });
  return { ...stage, other };
}

const policyFor = (stage: Stage, changes: object = {}) => ({
  ...{ id: stage.source, endpoints: [stage.source, stage.destination], ...QUICK },
  ...changes,
});
const at = (stage: Stage, path = '') => `/v1/balancing-policies/${stage.source}${path}`;

async function movesOf(api: Api, stage: Stage): Promise<BalancingMove[]> {
  return (await api.must<{ items: BalancingMove[] }>('GET', at(stage, '/moves'))).items;
}

async function untilMove(getApi: () => Api, stage: Stage, states: readonly string[]): Promise<BalancingMove> {
  for (const deadline = performance.now() + 30_000; ; await sleep(50)) {
    const moves = await movesOf(getApi(), stage);
    const found = moves.find(({ state }) => states.includes(state));
    if (found !== undefined) return found;
    assert.ok(performance.now() < deadline, JSON.stringify(moves));
  }
}

describe('policies', () => {
  let orchestrator: Orchestrator;
  let api: Api;
  let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
  before(async () => {
    directory = await temporaryDirectory();
    orchestrator = await startInProcess(directory.path);
    api = await Api.of(orchestrator);
  });
  after(async () => {
    await orchestrator.stop();
    await directory[Symbol.asyncDispose]();
  });
  const setting = () => busyStage(() => api, directory.path);

  test('a proposal waits for a person; approved, it is moved, and what came of it is told; then the policy rests', async () => {
    await using stage = await setting();
    await api.must('POST', '/v1/balancing-policies', policyFor(stage));
    const proposal = await untilMove(() => api, stage, ['proposed']);
    assert.match(proposal.text, /goes from .* to .*, which gains .* points and costs/);
    assert.deepEqual(
      [proposal.vm.id, proposal.migration],
      [stage.other, null],
      'of two that gain the same, the smaller',
    );
    const needing = async () =>
      (await api.must<{ items: { id: string }[] }>('GET', '/v1/balancing-policies?needs=person')).items;
    assert.ok((await needing()).some(({ id }) => id === proposal.policy));
    const again = await api.must<BalancingPass>('POST', at(stage, '/run'));
    assert.deepEqual(again.moves, [proposal.id], 'the same proposal, not a second one');
    const path = at(stage, `/moves/${proposal.id}`);
    const approved = await api.must<BalancingMove>('POST', `${path}/approve`);
    assert.equal(approved.state, 'submitted');
    const migration = await api.ended(approved.migration ?? '');
    assert.equal(migration.phase, 'succeeded', JSON.stringify(migration.error));
    assert.deepEqual(
      [migration.request.labels, migration.request.correlationId],
      [{ 'lmas/balancing-policy': stage.source }, proposal.id],
    );
    const rest = await api.must<BalancingPass>('POST', at(stage, '/run'));
    assert.deepEqual(
      [rest.moves, rest.decisions.map(({ code }) => code)],
      [[], ['HOST_RESTS', 'HOST_RESTS']],
      JSON.stringify(rest.decisions),
    );
    const [done] = await movesOf(api, stage);
    assert.equal(done?.state, 'ended');
    assert.ok(!(await needing()).some(({ id }) => id === proposal.policy));
    assert.match(done?.outcome ?? '', /was moved: .* uses processor 50 % \(expected 50 %\)/);
    assert.equal((await api.call('POST', `${path}/approve`)).body.code, 'MOVE_ANSWERED');
    const { items } = await api.must<{ items: BalancingPass[] }>('GET', at(stage, '/passes?limit=2'));
    assert.deepEqual(items[0], rest, 'the newest first');
    assert.deepEqual([stage.world.running(stage.other), stage.world.violations], [['destination'], []]);
  });

  test('approved when it is no longer right, it is refused and nothing is moved', async () => {
    await using stage = await setting();
    await api.must('POST', '/v1/balancing-policies', policyFor(stage));
    const proposal = await untilMove(() => api, stage, ['proposed']);
    stage.world.setUse(stage.other, { cpuCores: 1 });
    const answer = await api.call('POST', at(stage, `/moves/${proposal.id}/approve`));
    assert.deepEqual([answer.status, answer.body.code], [409, 'MOVE_OUTDATED']);
    assert.match(String(answer.body.detail), /is not too busy any more/);
    assert.deepEqual(stage.world.running(proposal.vm.id), ['source']);
  });

  test('rejected, it is not proposed again; paused, nothing waits and nothing runs', async () => {
    await using stage = await setting();
    await api.must('POST', '/v1/balancing-policies', policyFor(stage));
    const first = await untilMove(() => api, stage, ['proposed']);
    const rejected = await api.must<BalancingMove>('POST', at(stage, `/moves/${first.id}/reject`));
    assert.deepEqual([rejected.state, rejected.answeredBy !== null], ['rejected', true]);
    const next = await api.must<BalancingPass>('POST', at(stage, '/run'));
    const second = (await movesOf(api, stage)).find(({ id }) => id === next.moves[0]);
    assert.equal(second?.vm.id, stage.vmId, 'somebody else is proposed');
    await api.must('POST', at(stage, '/pause'));
    assert.equal((await movesOf(api, stage)).find(({ id }) => id === second?.id)?.state, 'withdrawn');
    assert.equal((await api.call('POST', at(stage, '/run'))).body.code, 'BALANCING_PAUSED');
    await api.must('POST', at(stage, '/resume'));
    assert.equal((await api.must<BalancingPass>('POST', at(stage, '/run'))).moves.length, 1);
  });

  test('a proposal that nobody answers expires', async () => {
    await using stage = await setting();
    await api.must('POST', '/v1/balancing-policies', policyFor(stage, { proposalMs: 1_000, intervalMs: 1_000 }));
    const first = await untilMove(() => api, stage, ['proposed']);
    const expired = await untilMove(() => api, stage, ['expired']);
    assert.deepEqual([expired.id, expired.outcome], [first.id, `Nobody answered until ${first.expiresAt}.`]);
    assert.equal((await api.call('POST', at(stage, `/moves/${first.id}/approve`))).body.code, 'MOVE_ANSWERED');
  });

  test('explain only says', async () => {
    await using stage = await setting();
    await api.must('POST', '/v1/balancing-policies', policyFor(stage, { mode: 'explain' }));
    const pass = await api.must<BalancingPass>('POST', at(stage, '/run'));
    assert.deepEqual([pass.moves, await movesOf(api, stage)], [[], []]);
    assert.ok(pass.decisions.some(({ code }) => code === 'MOVE'));
    assert.equal(pass.hosts.find(({ endpoint }) => endpoint === stage.source)?.uses.cpu, 60 / 64);
  });

  test('automatic moves by itself, and passes come by interval', async () => {
    await using stage = await setting();
    await api.must('POST', '/v1/balancing-policies', policyFor(stage, { mode: 'automatic', intervalMs: 1_000 }));
    const ended = await untilMove(() => api, stage, ['ended']);
    assert.deepEqual(stage.world.running(ended.vm.id), ['destination']);
    assert.equal(stage.world.performs.get(ended.vm.id), 1);
    const text = await (await fetch(`${api.url}/metrics`, { headers: { authorization: `Bearer ${api.key}` } })).text();
    assert.match(text, /lmas_balancing_moves_total\{outcome="submitted"\} [1-9]/);
    assert.match(text, /lmas_balancing_passes_total\{mode="automatic"\} [1-9]/);
  });

  test('a silent host, and VMs that cannot be moved, are told and not guessed', async () => {
    await using stage = await setting();
    await api.must('POST', '/v1/balancing-policies', policyFor(stage, { mode: 'explain' }));
    stage.server.goAway('destination');
    const { decisions, hosts } = await api.must<BalancingPass>('POST', at(stage, '/run'));
    assert.deepEqual(
      hosts.map(({ endpoint }) => endpoint),
      [stage.source],
    );
    assert.match(decisions.find(({ code }) => code === 'HOST_SILENT')?.text ?? '', /is left out: .*destination/);
    stage.server.comeBack();
  });

  test('a VM that a person has moved lately stays; a rule that names nobody is refused, and a host of another policy', async () => {
    await using stage = await setting();
    const { source, destination } = stage;
    const thereAndBack = [
      { source, destination },
      { source: destination, destination: source },
    ];
    for (const ends of thereAndBack) {
      const { id } = await stage.submit({ vm: stage.other, ...ends, options: { durationMs: 20 } });
      assert.equal((await api.ended(id)).phase, 'succeeded');
    }
    const rules = { pinned: [stage.vmName, 'web-*'] };
    const refused = await api.call('POST', '/v1/balancing-policies', policyFor(stage, { rules: { pinned: ['typo'] } }));
    assert.match(JSON.stringify(refused.body), /None of the endpoints has a VM typo/);
    await api.must('POST', '/v1/balancing-policies', policyFor(stage, { rules }));
    const { decisions, moves } = await api.must<BalancingPass>('POST', at(stage, '/run'));
    assert.deepEqual(moves, []);
    const of = (code: string) =>
      decisions.find((decision) => decision.code === code)?.text ?? JSON.stringify(decisions);
    assert.match(of('VM_COOLS_DOWN'), /-b stays for another .* it was moved lately/);
    assert.match(of('RULE_NAMES_NOBODY'), /rules.pinned names web-\*/);
    const second = await api.call('POST', '/v1/balancing-policies', policyFor(stage, { id: `${source}-2` }));
    assert.match(JSON.stringify(second.body), new RegExp(`${source} is balanced by ${source} already`));
    await api.must('POST', '/v1/balancing-policies', policyFor(stage, { id: `${source}-2`, mode: 'explain' }));
  });

  test('what makes no sense is refused at once, with every complaint', async () => {
    await using stage = await setting();
    const refused = async (policy: object) => {
      const { status, body } = await api.call('POST', '/v1/balancing-policies', policy);
      assert.deepEqual([status, body.code], [422, 'INVALID_BALANCING_POLICY'], JSON.stringify(body));
      return (body.errors as { path: string; message: string }[]).map(({ path, message }) => `${path}: ${message}`);
    };
    const nonsense = policyFor(stage, {
      endpoints: [stage.source, 'nowhere'],
      cpu: { high: 0.5, low: 0.6 },
      network: { weight: 1 },
      maxConcurrent: 9,
      rules: {
        ...{ pinned: ['db'], ignored: ['db', 'gone'] },
        affinity: [{ vms: ['x', 'y'] }, { vms: ['y', 'z'] }, { vms: ['alone'] }],
        antiAffinity: [
          { vms: ['db', 'db'] },
          { vms: ['p', 'q', 'r'] },
          { vms: ['x', 'z'] },
          { vms: ['gone', 'other'] },
        ],
      },
    });
    assert.deepEqual(await refused(nonsense), [
      'endpoints: There is no endpoint nowhere.',
      'cpu.low: low (0.6) has to be below high (0.5).',
      `networkCapacityBytesPerSec.${stage.source}: The network counts, so what it carries has to be said.`,
      'networkCapacityBytesPerSec.nowhere: The network counts, so what it carries has to be said.',
      'maxConcurrent: More at once (9) than in an hour (6).',
      'rules.ignored: db is pinned and ignored.',
      'rules.antiAffinity.0: db cannot run on another host than itself.',
      'rules.antiAffinity.1: 3 VMs cannot run on different ones of 2 hosts.',
      'rules.affinity.2: One VM alone is no group.',
      'rules.ignored: db is ignored, and a group names it.',
      'rules.ignored: gone is ignored, and a group names it.',
      'rules.antiAffinity.2: x and z belong together by rules.affinity.',
    ]);
    assert.deepEqual(await refused(policyFor(stage, { endpoints: [stage.source] })), [
      'endpoints: Between fewer than two nothing can be balanced.',
    ]);
    const misspelt = await api.call('POST', '/v1/balancing-policies', policyFor(stage, { treshold: 1 }));
    assert.deepEqual([misspelt.status, misspelt.body.code], [400, 'INVALID_REQUEST']);
  });

  test('changes name their version; whoever is bound to a project has nothing to say here', async () => {
    await using stage = await setting();
    const { id: _, ...settings } = policyFor(stage, { mode: 'explain' });
    await api.must('POST', '/v1/balancing-policies', policyFor(stage, { mode: 'explain' }));
    assert.equal((await api.call('POST', '/v1/balancing-policies', policyFor(stage))).body.code, 'ALREADY_EXISTS');
    const seen = (await api.call('GET', at(stage))).headers.get('etag') ?? '';
    assert.equal((await api.call('PUT', at(stage), settings)).body.code, 'PRECONDITION_REQUIRED');
    const changed = await api.call('PUT', at(stage), { ...settings, minGain: 0.2 }, { 'if-match': seen });
    assert.deepEqual([changed.status, changed.body.minGain], [200, 0.2]);
    assert.equal((await api.call('PUT', at(stage), settings, { 'if-match': seen })).body.code, 'PRECONDITION_FAILED');
    await api.must('POST', '/v1/projects', { id: stage.source, endpoints: [stage.source, stage.destination] });
    const key = (role: string, project: string | null) =>
      api.must<{ key: string }>('POST', '/v1/api-keys', { name: `${role}`, role, project });
    const bound = new Api(api.url, (await key('admin', stage.source)).key);
    assert.equal((await bound.call('GET', at(stage))).body.code, 'FORBIDDEN');
    const operator = new Api(api.url, (await key('operator', null)).key);
    assert.equal((await operator.call('DELETE', at(stage))).body.code, 'FORBIDDEN');
    assert.equal((await operator.call('POST', at(stage, '/run'))).status, 200);
    assert.equal((await api.call('DELETE', at(stage))).status, 204);
    assert.equal((await api.call('GET', at(stage, '/moves'))).body.code, 'BALANCING_POLICY_NOT_FOUND');
  });
});

test('killed between the decision and its migration, the next process submits it, once', async () => {
  await using directory = await temporaryDirectory();
  await using orchestrator = new OrchestratorProcess(directory.path);
  await orchestrator.start();
  const getApi = () => orchestrator.api;
  await using stage = await busyStage(getApi, directory.path);
  const hold = stage.world.faults.arm('source.find', 'hold-before'); // the check right before the submission
  await getApi().must('POST', '/v1/balancing-policies', policyFor(stage, { mode: 'automatic' }));
  await hold.reached;
  const [decided] = await movesOf(getApi(), stage);
  assert.equal(decided?.state, 'decided');
  await orchestrator.end('SIGKILL');
  await orchestrator.start();
  hold.release();
  const submitted = await untilMove(getApi, stage, ['submitted']);
  assert.deepEqual([submitted.id, (await movesOf(getApi(), stage)).length], [decided?.id, 1]);
  const migration = await getApi().ended(submitted.migration ?? '');
  assert.equal(migration.phase, 'succeeded', JSON.stringify(migration.error));
  const { items } = await getApi().must<{ items: object[] }>('GET', '/v1/migrations');
  assert.deepEqual([items.length, stage.world.performs.get(submitted.vm.id)], [1, 1]);
  assert.deepEqual(stage.world.violations, []);
});
