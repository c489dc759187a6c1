/**
 * Runs of plans and balancing policies, followed over server-sent events with the client: everything once, in order, also over
 * a lost connection, a killed orchestrator and a retry; and what webhooks hear of proposals.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { createLmasClient, LmasApiError, type LmasClient, type WatchedRunEvent } from '@lmas/client';
import type { PlanRun } from '../../apps/orchestrator/src/plans/record.ts';
import { receiveWebhooks } from '../support/webhook-receiver.ts';
import { OrchestratorProcess } from '../workflow/child.ts';
import { freePort, type Stage, setStage, temporaryDirectory } from '../workflow/harness.ts';

const directory = await temporaryDirectory();
// One that is started again answers at the same address.
const settings = { LMAS_PORT: String(await freePort()), LMAS_WEBHOOK_ALLOW: '127.0.0.0/8' };
const orchestrator = new OrchestratorProcess(directory.path, settings);
const api = () => orchestrator.api;
let client: LmasClient;
before(async () => {
  await orchestrator.start();
  client = createLmasClient({ baseUrl: api().url, apiKey: api().key });
});
after(async () => {
  await orchestrator[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});

async function planned(id: string, names: readonly string[]): Promise<Stage> {
  const stage = await setStage(api, directory.path);
  const { source, destination, world } = stage;
  for (const name of names) world.addVm('source', { id: randomUUID(), name });
  const ends = { source: { endpoint: source }, destination: { endpoint: destination } };
  const waves = [{ vms: names.map((vm) => ({ kind: 'vm', vm, ...ends })), concurrency: 1, onFailure: 'go-on' }];
  await api().must('PUT', `/v1/plans/${id}`, {
    waves,
    migration: { options: { durationMs: 20 }, retries: { max: 0 } },
  });
  return stage;
}
const start = (id: string) => api().must<PlanRun>('POST', `/v1/plans/${id}/runs`, { mode: 'failover' });

async function follow(id: string, lastEventId?: string, of = client): Promise<WatchedRunEvent[]> {
  const signal = AbortSignal.timeout(30_000);
  const heard: WatchedRunEvent[] = [];
  const from = lastEventId === undefined ? {} : { lastEventId };
  for await (const each of of.watchPlanRun(id, { signal, ...from })) heard.push(each);
  return heard;
}
const messages = (heard: readonly WatchedRunEvent[]) =>
  heard.map(({ event: { vm, message } }) => (vm === null ? message : `${vm}: ${message}`));

test('a run is told from its beginning to its end, again from wherever a reader was, and to nobody else', async () => {
  await using _ = await planned('told', ['a', 'b']);
  const { id } = await start('told');
  const heard = await follow(id);
  assert.deepEqual(messages(heard), [
    'The run begins: failover.',
    'Its VMs are checked.',
    'Its VMs move.',
    'Wave 1 begins.',
    'a: It is ordered to move.',
    'a: It has moved.',
    'b: It is ordered to move.',
    'b: It has moved.',
    'Wave 1 is done.',
    'Every VM has moved.',
  ]);
  assert.deepEqual(
    heard.map(({ event }) => event.type),
    heard.map((_, index) => (index === heard.length - 1 ? 'end' : 'log')),
  );
  const last = heard.at(-1);
  assert.deepEqual([last?.event.run.phase, last?.event.run.vms], ['succeeded', { moved: 2 }]);
  assert.deepEqual(messages(await follow(id, heard[6]?.id)), messages(heard).slice(7), 'what came after that one');
  const [again, ...more] = await follow(id, last?.id);
  assert.deepEqual([again?.event.type, again?.event.message, more], ['end', 'Every VM has moved.', []]);
  await api().must('POST', '/v1/projects', { id: 'elsewhere', endpoints: [] });
  const login = { name: 'e', role: 'viewer', project: 'elsewhere' };
  const { key } = await api().must<{ key: string }>('POST', '/v1/api-keys', login);
  const stranger = createLmasClient({ baseUrl: api().url, apiKey: key });
  await assert.rejects(
    follow(id, undefined, stranger),
    (error) => error instanceof LmasApiError && error.status === 404,
  );
});

test('over a killed orchestrator nothing is missed and nothing comes twice; a retry goes on with the same stream', async () => {
  await using stage = await planned('broken', ['c', 'd']);
  const { faults } = stage.world;
  const hold = faults.arm('destination.prepare', 'hold-before', { vm: 'c' });
  faults.arm('destination.prepare', 'before', { vm: 'd', code: 'INCOMPATIBLE' });
  const { id } = await start('broken');
  const following = follow(id);
  await hold.reached;
  await orchestrator.end('SIGKILL');
  await orchestrator.start();
  hold.release();
  const heard = await following;
  assert.equal(new Set(heard.map((each) => each.id)).size, heard.length);
  assert.deepEqual(messages(heard), messages(await follow(id)), 'the same as for one who came later');
  const last = heard.at(-1);
  assert.deepEqual([last?.event.type, last?.event.run.phase, last?.event.run.attempt], ['end', 'failed', 1]);
  await api().must('POST', `/v1/plan-runs/${id}/retry`);
  const rest = await follow(id, last?.id);
  assert.equal(rest[0]?.event.message, 'What did not move is tried again.');
  const end = rest.at(-1)?.event;
  assert.deepEqual([end?.type, end?.run.phase, end?.run.attempt, end?.run.vms], ['end', 'succeeded', 2, { moved: 2 }]);
});

test('a policy tells of its passes and proposals; webhooks as well, but to no project', async () => {
  await using stage = await setStage(api, directory.path);
  await using receiver = await receiveWebhooks();
  await using theirs = await receiveWebhooks();
  stage.world.setUse(stage.vmId, { cpuCores: 30 });
  stage.world.addVm('source', { id: randomUUID(), name: 'beside', cpuCores: 29 });
  await api().must('POST', '/v1/webhooks', {
    id: 'told',
    url: receiver.url,
    events: ['balancing.proposed', 'balancing.rejected'],
  });
  await api().must('POST', '/v1/projects', { id: 'tenant', endpoints: [stage.source, stage.destination] });
  const login = { name: 't', role: 'operator', project: 'tenant' };
  const { key } = await api().must<{ key: string }>('POST', '/v1/api-keys', login);
  await api().call('POST', '/v1/webhooks', { id: 'theirs', url: theirs.url }, { authorization: `Bearer ${key}` });
  const policy = { id: 'followed', endpoints: [stage.source, stage.destination], measureMs: 200, confirmPasses: 1 };
  const created = { ...policy, passes: 'asked', memory: { weight: 0 }, rules: { pinned: ['besid*'] } };
  await api().must('POST', '/v1/balancing-policies', created);
  const heard: string[] = [];
  const connected = Promise.withResolvers<void>();
  const options = { signal: AbortSignal.timeout(30_000), onConnected: () => connected.resolve() };
  const following = (async () => {
    for await (const { event } of client.watchBalancingPolicy('followed', options)) {
      heard.push(event.balancing.event);
      if (heard.length === 4) return;
    }
  })();
  await connected.promise;
  await client.runBalancingPolicy('followed');
  const [proposal] = await client.listBalancingMoves('followed');
  assert.ok(proposal !== undefined);
  await client.rejectBalancingMove('followed', proposal.id);
  await client.runBalancingPolicy('followed');
  await following;
  assert.deepEqual(heard, ['pass-done', 'proposed', 'rejected', 'pass-done']);
  const sent = (await receiver.until(2)).map(({ body }) => JSON.parse(body) as Sent);
  assert.deepEqual(
    sent.map(({ type, data }) => [type, data.policy, data.move.id, data.move.vm.id]),
    ['proposed', 'rejected'].map((event) => [`balancing.${event}`, 'followed', proposal.id, stage.vmId]),
  );
  const gone = (async () => {
    for await (const _ of client.watchBalancingPolicy('followed', { lastEventId: '0-0', ...options }));
  })();
  await api().must('DELETE', '/v1/balancing-policies/followed');
  await assert.rejects(gone, (error) => error instanceof LmasApiError && error.code === 'BALANCING_POLICY_NOT_FOUND');
  assert.equal(theirs.received.length, 0, 'policies belong to the installation');
  await api().must('DELETE', '/v1/webhooks/told');
});

interface Sent {
  readonly type: string;
  readonly data: {
    readonly policy: string;
    readonly move: { readonly id: string; readonly vm: { readonly id: string } };
  };
}
