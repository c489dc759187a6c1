/**
 * What deploy/container says, against the real parts: Compose's own schema takes it, the Redis it asks for keeps everything, the
 * settings are settings. No container is run.
 *
 * compose-spec.json is schema/compose-spec.json of https://github.com/compose-spec/compose-spec at 170098ba07d9, Apache-2.0.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { Ajv } from 'ajv';
import { Redis } from 'ioredis';
import { parse } from 'yaml';
import { z } from 'zod';
import { readConfig, unknownSettings } from '../../apps/orchestrator/src/config.ts';
import { examineDurability } from '../../apps/orchestrator/src/redis/durability.ts';

const service = z.looseObject({
  read_only: z.literal(true),
  cap_drop: z.tuple([z.literal('ALL')]),
  security_opt: z.tuple([z.literal('no-new-privileges:true')]),
  ulimits: z.strictObject({ core: z.literal(0) }),
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
const read = (file: string): string => readFileSync(new URL(file, import.meta.url), 'utf8');
const written: unknown = parse(read('../../deploy/container/compose.yaml'));
const compose = composeSchema.parse(written);

/** What Compose's schema has against it. */
function complaints(file: unknown): string[] {
  // It names formats of its own, and its draft by an address that Ajv does not know.
  const { $schema: _, ...schema } = JSON.parse(read('compose-spec.json')) as Record<string, unknown>;
  const check = new Ajv({ strict: false, validateFormats: false, allErrors: true }).compile(schema);
  check(file);
  return (check.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`);
}

test('the schema of the Compose specification takes it, and notices a slip', () => {
  assert.deepEqual(complaints(written), []);
  const slips: readonly ((services: Record<string, Record<string, unknown>>) => void)[] = [
    ({ redis }) => Object.assign(redis ?? {}, { restarts: 'always' }),
    ({ redis }) => Object.assign(redis ?? {}, { read_only: ['yes'] }),
    ({ orchestrator }) => Object.assign(orchestrator ?? {}, { depends_on: { redis: { condition: 'healthy' } } }),
  ];
  for (const slip of slips) {
    const wrong = structuredClone(written) as { services: Record<string, Record<string, unknown>> };
    slip(wrong.services);
    assert.notDeepEqual(complaints(wrong), [], String(slip));
  }
});

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

const withoutCompose =
  spawnSync('docker-compose', ['--version']).status === 0 ? false : 'There is no docker-compose here.';

test('Compose itself reads it, and notices a slip', { skip: withoutCompose }, () => {
  const config = (file: string) =>
    spawnSync('docker-compose', ['--file', '-', 'config', '--quiet'], { input: file, encoding: 'utf8' });
  const file = read('../../deploy/container/compose.yaml');
  const { status, stderr } = config(file);
  assert.deepEqual([status, stderr], [0, '']);
  assert.notEqual(config(file.replace('data:/var', 'date:/var')).status, 0);
});
