/**
 * Whatever a call of the API takes, the command line can send: each operation with a body, against the commands that make it with all
 * their flags. A field that is added to the API fails here until there is a flag for it, or a file that is passed on whole.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type FakeOrchestrator, fakeOrchestrator } from './fake-orchestrator.ts';
import { run } from './program.ts';

interface Schema {
  readonly $ref?: string;
  readonly properties?: Record<string, Schema>;
  readonly items?: Schema;
  readonly additionalProperties?: unknown;
  readonly anyOf?: Schema[];
  readonly oneOf?: Schema[];
  readonly allOf?: Schema[];
}
interface Operation {
  readonly requestBody?: { readonly content: Record<string, { readonly schema: Schema }> };
}
const API = JSON.parse(readFileSync(new URL('../../../packages/client/openapi.json', import.meta.url), 'utf8')) as {
  readonly paths: Record<string, Record<string, Operation>>;
  readonly components: { readonly schemas: Record<string, Schema> };
};

const directory = mkdtempSync(join(tmpdir(), 'lmas-fields-'));
after(() => rmSync(directory, { recursive: true }));
const file = (name: string, content: string): string => {
  const at = join(directory, name);
  writeFileSync(at, content, { mode: 0o600 });
  return at;
};
/** Passed on as it stands, so that whatever the API takes gets there. */
const WHOLE = file('whole.json', '{ "id": "x", "passedOn": { "asItIs": true } }');
const SECRET = file('secret', 'x');
const KEY = file('key', '-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n');

const move = (command: string, ...more: string[]) => [
  ...[command, 'web-1', '--from', 'a', '--to', 'b', '--network-map', 'lan=lan', '--disk-map', 'vda=/x'],
  ...['--may-replace', '/y', '--max-downtime', '300', '--convergence', 'balanced', '--label', 'a=b'],
  ...['--correlation-id', 'c', '--priority', '1', '--bandwidth', '1Gbit', '--retries', '1', '--retry-pause', '1s'],
  ...['queue', 'checking', 'provisioning', 'preparing', 'no-progress', 'total'].flatMap((stage) => [
    '--timeout',
    `${stage}=60s`,
  ]),
  ...more,
];
const MOVES = (command: string) => [
  move(command, '--powered-off', '--direct', '--allow-cordoned'),
  move(command, '--suite', 'none', '--subflows', '4-16', '--compression', 'auto', '--option', 'a=b'),
];
const site = [
  ...['--description', 'd', '--gateway', 'gw:22', '--gateway-host-key', `SHA256:${'a'.repeat(43)}`],
  ...['--gateway-credential', 'ops', '--tunnel-address', '192.0.2.1', '--listen-address', '192.0.2.2'],
  ...['--tunnel-ports', '7400-7499', '--hypervisor-address', '192.0.2.3', '--more-hypervisor-address', '192.0.2.4'],
  '--no-listens',
];
const limit = ['--migrations', '1', '--bandwidth', '1Gbit'];
const project = [
  ...['--description', 'd', '--endpoint', 'a'],
  ...['--max-migrations', '1', '--max-waiting', '1', '--max-priority', '1'],
];
const timetable = ['--at', 'mon-fri 08:00-19:00=1Gbit', '--otherwise', '1Gbit', '--time-zone', 'Europe/Lisbon'];
const pin = ['host-key', 'pin', `SHA256:${'a'.repeat(43)}`, '--replaces', `SHA256:${'b'.repeat(43)}`];
const M = 'm_0198c9d4-5a1f-7c55-b1d2-5d3c7c1f9a10';
const R = 'r_0198c9d4-5a1f-7c55-b1d2-5d3c7c1f9a10';

/** Operation → the commands that make it. */
const COMMANDS: Record<string, string[][]> = {
  'POST /v1/api-keys': [
    [
      ...['api-key', 'create', 'x', '--role', 'viewer', '--project', 'red', '--operation', 'getQueue'],
      ...['--expires-in', '1h', '--output', join(directory, 'made-key')],
    ],
  ],
  'POST /v1/api-keys/{id}/rotate': [
    ['api-key', 'rotate', 'x', '--grace', '1h', '--output', join(directory, 'new-key')],
  ],
  'POST /v1/projects': [['project', 'add', 'x', ...project]],
  'PATCH /v1/projects/{id}': [['project', 'set', 'x', ...project]],
  'POST /v1/credentials': [
    ['credential', 'add', 'x', '--username', 'u', '--password-file', SECRET],
    ['credential', 'add', 'x', '--username', 'u', '--private-key-file', KEY, '--passphrase-file', SECRET],
  ],
  'POST /v1/sites': [['site', 'add', 'x', ...site]],
  'PATCH /v1/sites/{id}': [['site', 'set', 'x', ...site]],
  'POST /v1/host-key-scans': [['host-key', 'scan', 'host:22']],
  'POST /v1/endpoints': [
    ['endpoint', 'add', 'x', '--site', 'a', '--plugin', 'kvm', '--credential', 'ops', '--config-file', WHOLE],
  ],
  'PATCH /v1/endpoints/{id}': [['endpoint', 'set', 'x', '--credential', 'ops', '--config-file', WHOLE]],
  'PUT /v1/sites/{id}/host-keys': [[...pin, '--site', 'x']],
  'PUT /v1/endpoints/{id}/host-keys': [[...pin, '--endpoint', 'x']],
  'POST /v1/migrations': [...MOVES('migrate'), move('drill', '--keep', '1min')],
  'POST /v1/migration-checks': [...MOVES('check'), move('drill', '--keep', '1min', '--check')],
  'PATCH /v1/migrations/{id}': [
    ['set', M, '--bandwidth', '1Gbit', '--convergence', 'balanced', '--max-downtime', '300'],
  ],
  'POST /v1/migrations/{id}/give-up-teardown': [['give-up', M, '--reason', 'r']],
  'POST /v1/migrations/{id}/done-by-hand': [['done', M, '--note', 'n']],
  'PATCH /v1/links/{id}': [
    ['link', 'limit', 'a', 'b', ...limit],
    ['link', 'rate', 'a', 'b', '1Gbit'],
  ],
  'POST /v1/link-tests': [['link', 'test', 'a', 'b', '--seconds', '1']],
  'PUT /v1/links/{id}/bandwidth-timetable': [['link', 'timetable', 'a', 'b', ...timetable]],
  'PUT /v1/queue/bandwidth-timetable': [['queue', 'timetable', ...timetable]],
  'PATCH /v1/queue': [
    ['queue', 'limit', ...limit],
    ['queue', 'pause'],
  ],
  'PUT /v1/sites/{id}/limits': [['site', 'limit', 'x', '--migrations', '1']],
  'PUT /v1/endpoints/{id}/limits': [['endpoint', 'limit', 'x', '--migrations', '1']],
  'POST /v1/schedules': [['schedule', 'add', 'x', '--file', WHOLE]],
  'PATCH /v1/schedules/{id}': [['schedule', 'set', 'x', '--file', WHOLE]],
  'POST /v1/schedule-previews': [['schedule', 'add', 'x', '--file', WHOLE, '--preview']],
  'PUT /v1/plans/{id}': [['plan', 'apply', WHOLE]],
  'POST /v1/plans/{id}/runs': [['plan', 'run', 'x', '--mode', 'failover']],
  'POST /v1/evacuations': [['evacuate', '--file', WHOLE]],
  'POST /v1/plan-runs/{id}/approve': [['plan', 'approve', R, '--wave', '1']],
  'POST /v1/plan-runs/{id}/fail-back': [
    ['plan', 'fail-back', R, '--except', 'db-1', '--leave-powered-off'],
    ['plan', 'fail-back', R, '--refuse-powered-off'],
  ],
  'POST /v1/balancing-policies': [
    ['policy', 'add', 'x', '--endpoint', 'a', '--endpoint', 'b', '--mode', 'explain', '--set', 'passedOn=true'],
  ],
  'PUT /v1/balancing-policies/{id}': [['policy', 'set', 'x', '--set', 'passedOn=true']],
  'POST /v1/webhooks': [
    ['webhook', 'add', 'x', 'https://example.org/', '--event', 'migration.succeeded', '--description', 'd'],
  ],
  'PATCH /v1/webhooks/{id}': [
    ['webhook', 'enable', 'x'],
    ['webhook', 'set', 'x', '--to', 'https://example.org/', '--all-events', '--description', 'd'],
  ],
};

/** What commands look at before they send theirs. */
const SEEN: Record<string, unknown> = {
  '/v1/sites/x': { id: 'x', description: '', gateway: null },
  '/v1/endpoints/x': { id: 'x', site: 'a', plugin: 'kvm', credential: 'ops', config: {} },
  '/v1/endpoints/a': { id: 'a', site: 'a', plugin: 'kvm', credential: 'ops', config: {} },
  '/v1/balancing-policies/x': { id: 'x' },
  '/v1/plugins': { items: [] },
};

test('every field of every request can be sent by a command', async () => {
  await using fake = await fakeOrchestrator();
  for (const [path, body] of Object.entries(SEEN)) {
    fake.on(`GET ${path}`, (_, response) => {
      response.writeHead(200, { 'content-type': 'application/json', etag: '"1"' }).end(JSON.stringify(body));
    });
  }
  for (const args of Object.values(COMMANDS).flat()) await lmas(fake, args);
  const missing = operations().flatMap(([operation, schema]) => {
    const sent = fake.calls.filter((call) => isOf(operation, call)).map(({ body }) => body);
    if (sent.some((body) => has(body, 'passedOn'))) return [];
    return fieldsOf(schema).flatMap((field) =>
      sent.some((body) => has(body, field)) ? [] : [`${operation}: ${field}`],
    );
  });
  assert.deepEqual(missing, []);
});

/** All that take a body, and what it may be. */
function operations(): [string, Schema][] {
  return Object.entries(API.paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, { requestBody }]): [string, Schema][] => {
      const [content] = Object.values(requestBody?.content ?? {});
      return content === undefined ? [] : [[`${method.toUpperCase()} ${path}`, content.schema]];
    }),
  );
}

async function lmas(fake: FakeOrchestrator, args: string[]): Promise<void> {
  const silent = { write: () => undefined };
  await run(args, {
    ...{ stdout: silent, stderr: silent, stdin: process.stdin },
    interrupted: new AbortController().signal,
    env: { LMAS_URL: fake.url, LMAS_API_KEY: 'key' },
  });
}

function isOf(operation: string, { method, url }: { method: string; url: string }): boolean {
  const [wanted, path = ''] = operation.split(' ');
  const pattern = new RegExp(`^${path.replace(/\{[^}]+\}/g, '[^/]+')}$`);
  return method === wanted && pattern.test(url.split('?')[0] ?? '');
}

/** Paths of all that it may hold; what is yours to name ends one. */
function fieldsOf(schema: Schema, path: readonly string[] = []): string[] {
  const { $ref, properties = {}, items, anyOf = [], oneOf = [], allOf = [] } = schema;
  const named = $ref === undefined ? undefined : API.components.schemas[$ref.split('/').at(-1) ?? ''];
  const alternatives = [...anyOf, ...oneOf, ...allOf, ...[named, items].filter((one) => one !== undefined)];
  const own = Object.entries(properties).flatMap(([name, one]) => {
    const at = [...path, name];
    return [at.join('.'), ...fieldsOf(one, at)];
  });
  return [...new Set([...own, ...alternatives.flatMap((one) => fieldsOf(one, path))])];
}

/** Of a list: whether one of its members has it. */
function has(body: unknown, field: string): boolean {
  if (Array.isArray(body)) return body.some((one) => has(one, field));
  if (typeof body !== 'object' || body === null) return false;
  const [name = '', ...inner] = field.split('.');
  return name in body && (inner.length === 0 || has((body as Record<string, unknown>)[name], inner.join('.')));
}
