/** Sites, endpoints, links, limits, the queue and gateways: what two people may edit, and what can be looked at. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Orchestrator } from '../../apps/orchestrator/src/main.ts';
import { type Answer, Api, setStage, startInProcess, temporaryDirectory } from '../workflow/harness.ts';

const directory = await temporaryDirectory();
let orchestrator: Orchestrator;
let api: Api;
before(async () => {
  orchestrator = await startInProcess(directory.path);
  api = await Api.of(orchestrator);
});
after(async () => {
  await orchestrator.stop();
  await directory[Symbol.asyncDispose]();
});
const setting = () => setStage(() => api, directory.path);
const etagOf = (answer: Answer): string => answer.headers.get('etag') ?? '';
const refused = ({ status, body }: Answer, expected: number, code: string) =>
  assert.deepEqual([status, body.code], [expected, code], JSON.stringify(body));

describe('changes by two people', () => {
  test('a change names the version that it changes; the slower one is told', async () => {
    await using stage = await setting();
    await api.must('POST', '/v1/projects', { id: stage.source });
    const url = 'https://hooks.example.org/';
    await api.must('POST', '/v1/webhooks', { id: stage.source, url });
    const cases: [path: string, change: object, later: object, method?: string][] = [
      [`/v1/sites/${stage.source}`, { description: 'one' }, { description: 'two' }],
      [`/v1/endpoints/${stage.source}`, { credential: stage.source.replace('-source', '') }, { credential: 'other' }],
      [`/v1/links/${stage.destination}~${stage.source}`, { rateBitsPerSec: 10_000 }, { limits: { maxMigrations: 3 } }],
      [`/v1/projects/${stage.source}`, { endpoints: [stage.source] }, { description: 'two' }],
      [`/v1/webhooks/${stage.source}`, { url: `${url}one` }, { enabled: false }],
      [`/v1/sites/${stage.source}/limits`, { maxMigrations: 2 }, { maxMigrations: 3 }, 'PUT'],
      [`/v1/endpoints/${stage.source}/limits`, { maxMigrations: 2 }, { maxMigrations: 3 }, 'PUT'],
    ];
    await api.must('POST', '/v1/credentials', { id: 'other', kind: 'password', username: 'u', password: 'p' });
    for (const [path, change, later, method = 'PATCH'] of cases) {
      const seen = await api.call('GET', path);
      assert.match(etagOf(seen), /^"[\w-]{22}"$/, path);
      refused(await api.call(method, path, later), 428, 'PRECONDITION_REQUIRED');
      refused(await api.call(method, path, later, { 'if-match': '"stale"' }), 412, 'PRECONDITION_FAILED');
      const first = await api.call(method, path, later, { 'if-match': etagOf(seen) });
      assert.equal(first.status, 200, path);
      assert.notEqual(etagOf(first), etagOf(seen), path);
      refused(await api.call(method, path, change, { 'if-match': etagOf(seen) }), 412, 'PRECONDITION_FAILED');
      const second = await api.call(method, path, change, { 'if-match': `"other", ${etagOf(first)}` });
      assert.equal(second.status, 200, path);
      assert.equal(etagOf(await api.call('GET', path)), etagOf(second), path);
      assert.equal((await api.call(method, path, change, { 'if-match': '*' })).status, 200, path);
    }
  });

  test('of many who change the same version at once, one is heard', async () => {
    await using stage = await setting();
    const [site, endpoint] = [`/v1/sites/${stage.source}`, `/v1/endpoints/${stage.source}`];
    await api.must('POST', '/v1/projects', { id: stage.source });
    await api.must('POST', '/v1/webhooks', { id: stage.source, url: 'https://hooks.example.org/' });
    const link = `/v1/links/${stage.destination}~${stage.source}`;
    const morning = { days: ['mon'], from: '08:00', to: '12:00', bandwidthBytesPerSec: 2_000_000 };
    const timetable = (i: number) => ({ timeZone: 'UTC', periods: [morning], otherwise: 1_000_000 + i });
    const timetables = [`${link}/bandwidth-timetable`, '/v1/queue/bandwidth-timetable'];
    for (const path of timetables) {
      const answers = await Promise.all(Array.from({ length: 8 }, (_, i) => api.call('PUT', path, timetable(100 + i))));
      assert.deepEqual(
        answers.map(({ status }) => status).sort(),
        [200, ...Array(7).fill(428)],
        `the first of ${path}`,
      );
      const late = await api.call('PUT', path, timetable(100));
      assert.match(String(late.body.detail), /There is a timetable already/);
    }
    const cases: [method: string, path: string, change: (i: number) => object][] = [
      ['PATCH', site, (i) => ({ description: `by ${i}` })],
      ['PATCH', link, (i) => ({ rateBitsPerSec: 10_000 + i })],
      ['PATCH', link, (i) => ({ limits: { maxMigrations: 10 + i } })],
      ['PATCH', `/v1/projects/${stage.source}`, (i) => ({ description: `by ${i}` })],
      ['PATCH', `/v1/webhooks/${stage.source}`, (i) => ({ description: `by ${i}` })],
      ['PATCH', '/v1/queue', (i) => ({ limits: { maxMigrations: 100 + i } })],
      ['PUT', `${site}/limits`, (i) => ({ maxMigrations: 10 + i })],
      ['PUT', `${endpoint}/limits`, (i) => ({ maxMigrations: 10 + i })],
      ...timetables.map((path): (typeof cases)[number] => ['PUT', path, timetable]),
    ];
    for (const [method, path, change] of cases) {
      const headers = { 'if-match': etagOf(await api.call('GET', path)) };
      const answers = await Promise.all(
        Array.from({ length: 8 }, (_, i) => api.call(method, path, change(i), headers)),
      );
      assert.deepEqual(answers.map(({ status }) => status).sort(), [200, ...Array(7).fill(412)], `${method} ${path}`);
      const heard = answers.find(({ status }) => status === 200);
      assert.equal(etagOf(await api.call('GET', path)), heard?.headers.get('etag'), path);
    }
    const limits = { limits: { maxMigrations: null } };
    assert.equal((await api.call('PATCH', '/v1/queue', limits, { 'if-match': '*' })).status, 200);
    for (const path of timetables) {
      const headers = { 'if-match': etagOf(await api.call('GET', path)) };
      await api.must('DELETE', path);
      assert.equal((await api.call('PUT', path, timetable(1), headers)).status, 412, 'what was looked at is gone');
      assert.equal((await api.call('GET', path)).status, 404);
    }
    const unlimited = { limits: { bandwidthBytesPerSec: null } };
    assert.equal((await api.call('PATCH', '/v1/queue', unlimited, { 'if-match': '*' })).status, 200);
  });

  test('what a live migration needs to find its way stays as it is; its login may change', async () => {
    await using stage = await setting();
    const hold = stage.world.faults.arm('source.perform', 'hold-before');
    const { id } = await stage.submit();
    await hold.reached;
    const any = { 'if-match': '*' };
    const [site, endpoint] = [`/v1/sites/${stage.source}`, `/v1/endpoints/${stage.source}`];
    const { gateway } = await api.must<{ gateway: { tunnelAddress: string; ssh: object } }>('GET', site);
    const moved = await api.call('PATCH', site, { gateway: { ...gateway, tunnelAddress: '192.0.2.77' } }, any);
    refused(moved, 409, 'IN_USE');
    assert.match(String(moved.body.detail), new RegExp(`The site .* is still used by migration ${id}`));
    refused(await api.call('PATCH', site, { gateway: null }, any), 409, 'IN_USE');
    const { config } = await api.must<{ config: object }>('GET', endpoint);
    refused(await api.call('PATCH', endpoint, { config: { ...config, host: 'destination' } }, any), 409, 'IN_USE');
    await api.must('POST', '/v1/credentials', { id: 'newer', kind: 'password', username: 'u', password: 'p' });
    const login = { gateway: { ...gateway, ssh: { ...gateway.ssh, credential: 'newer' } } };
    assert.equal((await api.call('PATCH', site, login, any)).status, 200);
    assert.equal((await api.call('PATCH', endpoint, { credential: 'newer' }, any)).status, 200);
    refused(await api.call('PATCH', endpoint, { credential: 'nobody' }, any), 422, 'UNKNOWN_REFERENCE');
    hold.release();
    const ended = await api.ended(id);
    assert.equal(ended.phase, 'succeeded');
    stage.assertClean(ended);
    const later = { gateway: { ...gateway, tunnelAddress: '192.0.2.77' } };
    assert.equal((await api.call('PATCH', site, later, any)).status, 200, 'and afterwards it may move');
    const bad = { gateway: { ...gateway, tunnelPorts: { min: 2, max: 1 } } };
    refused(await api.call('PATCH', site, bad, any), 400, 'INVALID_REQUEST');
  });
});

test('names that are taken, missing or needed are told with their kind', async () => {
  await using stage = await setting();
  const name = stage.source;
  const detail = async (method: string, path: string, body?: object) =>
    String((await api.call(method, path, body)).body.detail);
  assert.equal((await detail('POST', '/v1/sites', { id: name })).split('. ')[0], `There is a site ${name} already.`);
  assert.match(await detail('GET', '/v1/endpoints/nowhere'), /There is no endpoint nowhere/);
  assert.match(
    await detail('POST', '/v1/endpoints', {
      id: 'x',
      site: 'gone',
      plugin: 'simulated',
      credential: 'gone',
      config: { socketPath: '/x', host: 'source' },
    }),
    /There is no site gone/,
  );
  assert.match(
    await detail('DELETE', `/v1/sites/${name}`),
    new RegExp(`The site ${name} is still used by endpoint ${name}`),
  );
});

test('an endpoint is tested: who is there, or why it cannot be had', async () => {
  await using stage = await setting();
  interface Tested {
    ok: boolean;
    host: { name: string } | null;
    error: { code: string } | null;
    steps: { name: string; outcome: string }[];
  }
  const test = (id: string) => api.must<Tested>('POST', `/v1/endpoints/${id}/test`);
  const outcomes = ({ steps }: Tested) => steps.map(({ name, outcome }) => `${name} ${outcome}`);
  const good = await test(stage.source);
  assert.deepEqual([good.ok, good.host?.name, good.error], [true, 'source', null]);
  assert.deepEqual(outcomes(good), ['connection ok', 'inventory ok']);
  const { config } = await api.must<{ config: object }>('GET', `/v1/endpoints/${stage.destination}`);
  const broken = { config: { ...config, socketPath: '/nonexistent.sock' } };
  assert.equal(
    (await api.call('PATCH', `/v1/endpoints/${stage.destination}`, broken, { 'if-match': '*' })).status,
    200,
  );
  const bad = await test(stage.destination);
  assert.deepEqual([bad.ok, bad.host, bad.error?.code], [false, null, 'UNREACHABLE']);
  assert.deepEqual(outcomes(bad), ['connection failed']);
  assert.equal((await api.call('POST', '/v1/endpoints/nowhere/test')).body.code, 'ENDPOINT_NOT_FOUND');
});

test('the queue is paused and resumed, shows its order, and keeps its limits', async () => {
  await using first = await setting();
  await using second = await setting();
  await api.must('PATCH', '/v1/queue', { paused: true });
  await api.must('PATCH', '/v1/queue', { paused: true });
  const low = await first.submit({ priority: 1 });
  const high = await second.submit({ priority: 90 });
  type Page = { items: { id: string; waiting: { place: number; reason: string } }[]; nextCursor: string | null };
  const page = await api.must<Page>('GET', '/v1/queue/migrations?limit=1');
  assert.deepEqual(
    page.items.map(({ id }) => id),
    [high.id],
  );
  assert.match(page.items[0]?.waiting.reason ?? '', /paused/);
  const rest = await api.must<Page>('GET', `/v1/queue/migrations?limit=1&cursor=${page.nextCursor}`);
  assert.deepEqual([rest.items.map(({ id }) => id), rest.nextCursor], [[low.id], null]);
  refused(await api.call('GET', '/v1/queue/migrations?cursor=%21'), 400, 'INVALID_CURSOR');
  const state = await api.must<{ waiting: number; pausedAt: string | null }>('GET', '/v1/queue');
  assert.equal(state.waiting, 2);
  assert.notEqual(state.pausedAt, null);
  refused(await api.call('PATCH', '/v1/queue', { limits: { maxMigrations: 1 } }), 428, 'PRECONDITION_REQUIRED');
  const resumed = await api.call(
    'PATCH',
    '/v1/queue',
    { paused: false, limits: { maxMigrations: 1 } },
    { 'if-match': '*' },
  );
  assert.deepEqual(
    [resumed.body.pausedAt, resumed.body.limits],
    [null, { maxMigrations: 1, bandwidthBytesPerSec: null }],
  );
  for (const { id } of [low, high]) assert.equal((await api.ended(id)).phase, 'succeeded');
  await api.call('PATCH', '/v1/queue', { limits: { maxMigrations: null } }, { 'if-match': '*' });
});

test('a link shows what was set and what was measured', async () => {
  await using stage = await setting();
  const { source, destination } = stage;
  await api.must('POST', '/v1/link-tests', { source, destination, durationMs: 10 });
  type Link = { id: string; measurements: { source: string; measuredBy: string }[] };
  const link = await api.must<Link>('GET', `/v1/links/${source}~${destination}`);
  assert.equal(link.id, [source, destination].sort().join('~'), 'either order is understood');
  assert.deepEqual(
    link.measurements.map((each) => [each.source, each.measuredBy]),
    [[source, 'test']],
  );
  const all = await api.must<{ items: Link[] }>('GET', '/v1/links');
  assert.ok(all.items.some(({ id }) => id === link.id));
  refused(await api.call('GET', `/v1/links/${source}~nowhere`), 404, 'LINK_NOT_FOUND');
});

test('gateways are shown with the migration that they serve, as long as they live', async () => {
  await using stage = await setting();
  const hold = stage.world.faults.arm('source.perform', 'hold-before');
  const { id } = await stage.submit();
  await hold.reached;
  type Gateway = { migration: string; end: string; site: string; status: string };
  const ofThis = async () =>
    (await api.must<{ items: Gateway[] }>('GET', '/v1/gateways')).items.filter(({ migration }) => migration === id);
  assert.deepEqual((await ofThis()).map(({ end, site, status }) => [end, site, status]).sort(), [
    ['destination', stage.destination, 'carrying'],
    ['source', stage.source, 'carrying'],
  ]);
  hold.release();
  await api.ended(id);
  assert.deepEqual(await ofThis(), []);
});
