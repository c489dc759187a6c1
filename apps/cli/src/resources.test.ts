import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { migrationSchema } from '../../orchestrator/src/schemas/migration.ts';
import { queueSchema } from '../../orchestrator/src/schemas/queue.ts';
import { newWebhookSchema } from '../../orchestrator/src/schemas/webhook.ts';
import { answer, fakeOrchestrator, MIGRATION_ID, sampleMigration } from './fake-orchestrator.ts';

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

test('retry, queue and webhook speak to their addresses', LIMITS, async () => {
  await using fake = await fakeOrchestrator();
  fake.on(`POST ${MIGRATION}/retry`, answer(202, migrationSchema, sampleMigration()));
  assert.match((await lmas(fake, ['retry', MIGRATION_ID])).out, /is tried again/);

  const limits = { maxMigrations: 3, bandwidthBytesPerSec: null };
  const queue = { pausedAt: '2026-01-01T00:00:00.000Z', waiting: 2, running: 1, limits };
  fake.on('PATCH /v1/queue', answer(200, queueSchema, queue));
  assert.match((await lmas(fake, ['queue', 'pause'])).out, /paused since .*: 2 wait, 1 run\.\nLimits: 3 at once/);
  await lmas(fake, ['queue', 'limit', '--migrations', 'unlimited']);
  assert.deepEqual(fake.calls.at(-1)?.body, { limits: { maxMigrations: null } });

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
