/** The REST API over a real server and a real Redis: shapes, refusals, idempotency, events, access, secrets. */
import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Redis } from 'ioredis';
import type { Orchestrator } from '../../apps/orchestrator/src/main.ts';
import type { MigrationEvent } from '../../apps/orchestrator/src/migrations/record.ts';
import { openApiDocument } from '../../apps/orchestrator/src/openapi-document.ts';
import { keys } from '../../apps/orchestrator/src/redis/keys.ts';
import { migrationEventSchema } from '../../apps/orchestrator/src/schemas/migration-event.ts';
import { type Answer, Api, setStage, startInProcess, temporaryDirectory } from './harness.ts';

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

function assertProblem(answer: Answer, status: number, code: string): void {
  assert.equal(answer.status, status, JSON.stringify(answer.body));
  assert.equal(answer.headers.get('content-type'), 'application/problem+json');
  assert.equal(answer.body.code, code, JSON.stringify(answer.body));
  assert.equal(answer.body.status, status);
  assert.equal(typeof answer.body.title, 'string');
  assert.match(String(answer.body.type), /^urn:lmas:problem:/);
}

describe('access', () => {
  test('without a key, or with a wrong one, everything below /v1 is refused before it is looked at', async () => {
    const stranger = new Api(api.url, 'lmas_wrong');
    assertProblem(await stranger.call('GET', '/v1/sites'), 401, 'UNAUTHENTICATED');
    assertProblem(await stranger.call('POST', '/v1/migrations', { nonsense: true }), 401, 'UNAUTHENTICATED');
    const none = await new Api(api.url, '').call('GET', '/v1/migrations');
    assertProblem(none, 401, 'UNAUTHENTICATED');
    assert.match(String(none.body.detail), /^No key or token was sent, .* Send /);
    assertProblem(await new Api(api.url, 'x'.repeat(4_000)).call('GET', '/v1/sites'), 401, 'UNAUTHENTICATED');
  });

  test('health, readiness and the document are open', async () => {
    const stranger = new Api(api.url, '');
    for (const path of ['/healthz', '/readyz', '/openapi.json']) {
      assert.equal((await stranger.call('GET', path)).status, 200, path);
    }
  });

  test('what is kept in files is private', async () => {
    for (const name of ['api-key', 'master-key', 'redis/redis.sock']) {
      assert.equal((await stat(join(directory.path, name))).mode & 0o077, 0, name);
    }
    assert.equal((await stat(directory.path)).mode & 0o777, 0o700);
  });
});

describe('refusals', () => {
  test('unknown addresses and methods', async () => {
    assertProblem(await api.call('GET', '/nowhere'), 404, 'NOT_FOUND');
    assertProblem(await api.call('GET', '/v1/nowhere'), 404, 'NOT_FOUND');
    const answer = await api.call('DELETE', '/v1/migrations');
    assertProblem(answer, 405, 'METHOD_NOT_ALLOWED');
    assert.equal(answer.headers.get('allow'), 'POST, GET');
    assertProblem(await api.call('PUT', '/v1/sites/a'), 405, 'METHOD_NOT_ALLOWED');
  });

  test('bodies that are no JSON, too large, of the wrong type or shape', async () => {
    const raw = async (body: string, type = 'application/json'): Promise<Answer> => {
      const response = await fetch(`${api.url}/v1/sites`, {
        method: 'POST',
        headers: { authorization: `Bearer ${api.key}`, 'content-type': type },
        body,
      });
      return { status: response.status, headers: response.headers, body: (await response.json()) as Answer['body'] };
    };
    assertProblem(await raw('{"id":'), 400, 'INVALID_REQUEST');
    assertProblem(await raw(''), 400, 'INVALID_REQUEST');
    for (const type of ['application/x-www-form-urlencoded', 'text/plain', 'text/plain; charset=utf-8']) {
      assertProblem(await raw('{"id":"a"}', type), 415, 'UNSUPPORTED_MEDIA_TYPE');
    }
    assertProblem(await raw(JSON.stringify({ id: 'x'.repeat(300_000) })), 413, 'BODY_TOO_LARGE');
    assertProblem(await raw('{"__proto__": {"id": "a"}}'), 400, 'INVALID_REQUEST');
    const unknown = await raw('{"id": "a", "colour": "red", "gateway": {"ssh": 1}}');
    assertProblem(unknown, 400, 'INVALID_REQUEST');
    const paths = (unknown.body.errors as { path: string }[]).map(({ path }) => path);
    assert.ok(paths.includes('gateway.ssh') && paths.includes('gateway.tunnelAddress'), 'every complaint at once');
  });

  test('what is neither a name nor an address is refused before anybody resolves it', async () => {
    for (const host of ['x y;$(id)', '../..', '-oProxyCommand=x', '😀', '']) {
      assertProblem(await api.call('POST', '/v1/host-key-scans', { host }), 400, 'INVALID_REQUEST');
    }
  });

  test('what is longer than any id is not said back', async () => {
    const answer = await api.call('GET', `/v1/sites/${'x'.repeat(3_000)}`);
    assertProblem(answer, 400, 'INVALID_REQUEST');
    assert.ok(JSON.stringify(answer.body).length < 500, JSON.stringify(answer.body));
  });

  test('parameters of the wrong shape', async () => {
    assertProblem(await api.call('GET', '/v1/migrations/m_1'), 400, 'INVALID_REQUEST');
    assertProblem(await api.call('GET', '/v1/migrations?limit=0'), 400, 'INVALID_REQUEST');
    assertProblem(await api.call('GET', '/v1/migrations?colour=red'), 400, 'INVALID_REQUEST');
    assertProblem(await api.call('GET', '/v1/migrations?cursor=abc'), 400, 'INVALID_CURSOR');
    const missing = `/v1/migrations/m_${crypto.randomUUID()}`;
    assertProblem(await api.call('GET', missing), 404, 'MIGRATION_NOT_FOUND');
    assertProblem(await api.call('POST', `${missing}/cancel`), 404, 'MIGRATION_NOT_FOUND');
    assertProblem(await api.call('GET', `${missing}/events`), 404, 'MIGRATION_NOT_FOUND');
  });

  test('migrations that cannot be', async () => {
    await using stage = await setting();
    const { vmId: vm, source, destination } = stage;
    const submit = (body: object) => api.call('POST', '/v1/migrations', body);
    const same = await submit({ vm, source, destination: source });
    assertProblem(same, 422, 'SAME_ENDPOINT');
    assert.match(JSON.stringify(same.body), /once for each site, with the hosts of that site in `hosts`/);
    assertProblem(await submit({ vm, source, destination: 'nowhere' }), 422, 'UNKNOWN_REFERENCE');
    assertProblem(await submit({ vm, source, destination, options: { speed: 9 } }), 422, 'INVALID_OPTIONS');
    await api.must('POST', '/v1/sites', { id: 'bare' });
    const config = { socketPath: stage.server.socketPath, host: 'destination' };
    const credential = source.replace('-source', '');
    await api.must('POST', '/v1/endpoints', { id: 'bare', site: 'bare', plugin: 'simulated', credential, config });
    assertProblem(await submit({ vm, source, destination: 'bare' }), 422, 'NO_GATEWAY');
    const other = { id: 'bare-2', plugin: 'simulated', credential, config: { ...config, host: 'source' } };
    await api.must('POST', '/v1/sites', { id: 'bare-2' });
    await api.must('POST', '/v1/endpoints', { ...other, site: 'bare-2' });
    const unequipped = await submit({ vm, source: 'bare', destination: 'bare-2' });
    assert.match(String(unequipped.body.detail), /^Sites bare and bare-2 have no gateway machine\./);
    const missing = await api.call('POST', '/v1/endpoints', { ...other, id: 'x', site: 'bare', config: {} });
    assert.deepEqual(missing.body.errors, [{ path: 'config.host', message: 'is required' }]);
    const gone = await submit({ vm: 'no-such-vm', source, destination });
    assert.equal(gone.status, 202, 'the VM is looked for when its turn comes');
    const ended = await api.ended(String(gone.body.id));
    assert.deepEqual([ended.phase, ended.error?.code, ended.teardown], ['failed', 'VM_NOT_FOUND', 'not-needed']);
    assert.deepEqual([gone.body.where, ended.where, ended.byHand], ['unknown', 'unknown', null], 'nobody has seen it');
    const lost = await submit({ vm, source: 'nowhere', destination: 'elsewhere' });
    assertProblem(lost, 422, 'UNKNOWN_REFERENCE');
    assert.match(String(lost.body.detail), /nowhere.*elsewhere/, 'all at once');
  });
});

describe('what is registered', () => {
  test('references must exist, names are taken once, what is in use stays', async () => {
    await using stage = await setting();
    const name = stage.source.replace('-source', '');
    const credential = { id: name, kind: 'password', username: 'u', password: 'p' };
    assertProblem(await api.call('POST', '/v1/credentials', credential), 409, 'ALREADY_EXISTS');
    const endpoint = { id: `${name}-x`, site: 'nowhere', plugin: 'simulated', credential: name };
    const config = { socketPath: stage.server.socketPath, host: 'source' };
    const taken = await api.call('POST', '/v1/endpoints', {
      ...endpoint,
      id: stage.source,
      site: stage.source,
      config,
    });
    assertProblem(taken, 409, 'ALREADY_EXISTS');
    assert.equal(taken.body.detail, `There is an endpoint ${stage.source} already.`);
    assertProblem(await api.call('POST', '/v1/endpoints', { ...endpoint, config }), 422, 'UNKNOWN_REFERENCE');
    assertProblem(
      await api.call('POST', '/v1/endpoints', { ...endpoint, site: stage.source, config: { host: 'X' } }),
      422,
      'INVALID_ENDPOINT_CONFIG',
    );
    assertProblem(
      await api.call('POST', '/v1/endpoints', { ...endpoint, plugin: 'none', config }),
      422,
      'UNKNOWN_REFERENCE',
    );
    const inUse = await api.call('DELETE', `/v1/credentials/${name}`);
    assertProblem(inUse, 409, 'IN_USE');
    assert.match(String(inUse.body.detail), new RegExp(`site ${stage.source}.*endpoint ${stage.source}`));
    assertProblem(await api.call('DELETE', `/v1/sites/${stage.source}`), 409, 'IN_USE');

    const hold = stage.world.faults.arm('source.perform', 'hold-before');
    const { id } = await stage.submit();
    await hold.reached;
    const held = await api.call('DELETE', `/v1/endpoints/${stage.source}`);
    assertProblem(held, 409, 'IN_USE');
    assert.match(String(held.body.detail), new RegExp(id));
    hold.release();
    await api.ended(id);
    assert.equal((await api.call('DELETE', `/v1/endpoints/${stage.source}`)).status, 204);
    assertProblem(await api.call('GET', `/v1/endpoints/${stage.source}`), 404, 'ENDPOINT_NOT_FOUND');
  });

  test('inventory, plugins and checks', async () => {
    await using stage = await setting();
    const inventory = await api.must<{ vms: { id: string }[] }>('GET', `/v1/endpoints/${stage.source}/inventory`);
    assert.deepEqual(
      inventory.vms.map(({ id }) => id),
      [stage.vmId],
    );
    const plugins = await api.must<{ items: { name: string; optionsSchema: { type: string } }[] }>(
      'GET',
      '/v1/plugins',
    );
    assert.deepEqual(
      plugins.items.map(({ name, optionsSchema }) => [name, optionsSchema.type]),
      [['simulated', 'object']],
    );
    const { vmId: vm, source, destination } = stage;
    const { prediction, ...check } = await api.must<{ prediction: { convergence: string } }>(
      'POST',
      '/v1/migration-checks',
      { vm, source, destination },
    );
    assert.equal(prediction.convergence, 'unknown', 'nobody has measured the link');
    assert.deepEqual(check, { ok: true, findings: [], memoryBytes: 2 ** 30, diskBytes: 0 });
    const guest = { id: vm, name: 'x', memoryBytes: 1, vcpus: 1, dirtyRateBytesPerSec: 0 };
    stage.world.prepare('destination', guest, 'm', null);
    const blocked = await api.must<{ ok: boolean }>('POST', '/v1/migration-checks', { vm, source, destination });
    assert.equal(blocked.ok, false);
    const { id } = await stage.submit();
    const ended = await api.ended(id);
    assert.deepEqual(
      [ended.phase, ended.error?.code, ended.findings[0]?.code],
      ['failed', 'CHECK_FAILED', 'VM_EXISTS'],
    );
    assert.equal(stage.world.presence('destination', vm).presence, 'incoming', 'a check that failed touched nothing');
    stage.server.goAway();
    const away = await api.call('GET', `/v1/endpoints/${stage.source}/inventory`);
    assertProblem(away, 502, 'UNREACHABLE');
    assert.match(String(away.body.detail), new RegExp(`^${stage.source}: `), 'the endpoint, not only its address');
    const both = await api.call('POST', '/v1/migration-checks', { vm, source, destination });
    assertProblem(both, 502, 'UNREACHABLE');
    assert.match(String(both.body.detail), new RegExp(`${source}: [^.]+\\. ${destination}: [^.]+\\.`));
    const lost = await api.ended((await stage.submit({ retries: { max: 0, backOffMs: 1_000 } })).id);
    assert.match(lost.error?.message ?? '', new RegExp(`${source}: .*${destination}: `), 'also in the record');
  });

  test('a link test leaves no gateway', async () => {
    await using stage = await setting();
    const link = await api.must<{ rttMedianMs: number; listener: string }>('POST', '/v1/link-tests', {
      source: stage.source,
      destination: stage.destination,
      durationMs: 0,
    });
    assert.deepEqual([link.rttMedianMs, link.listener], [101, stage.destination]);
    assert.equal(stage.world.gateways.size, 0);
    const itself = { source: stage.source, destination: stage.source };
    assertProblem(await api.call('POST', '/v1/link-tests', itself), 400, 'INVALID_REQUEST');
  });
});

describe('submitting', () => {
  test('202 with its address; one migration per VM; the same key is the same migration', async () => {
    await using stage = await setting();
    const hold = stage.world.faults.arm('source.perform', 'hold-before');
    const { vmId: vm, source, destination } = stage;
    const body = { vm, source, destination, options: { durationMs: 10 } };
    const headers = { 'idempotency-key': `key-${vm}` };
    const twins = await Promise.all([
      api.call('POST', '/v1/migrations', body, headers),
      api.call('POST', '/v1/migrations', body, headers),
    ]);
    const [first, second] = twins;
    assert.deepEqual([first?.status, second?.status], [202, 202]);
    assert.equal(first?.body.id, second?.body.id);
    assert.equal(first?.headers.get('location'), `/v1/migrations/${first?.body.id}`);
    const id = String(first?.body.id);
    const sorted = await api.call(
      'POST',
      '/v1/migrations',
      { options: { durationMs: 10 }, destination, source, vm },
      headers,
    );
    assert.equal(sorted.body.id, id, 'the order of fields does not count');
    const other = await api.call('POST', '/v1/migrations', { ...body, transport: 'direct' }, headers);
    assertProblem(other, 422, 'IDEMPOTENCY_KEY_REUSED');

    await hold.reached;
    const again = await api.call('POST', '/v1/migrations', body);
    assertProblem(again, 409, 'VM_ALREADY_MIGRATING');
    assert.match(String(again.body.detail), new RegExp(id));
    const byName = await api.must<{ id: string }>('POST', '/v1/migrations', {
      ...body,
      vm: source.replace('-source', ''),
    });
    const refused = await api.ended(byName.id);
    assert.equal(refused.error?.code, 'VM_ALREADY_MIGRATING', 'found out by its identity');
    hold.release();
    assert.equal((await api.ended(id)).phase, 'succeeded');
    assert.equal((await api.call('POST', '/v1/migrations', body, headers)).body.id, id, 'also afterwards');
    assertProblem(await api.call('POST', `/v1/migrations/${id}/cancel`), 409, 'ALREADY_ENDED');
    assert.equal(stage.world.performs.get(vm), 1);
  });

  test('the list is newest first, filtered, page by page', async () => {
    await using stage = await setting();
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) {
      const { id } = await stage.submit({ vm: `gone-${i}` });
      ids.unshift(id);
      await api.ended(id);
    }
    const seen: string[] = [];
    let cursor = '';
    do {
      const path = `/v1/migrations?limit=2&endpoint=${stage.source}&phase=failed${cursor && `&cursor=${cursor}`}`;
      const page = await api.must<{ items: { id: string }[]; nextCursor: string | null }>('GET', path);
      assert.ok(page.items.length <= 2);
      seen.push(...page.items.map(({ id }) => id));
      cursor = page.nextCursor ?? '';
    } while (cursor !== '');
    assert.deepEqual(seen, ids);
  });
});

describe('events', () => {
  test('from the start, live, until the end; replayed from where the reader was', async () => {
    await using stage = await setting();
    const hold = stage.world.faults.arm('source.perform', 'hold-before');
    const { id } = await stage.submit();
    await hold.reached;
    const whole = readEvents(id);
    hold.release();
    const events = await whole;
    const phases = events
      .filter(({ event }) => ['phase', 'end'].includes(event.type))
      .map(({ event }) => event.message);
    assert.deepEqual(phases, [
      'queued',
      'checking',
      'provisioning',
      'preparing',
      'connecting',
      'performing',
      'confirming',
      'tearing-down',
      'succeeded',
    ]);
    assert.equal(events.at(-1)?.event.type, 'end');
    assert.equal(events.at(-1)?.event.migration.phase, 'succeeded');
    const middle = events[3];
    assert.ok(middle !== undefined);
    const replayed = await readEvents(id, middle.id);
    assert.deepEqual(
      replayed.map((entry) => entry.id),
      events.slice(4).map((entry) => entry.id),
    );
    const began = performance.now();
    const again = await readEvents(id, events.at(-1)?.id);
    assert.deepEqual(
      [again.map((entry) => entry.id), again[0]?.event.type],
      [[events.at(-1)?.id], 'end'],
      'the same, once more',
    );
    assert.ok(performance.now() - began < 5_000, 'and at once');
    const late = await readEvents(id, '999999999999999-0');
    assert.deepEqual(
      late.map(({ event }) => event.type),
      ['end'],
      'the stream has nothing more to say, the record has',
    );
    assert.equal(
      (await api.call('GET', `/v1/migrations/${id}/events`, undefined, { 'last-event-id': 'x' })).status,
      400,
    );
  });

  test('an event of a newer version, which says more than this one knows, ends no stream', async () => {
    await using stage = await setting();
    const hold = stage.world.faults.arm('source.perform', 'hold-before');
    const { id } = await stage.submit({ options: { durationMs: 20 } });
    await hold.reached;
    const changes = { weather: 'fine' };
    const event = { at: new Date().toISOString(), type: 'weather', message: 'It clears up.', migration: { changes } };
    const redis = new Redis({ path: join(directory.path, 'redis/redis.sock') });
    await redis.xadd(keys.events(id), '*', 'event', JSON.stringify(event));
    redis.disconnect();
    hold.release();
    await api.ended(id);
    const told = (await blocksOf(id)).map(({ data }) => JSON.parse(data) as MigrationEvent);
    assert.deepEqual(told.find(({ message }) => message === event.message)?.migration.changes, changes);
    assert.equal(told.at(-1)?.type, 'end');
  });

  async function blocksOf(id: string, lastEventId?: string) {
    const response = await fetch(`${api.url}/v1/migrations/${id}/events`, {
      headers: {
        authorization: `Bearer ${api.key}`,
        ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
      },
    });
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('content-type'), 'text/event-stream');
    const blocks = (await response.text()).split('\n\n').filter((block) => block.startsWith('id: '));
    return blocks.map((block) => {
      const [first = '', second = ''] = block.split('\n');
      return { id: first.slice('id: '.length), data: second.slice('data: '.length) };
    });
  }
  const readEvents = async (id: string, lastEventId?: string) =>
    (await blocksOf(id, lastEventId)).map(({ id: place, data }) => ({
      id: place,
      event: migrationEventSchema.parse(JSON.parse(data)),
    }));
});

test('the document is made without a server, and is the one that is served', async () => {
  const served = await api.must('GET', '/openapi.json');
  assert.deepEqual(JSON.parse(JSON.stringify(await openApiDocument())), served);
});
