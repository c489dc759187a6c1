/**
 * Whatever the API tells, a command asks for: each operation that reads, with every parameter of its query. One that is added fails
 * here until there is a command or a flag for it.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type FakeOrchestrator, fakeOrchestrator, sampleMigration } from './fake-orchestrator.ts';
import { run } from './program.ts';

interface Operation {
  readonly parameters?: readonly { readonly in: string; readonly name: string }[];
}
const API = JSON.parse(readFileSync(new URL('../../../packages/client/openapi.json', import.meta.url), 'utf8')) as {
  readonly paths: Record<string, Record<string, Operation>>;
};

const directory = mkdtempSync(join(tmpdir(), 'lmas-queries-'));
after(() => rmSync(directory, { recursive: true }));

const M = 'm_0198c9d4-5a1f-7c55-b1d2-5d3c7c1f9a10';
const R = 'r_0198c9d4-5a1f-7c55-b1d2-5d3c7c1f9a10';
const B = 'b_0198c9d4-5a1f-7c55-b1d2-5d3c7c1f9a10';

const bundle = (migrations: string) => ['support-bundle', '--output', join(directory, migrations), '--migrations', '0'];
const filters = [
  ...['--phase', 'failed', '--needs-person', '--vm', 'v', '--endpoint', 'e', '--site', 's', '--label', 'a=b'],
  ...['--correlation-id', 'c', '--created-after', '24h', '--created-before', '2027-03-27T23:30:00+01:00'],
];
const audited = [
  ...['--caller', 'c', '--operation', 'o', '--outcome', 'done', '--target', '/v1/sites', '--strangers'],
  ...['--since', '24h', '--until', '1h', '--limit', '1', '--cursor', '1-1'],
];

/** Operation → the commands that ask. */
const COMMANDS: Record<string, string[][]> = {
  '/v1/audit': [['audit', ...audited]],
  '/v1/master-key': [['master-key', 'show']],
  '/v1/version': [['version']],
  '/metrics': [bundle('a')],
  '/v1/diagnosis': [['doctor']],
  '/v1/settings': [bundle('b')],
  '/v1/process-log': [bundle('c')],
  '/v1/caller': [['doctor']],
  '/v1/api-keys': [['api-key', 'list']],
  '/v1/api-keys/{id}': [['api-key', 'get', 'x']],
  '/v1/projects': [['project', 'list']],
  '/v1/projects/{id}': [['project', 'get', 'x']],
  '/v1/credentials': [['credential', 'list']],
  '/v1/credentials/{id}': [['credential', 'get', 'x']],
  '/v1/sites': [['site', 'list']],
  '/v1/sites/{id}': [['site', 'get', 'x']],
  '/v1/endpoints': [['endpoint', 'list']],
  '/v1/endpoints/{id}': [['endpoint', 'get', 'x']],
  '/v1/endpoints/{id}/inventory': [['vm', 'list', 'x']],
  '/v1/plugins': [['plugin', 'list']],
  '/v1/migrations': [
    ['list', ...filters],
    ['list', '--all'],
  ],
  '/v1/migrations/{id}': [['get', M]],
  '/v1/migrations/{id}/log': [['log', M]],
  '/v1/migrations/{id}/events': [['get', M, '--watch']],
  '/v1/plan-runs/{id}/events': [['plan', 'status', R, '--watch']],
  '/v1/balancing-policies/{id}/events': [['policy', 'history', 'x', '--watch']],
  '/v1/events': [['events']],
  '/v1/links': [['link', 'list']],
  '/v1/links/{id}': [['link', 'get', 'a', 'b']],
  '/v1/links/{id}/bandwidth-timetable': [['link', 'timetable', 'a', 'b']],
  '/v1/queue/bandwidth-timetable': [['queue', 'timetable']],
  '/v1/queue': [['queue', 'show']],
  '/v1/queue/migrations': [['queue', 'list']],
  '/v1/sites/{id}/limits': [['site', 'limit', 'x']],
  '/v1/endpoints/{id}/limits': [['endpoint', 'limit', 'x']],
  '/v1/gateways': [['gateway', 'list']],
  '/v1/schedules': [['schedule', 'list']],
  '/v1/schedules/{id}': [['schedule', 'get', 'x']],
  '/v1/schedules/{id}/preview': [['schedule', 'preview', 'x', '--count', '1']],
  '/v1/schedules/{id}/history': [['schedule', 'history', 'x']],
  '/v1/plans': [['plan', 'list']],
  '/v1/plans/{id}': [['plan', 'get', 'x']],
  '/v1/plan-runs': [
    ['plan', 'runs', 'x', '--needs-person', '--limit', '1'],
    ['plan', 'runs', '--all'],
  ],
  '/v1/plan-runs/{id}': [['plan', 'status', R]],
  '/v1/plan-runs/{id}/report': [['plan', 'report', R]],
  '/v1/plan-runs/{id}/report.html': [['plan', 'report', R, '--html', '-']],
  '/v1/balancing-policies': [['policy', 'list', '--needs-person']],
  '/v1/balancing-policies/{id}': [['policy', 'get', 'x']],
  '/v1/balancing-runs/{id}': [['policy', 'status', B]],
  '/v1/balancing-policies/{id}/passes': [['policy', 'history', 'x', '--limit', '1']],
  '/v1/balancing-policies/{id}/moves': [['policy', 'proposals', 'x']],
  '/v1/webhooks': [['webhook', 'list', '--needs-person']],
  '/v1/webhooks/{id}': [['webhook', 'get', 'x']],
  '/v1/webhooks/{id}/deliveries': [['webhook', 'deliveries', 'x', '--all']],
  '/v1/webhooks/{id}/deliveries/{delivery}': [['webhook', 'delivery', 'x', 'msg_1']],
  '/readyz': [['version']],
};
/** Not for people: whoever asks is a probe. */
const WITHOUT_COMMAND = ['/healthz'];

test('every operation that reads is asked by a command, with every parameter', async () => {
  const asked = Object.entries(API.paths).flatMap(([path, { get }]) => (get === undefined ? [] : [{ path, get }]));
  const missing: string[] = [];
  for (const { path, get } of asked.filter(({ path }) => !WITHOUT_COMMAND.includes(path))) {
    await using fake = await fakeOrchestrator();
    answerAll(fake, path);
    for (const args of COMMANDS[path] ?? []) await lmas(fake, args);
    const pattern = new RegExp(`^${path.replaceAll('.', '\\.').replace(/\{[^}]+\}/g, '[^/]+')}$`);
    const urls = fake.calls.filter(({ method }) => method === 'GET').map(({ url }) => new URL(url, fake.url));
    const seen = urls.filter(({ pathname }) => pattern.test(pathname));
    if (seen.length === 0) missing.push(path);
    for (const { in: place, name } of get.parameters ?? []) {
      if (place === 'query' && !seen.some(({ searchParams }) => searchParams.has(name)))
        missing.push(`${path}: ${name}`);
    }
  }
  assert.deepEqual(missing, []);
});

/** Enough that commands come to what they are asked for here: pages that go on once, a run that is there to be followed. */
function answerAll(fake: FakeOrchestrator, path: string): void {
  const json = (route: string, body: (url: string) => unknown) =>
    fake.on(route, ({ url }, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body(url)));
    });
  json('GET /readyz', () => ({ ready: true, checks: [] }));
  json('GET /v1/version', () => ({ version: '0.1.0', apiVersion: 1 }));
  json('GET /v1/caller', () => ({ kind: 'api-key', id: 'x', name: 'x', role: 'admin', project: null }));
  json(`GET /v1/plan-runs/${R}`, () => ({ id: R, phase: 'succeeded', items: [] }));
  json(`GET /v1/migrations/${M}`, () => sampleMigration());
  const pages = (url: string) => ({ items: [], nextCursor: url.includes('cursor') ? null : 'next' });
  if (/\/(migrations|schedules|plans|plan-runs|deliveries)$/.test(path))
    json(`GET ${path.replace('{id}', 'x')}`, pages);
}

async function lmas(fake: FakeOrchestrator, args: string[]): Promise<void> {
  const silent = { write: () => undefined };
  await run(args, {
    ...{ stdout: silent, stderr: silent, stdin: process.stdin },
    interrupted: new AbortController().signal,
    env: { LMAS_URL: fake.url, LMAS_API_KEY: 'key' },
  });
}
