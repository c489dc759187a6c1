/** What deploy/container says, against the real parts: the Redis it asks for keeps everything, the settings are settings. No container is run. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { Redis } from 'ioredis';
import { parse } from 'yaml';
import { z } from 'zod';
import { readConfig, unknownSettings } from '../../apps/orchestrator/src/config.ts';
import { examineDurability } from '../../apps/orchestrator/src/redis/durability.ts';

const service = z.looseObject({
  read_only: z.literal(true),
  cap_drop: z.tuple([z.literal('ALL')]),
  security_opt: z.tuple([z.literal('no-new-privileges:true')]),
  healthcheck: z.looseObject({ test: z.array(z.string()).min(1) }),
});
const composeSchema = z.strictObject({
  services: z.strictObject({
    redis: service.extend({ command: z.array(z.string()) }),
    orchestrator: service.extend({ environment: z.record(z.string(), z.string()) }),
  }),
  networks: z.record(z.string(), z.unknown()),
  volumes: z.record(z.string(), z.unknown()),
  secrets: z.record(z.string(), z.unknown()),
});
const compose = composeSchema.parse(
  parse(readFileSync(new URL('../../deploy/container/compose.yaml', import.meta.url), 'utf8')),
);

test('its settings are settings of the orchestrator, and can be', () => {
  const { environment } = compose.services.orchestrator;
  assert.deepEqual(unknownSettings(environment), []);
  assert.equal(readConfig(environment).host, '0.0.0.0');
});

test('a Redis that is started so loses nothing', { timeout: 30_000 }, async () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'lmas-compose-'));
  const [program = '', ...flags] = compose.services.redis.command;
  const socket = path.join(directory, 'redis.sock');
  const server = spawn(program, [...flags, '--port', '0', '--unixsocket', socket, '--dir', directory], {
    stdio: 'ignore',
  });
  const redis = new Redis({ path: socket, retryStrategy: () => 50, maxRetriesPerRequest: null });
  redis.on('error', () => undefined); // not there yet
  try {
    assert.deepEqual(await examineDurability(redis, 'socket'), { complaints: [], warnings: [] });
  } finally {
    redis.disconnect();
    const ended = once(server, 'exit');
    server.kill();
    await ended;
    rmSync(directory, { recursive: true });
  }
});
