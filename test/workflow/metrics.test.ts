/** What Prometheus sees of real runs: the right metrics move, no id is in a label, and only who may look sees them. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Orchestrator } from '../../apps/orchestrator/src/main.ts';
import type { Migration } from '../../apps/orchestrator/src/migrations/record.ts';
import { Api, setStage, startInProcess, temporaryDirectory } from './harness.ts';

const directory = await temporaryDirectory();
let orchestrator: Orchestrator;
let api: Api;
before(async () => {
  orchestrator = await startInProcess(directory.path, { LMAS_WEBHOOK_ALLOW: '127.0.0.0/8' });
  api = await Api.of(orchestrator);
});
after(async () => {
  await orchestrator.stop();
  await directory[Symbol.asyncDispose]();
});

async function scrape(key = api.key): Promise<{ status: number; type: string | null; text: string }> {
  const response = await fetch(`${api.url}/metrics`, { headers: { authorization: `Bearer ${key}` } });
  return { status: response.status, type: response.headers.get('content-type'), text: await response.text() };
}

/** 0 for a line that is not there. */
async function value(line: string): Promise<number> {
  const { text } = await scrape();
  const found = text.split('\n').find((each) => each.startsWith(`${line} `));
  return found === undefined ? 0 : Number(found.slice(line.length + 1));
}

const ended = (outcome: string, code: string) =>
  `lmas_migrations_ended_total{plugin="simulated",outcome="${outcome}",code="${code}"}`;
const phase = (name: string) => `lmas_migration_phase_duration_seconds_count{phase="${name}",plugin="simulated"}`;

test('a migration moves the counters of its outcome and of each of its phases', async () => {
  await using stage = await setStage(() => api, directory.path);
  const { id } = await stage.submit();
  assert.equal((await api.ended(id)).phase, 'succeeded');
  assert.equal(await value(ended('succeeded', 'none')), 1);
  assert.equal(await value('lmas_migration_wait_duration_seconds_count{reason="place",plugin="simulated"}'), 1);
  for (const name of ['checking', 'provisioning', 'preparing', 'connecting', 'performing', 'tearing-down']) {
    assert.equal(await value(phase(name)), 1, name);
  }
  assert.equal(await value('lmas_migrations{phase="succeeded"}'), 1);
  assert.ok((await value('lmas_redis_latency_seconds')) > 0);
  assert.ok((await value('lmas_http_requests_total{operation="createMigration",status="202"}')) >= 1);
});

test('while one runs its gateways are seen, and what goes over its link; a cancelled one is counted as such', async () => {
  await using stage = await setStage(() => api, directory.path);
  stage.world.rates.set('source', 1); // it will not get far
  const { id } = await stage.submit();
  const moving = ({ phase, tunnel }: Migration) => phase === 'performing' && (tunnel?.now ?? null) !== null;
  const { source, destination } = await api.until(id, moving);
  const ofLink = (name: string) => `lmas_link_${name}{source="${source.site}",destination="${destination.site}"}`;
  assert.equal(await value(ofLink('tunnels')), 1);
  const { text } = await scrape();
  for (const name of ['goodput_bits_per_second', 'queue_seconds', 'loss_ratio'])
    assert.match(text, new RegExp(`^${ofLink(name)} \\d`, 'm'));
  assert.equal(await value('lmas_gateways{status="carrying"}'), 2);
  assert.equal(await value('lmas_migrations{phase="performing"}'), 1);
  assert.equal(await value('lmas_queue_admitted'), 1);
  await api.must('POST', `/v1/migrations/${id}/cancel`);
  assert.equal((await api.ended(id)).phase, 'cancelled');
  assert.equal(await value(ended('cancelled', 'none')), 1);
  assert.equal(await value('lmas_gateways{status="carrying"}'), 0);
  assert.equal(await value(ofLink('tunnels')), 0);
});

test('no label is an id, or a name that whoever asks chooses', async () => {
  await using stage = await setStage(() => api, directory.path);
  const { id } = await stage.submit({ vm: 'no-such-vm' });
  assert.equal((await api.ended(id)).phase, 'failed');
  await fetch(`${api.url}/v1/nonsense-${id}`, { headers: { authorization: `Bearer ${api.key}` } });
  const { text } = await scrape();
  assert.equal(await value(ended('failed', 'VM_NOT_FOUND')), 1);
  for (const name of [id, stage.vmId, stage.source, 'no-such-vm', 'nonsense']) assert.ok(!text.includes(name), name);
  assert.doesNotMatch(text, /m_[0-9a-f]{8}-/);
});

test('strangers and projects see nothing; a key for this alone does', async () => {
  assert.equal((await scrape('nobody')).status, 401);
  await api.must('POST', '/v1/projects', { id: 'tenant' });
  const keyFor = async (body: object) =>
    (await api.must<{ key: string }>('POST', '/v1/api-keys', { name: 'n', role: 'viewer', ...body })).key;
  assert.equal((await scrape(await keyFor({ project: 'tenant' }))).status, 403);
  const { status, type } = await scrape(await keyFor({ operations: ['getMetrics'] }));
  assert.equal(status, 200);
  assert.match(type ?? '', /^text\/plain; version=0\.0\.4/);
});

test('what came of webhooks is counted by its fault', async () => {
  await api.must('POST', '/v1/webhooks', { id: 'hook', url: 'http://127.0.0.1:1/' });
  await api.must('POST', '/v1/webhooks/hook/test');
  const failed = 'lmas_webhook_attempts_total{outcome="connection_failed"}';
  for (let tries = 0; tries < 100 && (await value(failed)) === 0; tries++) await sleep(50);
  assert.equal(await value(failed), 1);
  assert.equal(await value('lmas_webhook_attempts_total{outcome="delivered"}'), 0);
});

test('every metric is explained in docs/operations.md, and nothing else is', async () => {
  const { text } = await scrape();
  const real = new Set([...text.matchAll(/^# TYPE (lmas_\w+)/gm)].map(([, name]) => name));
  const page = await readFile(new URL('../../docs/operations.md', import.meta.url), 'utf8');
  const told = new Set([...page.matchAll(/^\| `(lmas_\w+)/gm)].map(([, name]) => name));
  assert.deepEqual([...told].sort(), [...real].sort());
});
