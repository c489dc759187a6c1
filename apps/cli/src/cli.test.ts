import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { credentialInputSchema, credentialSchema } from '../../orchestrator/src/schemas/credential.ts';
import { endpointInputSchema, endpointSchema } from '../../orchestrator/src/schemas/endpoint.ts';
import { linkTestInputSchema, linkTestSchema } from '../../orchestrator/src/schemas/link.ts';
import { masterKeyRotationSchema } from '../../orchestrator/src/schemas/master-key.ts';
import { migrationInputSchema, migrationSchema } from '../../orchestrator/src/schemas/migration.ts';
import { migrationCheckSchema } from '../../orchestrator/src/schemas/migration-check.ts';
import { migrationEventSchema } from '../../orchestrator/src/schemas/migration-event.ts';
import { migrationListSchema } from '../../orchestrator/src/schemas/migration-list.ts';
import { migrationLogSchema } from '../../orchestrator/src/schemas/migration-log.ts';
import { pluginSchema } from '../../orchestrator/src/schemas/plugin.ts';
import { readinessSchema, versionSchema } from '../../orchestrator/src/schemas/service.ts';
import {
  answer,
  eventOf,
  eventStream,
  type FakeOrchestrator,
  fakeOrchestrator,
  MIGRATION_ID,
  problem,
  sampleMigration,
} from './fake-orchestrator.ts';

const BINARY = fileURLToPath(new URL('../bin/lmas.mjs', import.meta.url));
const MIGRATION = `/v1/migrations/${MIGRATION_ID}`;
const LIMITS = { timeout: 30_000 };

function start(args: readonly string[], env: Record<string, string> = {}): ChildProcess {
  return spawn(process.execPath, [BINARY, ...args], {
    env: { PATH: process.env.PATH ?? '', LMAS_DATA_DIR: '/nonexistent', LMAS_API_KEY: 'secret-key', TZ: 'UTC', ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
}

interface Ended {
  code: number | null;
  out: string;
  err: string;
}

async function finish(child: ChildProcess, input = ''): Promise<Ended> {
  const { stdout, stderr, stdin } = child;
  assert.ok(stdout && stderr && stdin);
  stdin.end(input);
  const [[code], out, err] = await Promise.all([once(child, 'close'), text(stdout), text(stderr)]);
  return { code, out, err };
}

function lmas(fake: Pick<FakeOrchestrator, 'url'>, args: readonly string[], input = ''): Promise<Ended> {
  return finish(start(args, { LMAS_URL: fake.url }), input);
}

const succeeded = {
  phase: 'succeeded' as const,
  where: 'destination' as const,
  teardown: 'complete' as const,
  startedAt: '2026-01-01T00:00:01.000Z',
  endedAt: '2026-01-01T00:00:31.000Z',
};
const MIGRATE = ['migrate', 'web-1', '--from', 'host-a', '--to', 'host-b'];

test('migrate sends what the flags say and tells how to go on', LIMITS, async () => {
  await using fake = await fakeOrchestrator();
  fake.on('POST /v1/migrations', answer(202, migrationSchema, sampleMigration()));
  const flags = [
    '--bandwidth',
    '500Mbit',
    '--max-downtime',
    '300',
    '--subflows',
    '4-16',
    '--compression',
    'auto',
    '--suite',
    'none',
    '--network-map',
    'lan=lan-b',
    '--timeout',
    'total=2h',
  ];
  const { code, out, err } = await lmas(fake, [...MIGRATE, ...flags]);
  assert.equal(code, 0, err);
  assert.match(out, new RegExp(`^${MIGRATION_ID}: accepted`));
  assert.match(err, new RegExp(`lmas get ${MIGRATION_ID} --watch`));
  const [call] = fake.calls;
  assert.equal(call?.headers.authorization, 'Bearer secret-key');
  assert.match(String(call?.headers['idempotency-key']), /^[0-9a-f-]{36}$/);
  const sent = migrationInputSchema.parse(call?.body);
  assert.equal(sent.bandwidthBytesPerSec, 62_500_000);
  assert.equal(sent.maxDowntimeMs, 300);
  assert.deepEqual(sent.tunnel, { suite: 'none', subflows: { min: 4, max: 16 }, compression: 'auto' });
  assert.deepEqual(sent.networkMap, { lan: 'lan-b' });
  assert.equal(sent.timeouts.totalMs, 7_200_000);
});

test('--watch follows over broken connections to the end', LIMITS, async () => {
  await using fake = await fakeOrchestrator();
  const events = [
    eventOf('phase', 'queued'),
    eventOf('phase', 'performing', { phase: 'performing' }),
    eventOf('log', 'evil \u001b[2J name', { phase: 'performing' }),
    eventOf('phase', 'succeeded', succeeded),
    eventOf('end', 'succeeded', succeeded),
  ];
  fake.on('POST /v1/migrations', answer(202, migrationSchema, sampleMigration()));
  fake.on(`GET ${MIGRATION}/events`, eventStream(migrationEventSchema, events, { breakAfter: 2 }));
  const plain = await lmas(fake, [...MIGRATE, '--watch']);
  assert.equal(plain.code, 0, plain.err);
  assert.match(plain.out, /web-1 runs at host-b now\. It took 30\.0 s\./);
  assert.ok(!plain.out.includes('\u001b'));
  assert.match(plain.err, /no connection to the orchestrator, trying again/);
  const json = await lmas(fake, [...MIGRATE, '--watch', '--json']);
  const lines = json.out
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    lines.map(({ id }) => id),
    ['1', '2', '3', '4', '5'],
  );
  for (const line of lines) migrationEventSchema.parse(line);
});

test('get --watch begins where it is: what was said is told, how far it had come is not', LIMITS, async () => {
  await using fake = await fakeOrchestrator();
  const at = (time: string, percent: number) => ({
    phase: 'performing' as const,
    progress: {
      ...{ stage: 'memory' as const, percent, bytesTotal: 100, bytesTransferred: percent },
      ...{ bytesRemaining: 100 - percent, rateBytesPerSec: 1e8, dirtyRateBytesPerSec: null, iteration: 1 },
      ...{ etaMs: 9_000, outlook: null, at: time },
    },
  });
  const [old, now] = ['2026-01-01T00:00:01.000Z', '2026-01-01T00:10:00.000Z'];
  const events = [
    { ...eventOf('log', 'an early word'), at: old },
    { ...eventOf('progress', 'memory 3 %', at(old, 3)), at: old },
    { ...eventOf('progress', 'memory 77 %', at(now, 77)), at: now },
    { ...eventOf('end', 'succeeded', succeeded), at: now },
  ];
  fake.on(`GET ${MIGRATION}`, answer(200, migrationSchema, sampleMigration(at(now, 77))));
  fake.on(`GET ${MIGRATION}/events`, eventStream(migrationEventSchema, events));
  const { out } = await lmas(fake, ['get', MIGRATION_ID, '--watch']);
  assert.match(out, /an early word[\s\S]* 77 ?%/);
  assert.doesNotMatch(out, / 3 ?%/);
});

const failure = {
  code: 'STREAM_FAILED',
  message: 'The stream broke.',
  remedy: 'Look at the link.',
  retryable: true,
  phase: 'performing' as const,
  native: { name: 'VIR_ERR', message: 'unable to write' },
  cause: null,
};

test('the log of a migration, one line for each of its lines', LIMITS, async () => {
  const line = {
    at: '2026-01-01T00:00:00.000Z',
    level: 'warn',
    run: 2,
    message: 'could not be taken down',
    fields: {},
  };
  const error = { code: 'UNREACHABLE', message: 'no route' };
  const items = [{ ...line, error, fields: { site: 'a\u001b[2J' } }];
  await using fake = await fakeOrchestrator();
  fake.on(`GET ${MIGRATION}/log`, answer(200, migrationLogSchema, { items }));
  const { code, out } = await lmas(fake, ['log', MIGRATION_ID]);
  assert.equal(code, 0);
  assert.match(out, /^2026-01-01T00:00:00\.000Z WARN {2}could not be taken down \(UNREACHABLE: no route\)/);
  assert.ok(!out.includes('\u001b'), 'what others chose does not drive the terminal');
});

test('what a migration waits for is shown with it, in whatever phase it waits', LIMITS, async () => {
  await using fake = await fakeOrchestrator();
  const waiting = { place: 2, reason: 'waits for a place: link a~b allows 1', blockedBy: [] };
  fake.on(`GET ${MIGRATION}`, answer(200, migrationSchema, sampleMigration({ phase: 'checking', waiting })));
  const { out } = await lmas(fake, ['get', MIGRATION_ID]);
  assert.match(out, /waits for a place: link a~b allows 1 \(place 2 in the queue\)/);
});

test('the exit code of --watch is that of the migration', LIMITS, async () => {
  const ends = [
    { command: 'get', changes: succeeded, code: 0, says: /runs at host-b/ },
    {
      command: 'get',
      changes: { ...succeeded, phase: 'failed' as const, where: 'source' as const, error: failure },
      code: 1,
      says: /STREAM_FAILED[\s\S]*unable to write[\s\S]*What to do: Look at the link/,
    },
    {
      command: 'get',
      changes: { ...succeeded, phase: 'cancelled' as const, where: 'source' as const },
      code: 1,
      says: /was cancelled/,
    },
    {
      command: 'cancel',
      changes: { ...succeeded, phase: 'cancelled' as const, where: 'source' as const },
      code: 0,
      says: /was cancelled/,
    },
    { command: 'cancel', changes: succeeded, code: 1, says: /runs at host-b/ },
    {
      command: 'get',
      changes: { ...succeeded, phase: 'failed' as const, where: 'unknown' as const, byHand: 'Look at host-a.' },
      code: 5,
      says: /ACT BY HAND: Look at host-a/,
    },
    {
      command: 'get',
      changes: { ...succeeded, phase: 'cancelled' as const, where: 'unknown' as const },
      code: 1,
      says: /The VM is where it was: it was not seen, and nothing was touched/,
    },
    {
      command: 'get',
      changes: {
        ...succeeded,
        phase: 'failed' as const,
        where: 'unknown' as const,
        error: { ...failure, code: 'VM_NOT_FOUND' },
      },
      code: 1,
      says: /The VM is where it was: it was not found, and nothing was touched/,
    },
    {
      command: 'get',
      changes: { ...succeeded, phase: 'failed' as const, where: 'both' as const },
      code: 5,
      says: /ACT BY HAND/,
    },
  ];
  await Promise.all(
    ends.map(async ({ command, changes, code, says }) => {
      await using fake = await fakeOrchestrator();
      fake.on(`GET ${MIGRATION}`, answer(200, migrationSchema, sampleMigration()));
      fake.on(`POST ${MIGRATION}/cancel`, answer(202, migrationSchema, sampleMigration()));
      fake.on(`GET ${MIGRATION}/events`, eventStream(migrationEventSchema, [eventOf('end', 'end', changes)]));
      const ended = await lmas(fake, [command, MIGRATION_ID, '--watch']);
      assert.equal(ended.code, code, ended.err);
      assert.match(ended.out, says);
    }),
  );
});

test('refusals, absence and unreadiness have their own exit codes', LIMITS, async () => {
  await using fake = await fakeOrchestrator();
  const cases: [number, string, number][] = [
    [400, 'INVALID_REQUEST', 4],
    [401, 'UNAUTHENTICATED', 4],
    [404, 'SITE_NOT_FOUND', 4],
    [409, 'IN_USE', 4],
    [500, 'INTERNAL', 1],
    [502, 'GATEWAY_UNREACHABLE', 1],
    [502, 'HTTP_502', 3],
    [503, 'UNAVAILABLE', 3],
  ];
  for (const [status, code, exitCode] of cases) {
    fake.on('GET /v1/sites/a', problem(status, code, 'not today', [{ path: 'x.y', message: 'wrong' }]));
    const ended = await lmas(fake, ['site', 'get', 'a']);
    assert.equal(ended.code, exitCode, `${status} ${code}: ${ended.err}`);
    const remedy = status === 401 ? 'Do something\\. Name the right key' : 'Do something\\.';
    assert.match(ended.err, new RegExp(`^lmas: not today \\(${code}\\)\n  x\\.y: wrong\n  ${remedy}`));
  }
  const json = await lmas(fake, ['site', 'get', 'a', '--json']);
  assert.equal(json.out, '');
  assert.equal(JSON.parse(json.err).error.code, 'UNAVAILABLE');
  assert.equal((await lmas({ url: 'http://127.0.0.1:1' }, ['list'])).code, 3);
  fake.on('GET /v1/version', answer(200, versionSchema, { version: '0.1.0', apiVersion: 1 }));
  const checks = [{ name: 'redis', ok: false, detail: 'no answer' }];
  fake.on('GET /readyz', answer(503, readinessSchema, { ready: false, checks }));
  const version = await lmas(fake, ['version']);
  assert.equal(version.code, 3);
  assert.match(version.out, /NOT READY\n {2}redis: no answer/);
});

test('wrong usage sends nothing', LIMITS, async () => {
  await using fake = await fakeOrchestrator();
  const wrong = [
    ['migrat'],
    ['help', 'migrat'],
    ['help', 'site', 'ad'],
    ['migrate', 'web-1', '--from', 'a'],
    [...MIGRATE, '--bandwidth', '500M'],
    [...MIGRATE, '--direct', '--subflows', '4'],
    [...MIGRATE, '--subflows', '4-'],
    [...MIGRATE, '--option', 'novalue'],
    ['list', '--phase', 'done'],
    ['link', 'test', 'a', 'b', '--seconds', '99'],
    ['site', 'add', 'a', '--gateway', 'gw'],
    ['credential', 'add', 'x', '--username', 'u'],
    ['list', '--api-key-file', '/nonexistent/key'],
    ['list', '--api-key-file', '/dev/zero'],
    ['list', '--url', 'localhost:7070'],
  ];
  const ends = await Promise.all(wrong.map((args) => lmas(fake, args)));
  for (const [index, { code, out }] of ends.entries()) {
    assert.equal(code, 2, `lmas ${wrong[index]?.join(' ')}`);
    assert.equal(out, '');
  }
  assert.match(ends.find((_, index) => wrong[index]?.includes('/dev/zero'))?.err ?? '', /it is larger than 64 KiB/);
  assert.deepEqual(fake.calls, []);
});

test('wrong usage is told before a missing key, and each command says how its own help is had', LIMITS, async () => {
  await using fake = await fakeOrchestrator();
  const [evacuate, migrate, add] = await Promise.all([
    lmas(fake, ['evacuate', 'host-a', '--api-key-file', '/nonexistent/key']),
    lmas(fake, [...MIGRATE, '--bandwith', '5Mbit']),
    lmas(fake, ['site', 'add']),
  ]);
  assert.match(evacuate.err, /where to/);
  assert.match(migrate.err, /Did you mean --bandwidth\?\)\nlmas migrate --help says what it takes\.\n$/);
  assert.match(add.err, /\nlmas site add --help says what it takes\.\n$/);
});

test('all that a command line lacks is told at once; the default of a number is shown as one', LIMITS, async () => {
  await using fake = await fakeOrchestrator();
  const [nothing, some, words, help, machine] = await Promise.all([
    lmas(fake, ['endpoint', 'add']),
    lmas(fake, ['endpoint', 'add', 'host-a', '--plugin', 'kvm', '--json']),
    lmas(fake, ['link', 'test']),
    lmas(fake, ['link', 'test', '--help']),
    lmas(fake, ['site', 'add', 'a', '--gateway', 'gw']),
  ]);
  const options = "option '--site <id>', option '--plugin <name>', option '--credential <id>'";
  assert.deepEqual([nothing.code, nothing.err.split('\n')[0]], [2, `lmas: missing: argument 'id', ${options}`]);
  assert.equal(some.code, 2);
  assert.equal(JSON.parse(some.err).error.message, "missing: option '--site <id>', option '--credential <id>'");
  assert.deepEqual(
    [words.code, words.err.split('\n')[0]],
    [2, "lmas: missing: argument 'source', argument 'destination'"],
  );
  assert.match(help.out, /\(default:\s+5\)/);
  assert.equal(machine.code, 2);
  assert.match(machine.err, /--gateway-credential ID.*--gateway-host-key SHA256:/);
});

test('a lost reply to migrate names the key that makes a repetition safe', LIMITS, async () => {
  await using fake = await fakeOrchestrator();
  fake.on('POST /v1/migrations', (_, response) => void response.destroy());
  const { code, err } = await lmas(fake, MIGRATE);
  assert.equal(code, 3);
  assert.ok(err.includes(`--idempotency-key ${fake.calls[0]?.headers['idempotency-key']}`), err);
});

test('Ctrl-C ends the watching, not the migration', LIMITS, async () => {
  await using fake = await fakeOrchestrator();
  fake.on(`GET ${MIGRATION}`, answer(200, migrationSchema, sampleMigration()));
  fake.on(`GET ${MIGRATION}/events`, (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(`id: 1\ndata: ${JSON.stringify(eventOf('phase', 'queued'))}\n\n`);
  });
  const child = start(['get', MIGRATION_ID, '--watch'], { LMAS_URL: fake.url });
  child.stdout?.once('data', () => child.kill('SIGINT'));
  const { code, err } = await finish(child);
  assert.equal(code, 130);
  assert.match(err, new RegExp(`goes on without this command[\\s\\S]*lmas cancel ${MIGRATION_ID}`));
  assert.ok(fake.calls.every(({ method }) => method === 'GET'));
});

test('secrets come from standard input and are shown nowhere', LIMITS, async () => {
  await using fake = await fakeOrchestrator();
  const stored = { id: 'v', kind: 'password', username: 'svc', createdAt: '2026-01-01T00:00:00.000Z' };
  fake.on('POST /v1/credentials', answer(201, credentialSchema, stored));
  const { code, out, err } = await lmas(
    fake,
    ['credential', 'add', 'v', '--username', 'svc', '--password-file', '-'],
    'pa ss\n',
  );
  assert.equal(code, 0, err);
  assert.deepEqual(credentialInputSchema.parse(fake.calls[0]?.body), {
    id: 'v',
    kind: 'password',
    username: 'svc',
    password: 'pa ss',
  });
  assert.ok(!`${out}${err}`.includes('pa ss'));
});

test('endpoint settings follow the schema of the plugin', LIMITS, async () => {
  await using fake = await fakeOrchestrator();
  const hostKeys = { type: 'array', items: { type: 'string' } };
  const configSchema = {
    type: 'object',
    properties: { host: { type: 'string' }, port: { type: 'integer' }, hostKeys },
  };
  const plugin = { name: 'kvm', apiVersion: 1, capabilities: {}, configSchema, optionsSchema: {} };
  fake.on('GET /v1/plugins', answer(200, { parse: (value) => value }, { items: [pluginSchema.parse(plugin)] }));
  fake.on('POST /v1/endpoints', (call, response) => {
    const input = endpointInputSchema.parse(call.body);
    answer(201, endpointSchema, { ...input, createdAt: '2026-01-01T00:00:00.000Z' })(call, response);
  });
  const flags = [
    '--site',
    'a',
    '--plugin',
    'kvm',
    '--credential',
    'ops',
    '--config',
    'host=10',
    '--config',
    'port=22',
    '--config',
    'hostKeys=SHA256:x',
  ];
  const { code, out, err } = await lmas(fake, ['endpoint', 'add', 'host-a', ...flags, '--json']);
  assert.equal(code, 0, err);
  assert.deepEqual(JSON.parse(out).config, { host: '10', port: 22, hostKeys: ['SHA256:x'] });
});

test('check and link test say no with exit code 1 and every finding', LIMITS, async () => {
  await using fake = await fakeOrchestrator();
  const prediction = {
    ...{ rateBytesPerSec: 1e8, dirtyRateBytesPerSec: 1e6, convergence: 'yes' as const, passes: 2 },
    ...{ durationMs: { low: 9_800, high: 13_600 }, downtimeMs: { low: 20, high: 400 } },
  };
  const findings = [
    { severity: 'blocker', code: 'CPU', message: 'No such CPU there.', remedy: 'Choose another model.' },
    { severity: 'warning', code: 'CLOCK', message: 'Clocks differ.', remedy: 'Run NTP.' },
    { severity: 'note', code: 'WINDOW', message: 'There is a window.', remedy: 'Another mode has none.' },
  ];
  fake.on(
    'POST /v1/migration-checks',
    answer(200, migrationCheckSchema, { ok: false, findings, memoryBytes: 2 ** 30, diskBytes: 0, prediction }),
  );
  const check = await lmas(fake, ['check', 'web-1', '--from', 'host-a', '--to', 'host-b']);
  assert.equal(check.code, 1);
  assert.match(
    check.out,
    /BLOCKER {2}No such CPU there\. \(CPU\)\n {9}Choose another model\.\nwarning {2}Clocks differ.*\n.*\nnote {5}There is a window/,
  );
  const link = {
    source: 'a',
    destination: 'b',
    listener: 'b',
    port: 7_400,
    rttMinMs: 100,
    rttMedianMs: 100.4,
    goodputBitsPerSec: 9.1e8,
    mtuBytes: 1_500,
    lossPct: 0.01,
    clockOffsetMs: -250,
    findings: [],
  };
  fake.on('POST /v1/link-tests', answer(200, linkTestSchema, link));
  const tested = await lmas(fake, ['link', 'test', 'a', 'b', '--seconds', '2']);
  assert.equal(tested.code, 0, tested.err);
  assert.match(tested.out, /Rate {8}910 Mbit\/s/);
  assert.match(tested.out, /250 ms apart, a is ahead/);
  assert.equal(linkTestInputSchema.parse(fake.calls.at(-1)?.body).durationMs, 2_000);
});

test('list --all reads every page; help needs no orchestrator', LIMITS, async () => {
  await using fake = await fakeOrchestrator();
  fake.on('GET /v1/migrations', (call, response) => {
    const more = !call.url.includes('cursor=');
    answer(200, migrationListSchema, { items: [sampleMigration()], nextCursor: more ? 'next' : null })(call, response);
  });
  const { out } = await lmas(fake, ['--json', 'list', '--all']);
  assert.equal(JSON.parse(out).items.length, 2);
  const { code, out: help } = await lmas({ url: 'http://127.0.0.1:1' }, ['link', 'test', '--help']);
  assert.equal(code, 0);
  assert.match(help, /Examples:\n {2}lmas link test a b/);
  for (const args of [
    ['help', 'link', 'test'],
    ['link', 'help', 'test'],
  ]) {
    assert.equal((await lmas({ url: 'http://127.0.0.1:1' }, args)).out, help, `lmas ${args.join(' ')}`);
  }
});

test('a rotation that could not seal everything anew says what, and is no success', LIMITS, async () => {
  await using fake = await fakeOrchestrator();
  const notResealed = ['The secret of credential:ops needs the master key deadbeef.'];
  const keys = [{ id: '0badcafe', values: 1, known: true }];
  const state = { source: 'file', current: '0badcafe', keys, resealed: 1, notResealed };
  fake.on('POST /v1/master-key/rotate', answer(200, masterKeyRotationSchema, state));
  const { code, err } = await lmas(fake, ['master-key', 'rotate']);
  assert.equal(code, 1);
  assert.match(
    err,
    /Sealed anew: 1 secret\.\nNot sealed anew: The secret of credential:ops needs .*deadbeef\.\nPut the key/,
  );
});
