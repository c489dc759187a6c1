/** Changes of what is registered: what is named is changed, what is not stays, and nobody is overwritten. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { balancingPolicySchema, balancingSettingsSchema } from '../../orchestrator/src/schemas/balancing.ts';
import { endpointSchema } from '../../orchestrator/src/schemas/endpoint.ts';
import { placeLimitsSchema } from '../../orchestrator/src/schemas/limits.ts';
import { linkSchema } from '../../orchestrator/src/schemas/link.ts';
import { pluginSchema } from '../../orchestrator/src/schemas/plugin.ts';
import { scheduleSchema } from '../../orchestrator/src/schemas/schedule.ts';
import { siteChangeSchema, siteSchema } from '../../orchestrator/src/schemas/site.ts';
import { answer, fakeOrchestrator, problem } from './fake-orchestrator.ts';
import { lmas } from './fake-terminal.ts';

const createdAt = '2026-01-01T00:00:00.000Z';
const hostKey = `SHA256:${'A'.repeat(43)}`;

const site = siteSchema.parse({
  ...{ id: 'a', description: 'Rack 7', createdAt },
  gateway: {
    ssh: { host: 'gw-a', hostKeys: [hostKey], credential: 'ops' },
    ...{ tunnelAddress: '203.0.113.10', hypervisorAddress: '10.1.0.10', tunnelPorts: { min: 7_000, max: 7_009 } },
  },
});

test('site set keeps what is not named, and begins anew when somebody was quicker', async () => {
  await using fake = await fakeOrchestrator();
  let etag = 0;
  fake.on('GET /v1/sites/a', (_, response) => {
    etag += 1;
    response.writeHead(200, { 'content-type': 'application/json', etag: `"${etag}"` }).end(JSON.stringify(site));
  });
  fake.on('PATCH /v1/sites/a', (call, response) => {
    if (call.headers['if-match'] === '"2"') answer(200, siteSchema, site)(call, response);
    else problem(412, 'PRECONDITION_FAILED', 'changed meanwhile')(call, response);
  });
  const { code, err } = await lmas(fake, 'site', 'set', 'a', '--gateway-credential', 'ops-2026', '--no-listens');
  assert.equal(code, 0, err);
  const sent = fake.calls.filter(({ method }) => method === 'PATCH').map(({ body }) => siteChangeSchema.parse(body));
  assert.equal(sent.length, 2);
  assert.deepEqual(sent[1], {
    gateway: { ...site.gateway, ssh: { ...site.gateway?.ssh, credential: 'ops-2026' }, listens: false },
  });
  const nothing = await lmas(fake, 'site', 'set', 'a');
  assert.equal(nothing.code, 2);
  assert.match(nothing.err, /nothing to change/);
});

test('a credential that is somebody else’s is named nowhere', async () => {
  await using fake = await fakeOrchestrator();
  for (const credential of ['ops', '']) {
    const seen = { ...site, gateway: { ...site.gateway, ssh: { ...site.gateway?.ssh, credential } } };
    fake.on('GET /v1/sites/a', answer(200, siteSchema, seen));
    const { out } = await lmas(fake, 'site', 'get', 'a');
    assert.match(out, credential === '' ? /^Gateway +gw-a$/m : /^Gateway +gw-a, credential ops$/m);
  }
});

test('endpoint set changes single settings, in the types that the plugin wants', async () => {
  await using fake = await fakeOrchestrator();
  const config = { host: '10.1.0.11', port: 22, peerToPeer: { uriScheme: 'qemu+ssh', port: 5 } };
  const endpoint = { id: 'host-a', site: 'a', plugin: 'kvm', credential: 'ops', config, createdAt };
  const peerToPeer = { type: 'object', properties: { uriScheme: { type: 'string' } } };
  const configSchema = {
    type: 'object',
    properties: { host: { type: 'string' }, port: { type: 'integer' }, peerToPeer },
  };
  const plugin = { name: 'kvm', apiVersion: 1, capabilities: {}, configSchema, optionsSchema: {} };
  fake.on('GET /v1/plugins', answer(200, { parse: (value) => value }, { items: [pluginSchema.parse(plugin)] }));
  fake.on('GET /v1/endpoints/host-a', answer(200, endpointSchema, endpoint));
  fake.on('PATCH /v1/endpoints/host-a', answer(200, endpointSchema, endpoint));
  const flags = ['--config', 'host=10', '--config', 'port=2222', '--config', 'peerToPeer.uriScheme=qemu+tcp'];
  const { code, err } = await lmas(fake, 'endpoint', 'set', 'host-a', ...flags);
  assert.equal(code, 0, err);
  assert.deepEqual(fake.calls.at(-1)?.body, {
    config: { host: '10', port: 2_222, peerToPeer: { uriScheme: 'qemu+tcp', port: 5 } },
  });
  await lmas(fake, 'endpoint', 'set', 'host-a', '--credential', 'new');
  assert.deepEqual(fake.calls.at(-1)?.body, { credential: 'new' });
});

test('policy set sends the whole settings, with what is named changed', async () => {
  await using fake = await fakeOrchestrator();
  const settings = balancingSettingsSchema.parse({ endpoints: ['host-a', 'host-b'], mode: 'propose' });
  const policy = balancingPolicySchema.parse({ id: 'hall-1', ...settings, pausedAt: null, createdAt });
  fake.on('GET /v1/balancing-policies/hall-1', answer(200, balancingPolicySchema, policy));
  fake.on('PUT /v1/balancing-policies/hall-1', answer(200, balancingPolicySchema, policy));
  const { code, err } = await lmas(fake, 'policy', 'set', 'hall-1', '--mode', 'automatic', '--set', 'cpu.high=0.8');
  assert.equal(code, 0, err);
  assert.deepEqual(balancingSettingsSchema.parse(fake.calls.at(-1)?.body), {
    ...settings,
    mode: 'automatic',
    cpu: { ...settings.cpu, high: 0.8 },
  });
});

test('schedule set sends what is named and nothing else', async () => {
  await using fake = await fakeOrchestrator();
  const schedule = {
    ...{ id: 'nightly', project: null, description: '', state: 'active', timeZone: 'UTC', windows: [], blackouts: [] },
    ...{ missed: 'skip', overlap: 'skip', nextAt: null, current: null, waiting: null, createdAt },
    ...{
      action: { kind: 'plan', plan: 'payments', mode: 'failover' },
      trigger: { kind: 'cron', expression: '0 3 * * *' },
    },
  };
  fake.on(
    'PATCH /v1/schedules/nightly',
    answer(200, { parse: (value) => scheduleSchema.partial().parse(value) }, schedule),
  );
  const flags = ['--cron', '0 4 * * *', '--missed', 'run-now'];
  const { code, err } = await lmas(fake, 'schedule', 'set', 'nightly', ...flags);
  assert.equal(code, 0, err);
  assert.deepEqual(fake.calls.at(-1)?.body, { trigger: { kind: 'cron', expression: '0 4 * * *' }, missed: 'run-now' });
  assert.equal((await lmas(fake, 'schedule', 'set', 'nightly')).code, 2);
});

test('the limit of a place is shown, set and taken away', async () => {
  await using fake = await fakeOrchestrator();
  for (const kind of ['site', 'endpoint']) {
    fake.on(`GET /v1/${kind}s/x/limits`, answer(200, placeLimitsSchema, { maxMigrations: 2 }));
    fake.on(`PUT /v1/${kind}s/x/limits`, (call, response) => answer(200, placeLimitsSchema, call.body)(call, response));
    assert.equal((await lmas(fake, kind, 'limit', 'x')).out, 'x: 2 at once.\n');
    assert.equal((await lmas(fake, kind, 'limit', 'x', '--migrations', 'unlimited')).out, 'x: any number at once.\n');
    assert.deepEqual(fake.calls.at(-1)?.body, { maxMigrations: null });
  }
});

test('a link says what was measured, what it is said to carry, and its limits', async () => {
  await using fake = await fakeOrchestrator();
  const limits = { maxMigrations: 2, bandwidthBytesPerSec: null };
  const link = { id: 'a~b', sites: ['a', 'b'], rateBitsPerSec: 1e9, limits, measurements: [], running: 1 };
  fake.on('GET /v1/links/a~b', answer(200, linkSchema, link));
  fake.on('PATCH /v1/links/a~b', answer(200, linkSchema, link));
  assert.match((await lmas(fake, 'link', 'get', 'a', 'b')).out, /Rate +said to carry 1.00 Gbit\/s\nLimits +2 at once/);
  assert.equal((await lmas(fake, 'link', 'rate', 'a', 'b', '1Gbit')).code, 0);
  assert.deepEqual(fake.calls.at(-1)?.body, { rateBitsPerSec: 1e9 });
});

test('a key is added as everything else is, and by the word of before', async () => {
  await using fake = await fakeOrchestrator();
  fake.on('POST /v1/api-keys', problem(409, 'CONFLICT', 'as it was asked for'));
  for (const verb of ['add', 'create']) await lmas(fake, 'api-key', verb, 'portal', '--role', 'viewer');
  assert.deepEqual(
    fake.calls.map(({ body }) => (body as { name: string }).name),
    ['portal', 'portal'],
  );
});
