import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { endpointTestSchema } from '../../orchestrator/src/schemas/endpoint.ts';
import { migrationSchema } from '../../orchestrator/src/schemas/migration.ts';
import { migrationListSchema } from '../../orchestrator/src/schemas/migration-list.ts';
import { queueSchema } from '../../orchestrator/src/schemas/queue.ts';
import { newWebhookSchema } from '../../orchestrator/src/schemas/webhook.ts';
import { answer, fakeOrchestrator, MIGRATION_ID, problem, sampleMigration } from './fake-orchestrator.ts';

const BINARY = fileURLToPath(new URL('../bin/lmas.mjs', import.meta.url));
const MIGRATION = `/v1/migrations/${MIGRATION_ID}`;
const LIMITS = { timeout: 30_000 };

async function lmas({ url }: { url: string }, args: readonly string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [BINARY, ...args], {
    env: { PATH: process.env.PATH ?? '', LMAS_API_KEY: 'key', LMAS_URL: url, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [[code], out, err] = await Promise.all([once(child, 'close'), text(child.stdout), text(child.stderr)]);
  return { code: code as number, out, err };
}

test('set sends what is named and nothing else', LIMITS, async () => {
  await using fake = await fakeOrchestrator();
  fake.on(`PATCH ${MIGRATION}`, answer(200, migrationSchema, sampleMigration()));
  const flags = ['--convergence', 'must-finish', '--bandwidth', 'unlimited', '--max-downtime', 'default'];
  const { code, err } = await lmas(fake, ['set', MIGRATION_ID, ...flags]);
  assert.equal(code, 0, err);
  assert.deepEqual(fake.calls[0]?.body, {
    ...{ convergence: 'must-finish', bandwidthBytesPerSec: null, maxDowntimeMs: null },
  });
  const nothing = await lmas(fake, ['set', MIGRATION_ID]);
  assert.equal(nothing.code, 2);
  assert.match(nothing.err, /nothing to change/);
});

test('give-up sends the reason, which it does not go without', LIMITS, async () => {
  await using fake = await fakeOrchestrator();
  const left = sampleMigration({ teardown: 'incomplete', leftovers: ['gateway at site a: unreachable'] });
  fake.on(`POST ${MIGRATION}/give-up-teardown`, answer(202, migrationSchema, left));
  assert.equal((await lmas(fake, ['give-up', MIGRATION_ID])).code, 2);
  const { code, out } = await lmas(fake, ['give-up', MIGRATION_ID, '--reason', 'burnt down']);
  assert.equal(code, 0);
  assert.match(out, /given up if nobody answers for it once more:\n {2}gateway at site a: unreachable/);
  assert.deepEqual(
    fake.calls.map(({ body }) => body),
    [{ reason: 'burnt down' }],
  );
});

test('what needs a person is listed with what to do, and is said to be done', LIMITS, async () => {
  await using fake = await fakeOrchestrator();
  const asked = sampleMigration({
    ...{ phase: 'failed', where: 'unknown', endedAt: '2026-01-01T00:00:00.000Z', teardown: 'not-needed' },
    byHand: 'Look at both ends.',
  });
  const left = sampleMigration({
    phase: 'failed',
    teardown: 'incomplete',
    leftovers: ['gateway at site a: unreachable'],
  });
  fake.on('GET /v1/migrations', answer(200, migrationListSchema, { items: [asked, left], nextCursor: null }));
  const { code, out, err } = await lmas(fake, ['list', '--needs-person']);
  assert.equal(code, 0, err);
  assert.match(fake.calls[0]?.url ?? '', /\?needs=person$/);
  assert.match(out, /VM unknown\n {2}Look at both ends\.\n {2}When that is done: lmas done m_/);
  assert.match(out, /- gateway at site a: unreachable\n {2}If a machine is gone for good: lmas give-up m_/);

  fake.on(`POST ${MIGRATION}/done-by-hand`, answer(200, migrationSchema, asked));
  assert.equal((await lmas(fake, ['done', MIGRATION_ID])).code, 2, 'it takes a note');
  assert.match((await lmas(fake, ['done', MIGRATION_ID, '--note', 'runs at a'])).out, /noted\./);
  assert.deepEqual(fake.calls.at(-1)?.body, { note: 'runs at a' });
});

test('retry, queue and webhook speak to their addresses', LIMITS, async () => {
  await using fake = await fakeOrchestrator();
  fake.on(`POST ${MIGRATION}/retry`, answer(202, migrationSchema, sampleMigration()));
  assert.match((await lmas(fake, ['retry', MIGRATION_ID])).out, /is tried again/);

  const limits = { maxMigrations: 3, bandwidthBytesPerSec: null };
  const queue = { pausedAt: '2026-01-01T00:00:00.000Z', waiting: 2, running: 1, limits };
  fake.on('PATCH /v1/queue', answer(200, queueSchema, queue));
  assert.match(
    (await lmas(fake, ['queue', 'pause'])).out,
    /paused since .*: 2 waiting, 1 running\.\nLimits: 3 at once/,
  );
  await lmas(fake, ['queue', 'limit', '--migrations', 'unlimited']);
  assert.deepEqual(fake.calls.at(-1)?.body, { limits: { maxMigrations: null } });

  for (const words of [
    ['queue', 'limit'],
    ['link', 'limit', 'a', 'b'],
  ]) {
    const told = await lmas(fake, words);
    assert.equal(told.code, 2);
    assert.match(told.err, /nothing to set: give --migrations, --bandwidth or both\n/);
  }

  const webhook = {
    ...{ id: 'portal', url: 'https://portal.example.org/', description: '', events: null, project: null },
    ...{ createdAt: '2026-01-01T00:00:00.000Z', secretRotatedAt: null, failingSince: null, disabled: null },
    secret: 'whsec_shown-once',
  };
  fake.on('POST /v1/webhooks', answer(201, newWebhookSchema, webhook));
  const added = await lmas(fake, ['webhook', 'add', 'portal', webhook.url, '--event', 'migration.failed']);
  assert.equal(added.out, 'whsec_shown-once\n', 'alone on standard output, for scripts');
  assert.deepEqual(fake.calls.at(-1)?.body, { id: 'portal', url: webhook.url, events: ['migration.failed'] });
});

test('endpoint test tells each step, and fails for scripts where one failed', LIMITS, async () => {
  await using fake = await fakeOrchestrator();
  const host = { name: 'pool-a', version: 'XCP-ng 8.3', cpus: 8, memoryBytes: 2 ** 34, memoryFreeBytes: 2 ** 33 };
  const good = { name: 'connection', outcome: 'ok', seen: 'It took the login.', remedy: null };
  const bad = { name: 'rights', outcome: 'failed', seen: 'read-only\u001b[2J', remedy: 'Make it a VM power admin.' };
  const rest = { name: 'hosts', outcome: 'skipped', seen: 'It rests on rights.', remedy: null };
  const test = (changes: object) => ({ ok: true, durationMs: 300, host, error: null, steps: [good], ...changes });
  const route = 'POST /v1/endpoints/pool-a/test';
  fake.on(route, answer(200, endpointTestSchema, test({})));
  const well = await lmas(fake, ['endpoint', 'test', 'pool-a']);
  assert.deepEqual(
    [well.code, well.out],
    [0, 'ok       connection: It took the login.\npool-a can be worked with (0.3 s).\n'],
  );
  fake.on(route, answer(200, endpointTestSchema, test({ ok: false, steps: [good, bad, rest] })));
  const ill = await lmas(fake, ['endpoint', 'test', 'pool-a']);
  assert.equal(ill.code, 1);
  assert.match(ill.out, /^FAILED {3}rights: read-only\?\[2J\n {9}Make it a VM power admin\.$/m);
  assert.match(ill.out, /^skipped {2}hosts: .*\npool-a cannot be worked with: 1 of 3 steps failed \(0\.3 s\)\.$/m);
  const late = { code: 'FAR_END_TIMEOUT', message: 'The far end did not answer in time.', remedy: null };
  fake.on(route, answer(200, endpointTestSchema, test({ ok: false, error: late })));
  assert.match((await lmas(fake, ['endpoint', 'test', 'pool-a'])).out, /^Broken off: .* \(FAR_END_TIMEOUT\)$/m);
});

test('an orchestrator that accepts and says nothing does not hang the command', LIMITS, async () => {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => sockets.add(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { code, err } = await lmas({ url }, ['list'], { LMAS_TIMEOUT: '500ms' });
    assert.equal(code, 3, err);
    assert.match(err, /did not answer in time/);
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
});

test('a timetable that nobody has set is an answer, and no failure', LIMITS, async () => {
  await using fake = await fakeOrchestrator();
  fake.on('GET /v1/links/a~b/bandwidth-timetable', problem(404, 'TIMETABLE_NOT_FOUND', 'There is no timetable.'));
  const none = await lmas(fake, ['link', 'timetable', 'a', 'b']);
  assert.deepEqual(none, { code: 0, out: '', err: 'No bandwidth by the time of day is set.\n' });
  assert.deepEqual(await lmas(fake, ['link', 'timetable', 'a', 'b', '--json']), { code: 0, out: 'null\n', err: '' });
});

test('where there is no gateway the flag is named that goes without', LIMITS, async () => {
  await using fake = await fakeOrchestrator();
  const detail = 'Register one for each site, or ask for transport `direct`.';
  const body = { type: 'about:blank', title: 'No tunnel.', status: 422, code: 'NO_GATEWAY', detail };
  fake.on('POST /v1/migrations', (_, response) => {
    response.writeHead(422, { 'content-type': 'application/problem+json' }).end(JSON.stringify(body));
  });
  const { code, err } = await lmas(fake, ['migrate', 'web-1', '--from', 'host-a', '--to', 'host-b']);
  assert.equal(code, 4);
  assert.match(err, /go without a tunnel: --direct/);
});
