/** Who may do what, over a real server and a real Redis: API keys, roles, projects. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Orchestrator } from '../../apps/orchestrator/src/main.ts';
import { Issuer } from '../../apps/orchestrator/src/testing/oidc-issuer.ts';
import { type Answer, Api, setStage, startInProcess, temporaryDirectory } from './harness.ts';

const directory = await temporaryDirectory();
let orchestrator: Orchestrator;
let admin: Api;
before(async () => {
  orchestrator = await startInProcess(directory.path);
  admin = await Api.of(orchestrator);
});
after(async () => {
  await orchestrator.stop();
  await directory[Symbol.asyncDispose]();
});

interface Key {
  readonly id: string;
  readonly key: string;
  readonly lastUsedAt: string | null;
}

interface Endpoint {
  readonly id: string;
  readonly credential: string;
}
interface Site {
  readonly id: string;
  readonly gateway: { readonly ssh: { readonly credential: string } };
}

const makeKey = (as: Api, body: object) => as.must<Key>('POST', '/v1/api-keys', { name: 'a test', ...body });
const holderOf = ({ key }: { key: string }) => new Api(admin.url, key);
const refusedAs = (answer: Answer, status: number, code: string) =>
  assert.deepEqual([answer.status, answer.body.code], [status, code], JSON.stringify(answer.body));
const idsOf = async (api: Api, path: string) =>
  (await api.must<{ items: { id: string }[] }>('GET', path)).items.map(({ id }) => id);

describe('API keys', () => {
  test('a key is shown once, and is what its maker said', async () => {
    const made = await makeKey(admin, { role: 'viewer' });
    assert.match(made.key, new RegExp(`^lmas_${made.id}_[A-Za-z0-9_-]{43}$`));
    const viewer = holderOf(made);
    const { kind, id, role, project } = await viewer.must<Record<string, unknown>>('GET', '/v1/caller');
    assert.deepEqual([kind, id, role, project], ['api-key', made.id, 'viewer', null]);
    refusedAs(await viewer.call('POST', '/v1/sites', { id: 'x' }), 403, 'FORBIDDEN');
    const listed = await admin.must('GET', '/v1/api-keys');
    assert.ok(!JSON.stringify(listed).includes(made.key.slice(`lmas_${made.id}_`.length)));
    const again = await admin.must<Key>('GET', `/v1/api-keys/${made.id}`);
    assert.ok(again.lastUsedAt !== null, 'its use is noted');
  });

  test('a wrong secret under a known id is refused, as an unknown id is', async () => {
    const { id, key } = await makeKey(admin, { role: 'viewer' });
    const wrong = `lmas_${id}_${'A'.repeat(43)}`;
    const unknown = `lmas_${'z'.repeat(12)}_${key.slice(-43)}`;
    const answers = new Set<string>();
    for (const text of [wrong, unknown, key.slice(0, -1), `${key}A`, key.toUpperCase()]) {
      const answer = await holderOf({ key: text }).call('GET', '/v1/caller');
      refusedAs(answer, 401, 'UNAUTHENTICATED');
      answers.add(JSON.stringify(answer.body));
    }
    assert.match([...answers].join(), /What was sent is not accepted/);
    assert.equal(answers.size, 1, 'a stranger is not told which');
  });

  test('rotation: the former key goes on for its grace time, and not longer', async () => {
    const former = await makeKey(admin, { role: 'viewer' });
    const current = await admin.must<Key>('POST', `/v1/api-keys/${former.id}/rotate`, { graceMs: 1_500 });
    assert.equal(current.id, former.id);
    assert.notEqual(current.key, former.key);
    await holderOf(former).must('GET', '/v1/caller');
    await holderOf(current).must('GET', '/v1/caller');
    await sleep(1_600);
    refusedAs(await holderOf(former).call('GET', '/v1/caller'), 401, 'UNAUTHENTICATED');
    await holderOf(current).must('GET', '/v1/caller');
    const next = await admin.must<Key>('POST', `/v1/api-keys/${former.id}/rotate`, { graceMs: 0 });
    refusedAs(await holderOf(current).call('GET', '/v1/caller'), 401, 'UNAUTHENTICATED');
    await holderOf(next).must('GET', '/v1/caller');
  });

  test('the former secret of a key rotates none, and makes none that goes on when its grace time is over', async () => {
    const former = await makeKey(admin, { role: 'admin' });
    const rotation = `/v1/api-keys/${former.id}/rotate`;
    const current = await admin.must<Key & { formerValidUntil: string }>('POST', rotation, { graceMs: 600_000 });
    const other = await makeKey(admin, { role: 'viewer' });
    for (const id of [former.id, other.id]) {
      const refusal = await holderOf(former).call('POST', `/v1/api-keys/${id}/rotate`, {});
      refusedAs(refusal, 403, 'FORBIDDEN');
      assert.match(String(refusal.body.detail), new RegExp(`former secret goes on until ${current.formerValidUntil}`));
    }
    const { formerValidUntil: end } = current;
    for (const expiresAt of [null, new Date(Date.parse(end) + 1_000).toISOString()])
      refusedAs(
        await holderOf(former).call('POST', '/v1/api-keys', { name: 'n', role: 'viewer', expiresAt }),
        403,
        'FORBIDDEN',
      );
    await makeKey(holderOf(former), { role: 'viewer', expiresAt: end });
    for (const key of [former, current, other]) await holderOf(key).must('GET', '/v1/caller');
    await holderOf(current).must('POST', rotation, {});
  });

  test('revoked and expired keys are refused at once; a rotation brings neither back', async () => {
    const revoked = await makeKey(admin, { role: 'viewer' });
    await admin.must('DELETE', `/v1/api-keys/${revoked.id}`);
    await admin.must('DELETE', `/v1/api-keys/${revoked.id}`);
    const past = { name: 'n', role: 'viewer', expiresAt: new Date(Date.now() - 1_000).toISOString() };
    const refusal = await admin.call('POST', '/v1/api-keys', past);
    assert.deepEqual([refusal.status, refusal.body.code], [400, 'INVALID_REQUEST']);
    assert.match(JSON.stringify(refusal.body.errors), /expiresAt.*has passed/);
    const expired = await makeKey(admin, { role: 'viewer', expiresAt: new Date(Date.now() + 300).toISOString() });
    await holderOf(expired).must('GET', '/v1/caller');
    await sleep(350);
    for (const key of [revoked, expired]) {
      refusedAs(await holderOf(key).call('GET', '/v1/caller'), 401, 'UNAUTHENTICATED');
      refusedAs(await admin.call('POST', `/v1/api-keys/${key.id}/rotate`, {}), 409, 'ALREADY_ENDED');
    }
  });

  test('a key may be held to some operations, and hands out no more than it has', async () => {
    const operations = ['createApiKey', 'rotateApiKey', 'listSites', 'getCaller'];
    const narrow = holderOf(await makeKey(admin, { role: 'admin', operations }));
    await narrow.must('GET', '/v1/sites');
    refusedAs(await narrow.call('GET', '/v1/endpoints'), 403, 'FORBIDDEN');
    const body = { name: 'wider', role: 'admin' };
    refusedAs(await narrow.call('POST', '/v1/api-keys', body), 403, 'FORBIDDEN');
    const [first] = await idsOf(admin, '/v1/api-keys');
    refusedAs(await narrow.call('POST', `/v1/api-keys/${first}/rotate`, {}), 403, 'FORBIDDEN');
    await makeKey(narrow, { role: 'viewer', operations: ['listSites'] });
    refusedAs(await admin.call('POST', '/v1/api-keys', { ...body, operations: ['flyAway'] }), 400, 'INVALID_REQUEST');
  });

  test('a key that expires makes and rotates none that goes on longer', async () => {
    const at = (ms: number) => new Date(Date.now() + ms).toISOString();
    const [soon, later] = [at(3_600_000), at(7_200_000)];
    const own = await makeKey(admin, { role: 'admin', expiresAt: soon });
    const passing = holderOf(own);
    for (const expiresAt of [null, later]) {
      const refusal = await passing.call('POST', '/v1/api-keys', { name: 'n', role: 'viewer', expiresAt });
      refusedAs(refusal, 403, 'FORBIDDEN');
      assert.match(String(refusal.body.detail), new RegExp(`would go on when your own has expired, at ${soon}`));
      const other = await makeKey(admin, { role: 'viewer', expiresAt });
      refusedAs(await passing.call('POST', `/v1/api-keys/${other.id}/rotate`, {}), 403, 'FORBIDDEN');
      await holderOf(other).must('GET', '/v1/caller');
    }
    const made = await makeKey(passing, { role: 'admin', expiresAt: soon });
    refusedAs(await holderOf(made).call('POST', '/v1/api-keys', { name: 'n', role: 'viewer' }), 403, 'FORBIDDEN');
    await passing.must('POST', `/v1/api-keys/${made.id}/rotate`, {});
    const renewed = await passing.must<{ expiresAt: string }>('POST', `/v1/api-keys/${own.id}/rotate`, {});
    assert.equal(renewed.expiresAt, soon, 'a new secret, and no new time');
  });
});

describe('projects', () => {
  test('each sees what is theirs; what another owns is not there', async () => {
    await using stage = await setStage(() => admin, directory.path);
    await admin.must('POST', '/v1/projects', { id: 'red', endpoints: [stage.source, stage.destination] });
    await admin.must('POST', '/v1/projects', { id: 'blue' });
    const red = holderOf(await makeKey(admin, { role: 'operator', project: 'red' }));
    const blue = holderOf(await makeKey(admin, { role: 'operator', project: 'blue' }));

    assert.deepEqual((await idsOf(red, '/v1/endpoints')).sort(), [stage.destination, stage.source].sort());
    assert.deepEqual((await idsOf(red, '/v1/sites')).sort(), [stage.destination, stage.source].sort());
    assert.deepEqual(await idsOf(blue, '/v1/endpoints'), []);
    assert.deepEqual(await idsOf(blue, '/v1/sites'), []);
    assert.deepEqual(await idsOf(blue, '/v1/projects'), ['blue']);
    refusedAs(await blue.call('GET', '/v1/projects/red'), 404, 'PROJECT_NOT_FOUND');
    refusedAs(await blue.call('GET', `/v1/endpoints/${stage.source}`), 404, 'ENDPOINT_NOT_FOUND');
    refusedAs(await blue.call('GET', `/v1/endpoints/${stage.source}/inventory`), 404, 'ENDPOINT_NOT_FOUND');
    refusedAs(await blue.call('GET', `/v1/sites/${stage.source}`), 404, 'SITE_NOT_FOUND');
    const request = { vm: stage.vmId, source: stage.source, destination: stage.destination };
    refusedAs(await blue.call('POST', '/v1/migrations', request), 422, 'UNKNOWN_REFERENCE');
    refusedAs(await blue.call('POST', '/v1/migration-checks', request), 422, 'UNKNOWN_REFERENCE');

    const feedOf = async (api: Api, signal: AbortSignal) => {
      const headers = { authorization: `Bearer ${api.key}`, 'last-event-id': '0-0' };
      const response = await fetch(`${api.url}/v1/events`, { headers, signal });
      const seen: string[] = [];
      const reading = (async () => {
        for await (const chunk of response.body ?? []) seen.push(Buffer.from(chunk).toString());
      })().catch(() => undefined); // ends by the signal
      return { text: () => seen.join(''), reading };
    };
    const stop = new AbortController();
    const [redFeed, blueFeed] = [await feedOf(red, stop.signal), await feedOf(blue, stop.signal)];
    const idempotency = { 'idempotency-key': 'same for both' };
    const created = await red.call('POST', '/v1/migrations', request, idempotency);
    assert.deepEqual([created.status, created.body.project], [202, 'red']);
    const id = String(created.body.id);
    assert.deepEqual(await idsOf(red, '/v1/migrations'), [id]);
    assert.deepEqual(await idsOf(blue, '/v1/migrations'), []);
    assert.ok((await idsOf(admin, '/v1/migrations')).includes(id));
    for (const [method, path] of [
      ['GET', `/v1/migrations/${id}`],
      ['GET', `/v1/migrations/${id}/events`],
      ['POST', `/v1/migrations/${id}/cancel`],
    ] as const) {
      refusedAs(await blue.call(method, path), 404, 'MIGRATION_NOT_FOUND');
    }
    await admin.must('PATCH', '/v1/projects/blue', { endpoints: null }, { 'if-match': '*' });
    const others = await blue.call('POST', '/v1/migrations', { ...request, vm: 'x' }, idempotency);
    assert.equal(others.status, 202);
    assert.deepEqual(await idsOf(blue, '/v1/migrations'), [others.body.id], 'the key stands for another one here');
    assert.equal((await red.ended(id)).phase, 'succeeded');
    await blue.ended(String(others.body.id));
    const deadline = performance.now() + 5_000;
    while (!(redFeed.text().includes('succeeded') && blueFeed.text().includes('failed'))) {
      assert.ok(performance.now() < deadline, `${redFeed.text()}\n${blueFeed.text()}`);
      await sleep(20);
    }
    stop.abort();
    await Promise.all([redFeed.reading, blueFeed.reading]);
    assert.ok(redFeed.text().includes(id) && !redFeed.text().includes(String(others.body.id)));
    assert.ok(!blueFeed.text().includes(id) && blueFeed.text().includes(String(others.body.id)));

    const login = { kind: 'password', username: 'u', password: 'p' };
    await red.must('POST', '/v1/credentials', { id: 'reds', ...login });
    assert.deepEqual(await idsOf(red, '/v1/credentials'), ['reds']);
    assert.deepEqual(await idsOf(blue, '/v1/credentials'), []);
    for (const name of ['reds', 'red.reds']) {
      refusedAs(await blue.call('GET', `/v1/credentials/${name}`), 404, 'CREDENTIAL_NOT_FOUND');
      refusedAs(await blue.call('DELETE', `/v1/credentials/${name}`), 404, 'CREDENTIAL_NOT_FOUND');
    }
  });

  test('each has its own names: what another one called something is noticed by nobody', async () => {
    const holders = [];
    for (const project of ['left', 'right']) {
      await admin.must('POST', '/v1/projects', { id: project });
      holders.push(holderOf(await makeKey(admin, { role: 'operator', project })));
    }
    const credential = { id: 'same', kind: 'password', username: 'u', password: 'p' };
    const webhook = { id: 'same', url: 'https://receiver.example.org/' };
    for (const holder of [admin, ...holders]) {
      for (const [path, input] of [
        ['/v1/credentials', credential],
        ['/v1/webhooks', webhook],
      ] as const) {
        const made = await holder.call('POST', path, input);
        assert.deepEqual([made.status, made.body.id, made.headers.get('location')], [201, 'same', `${path}/same`]);
        refusedAs(await holder.call('POST', path, input), 409, 'ALREADY_EXISTS');
        assert.equal((await holder.must<{ id: string }>('GET', `${path}/same`)).id, 'same');
      }
    }
    const [left, right] = holders;
    assert.ok(left !== undefined && right !== undefined);
    for (const path of ['/v1/credentials', '/v1/webhooks']) {
      assert.deepEqual(await idsOf(left, path), ['same']);
      const all = (await idsOf(admin, path)).filter((id) => /(^|\.)same$/.test(id));
      assert.deepEqual(all.sort(), ['left.same', 'right.same', 'same'], 'whoever sees all can tell them apart');
      assert.equal((await admin.must<{ project: string }>('GET', `${path}/left.same`)).project, 'left');
    }
    const { id: delivery, webhook: of } = await left.must<{ id: string; webhook: string }>(
      'POST',
      '/v1/webhooks/same/test',
    );
    assert.equal(of, 'same');
    const log = await left.must<{ items: { id: string; webhook: string }[] }>('GET', '/v1/webhooks/same/deliveries');
    assert.deepEqual(
      log.items.map(({ id, webhook: name }) => [id, name]),
      [[delivery, 'same']],
    );
    refusedAs(await right.call('GET', `/v1/webhooks/same/deliveries/${delivery}`), 404, 'DELIVERY_NOT_FOUND');

    // An endpoint may log in with what a project keeps; then that is needed.
    await using stage = await setStage(() => admin, directory.path);
    const endpoint = `/v1/endpoints/${stage.source}`;
    assert.equal((await admin.call('PATCH', endpoint, { credential: 'left.same' }, { 'if-match': '*' })).status, 200);
    refusedAs(await left.call('DELETE', '/v1/credentials/same'), 409, 'IN_USE');
    await right.must('DELETE', '/v1/credentials/same');
    await admin.must('GET', '/v1/credentials/same');
  });

  test('whoever is given an endpoint learns no name of another’s credential, nor what he does not see of where his own is used', async () => {
    await using stage = await setStage(() => admin, directory.path);
    const { source, destination, vmName } = stage;
    const holders = [];
    for (const project of ['mine', 'yours']) {
      await admin.must('POST', '/v1/projects', { id: project, endpoints: [source] });
      holders.push(holderOf(await makeKey(admin, { role: 'operator', project })));
    }
    const [mine, yours] = holders;
    assert.ok(mine !== undefined && yours !== undefined);
    await mine.must('POST', '/v1/credentials', { id: 'vcenter', kind: 'password', username: 'u', password: 'p' });
    const credential = 'mine.vcenter';
    const any = { 'if-match': '*' };
    const removing = async (holder: Api, name: string) => {
      const refused = await holder.call('DELETE', `/v1/credentials/${name}`);
      refusedAs(refused, 409, 'IN_USE');
      return String(refused.body.detail).split('. ')[0];
    };
    await admin.must('PATCH', `/v1/endpoints/${source}`, { credential }, any);
    const still = 'The credential vcenter is still used by';
    assert.equal(await removing(mine, 'vcenter'), `${still} endpoint ${source}`);
    const { gateway } = await admin.must<Site>('GET', `/v1/sites/${source}`);
    const other = { gateway: { ...gateway, ssh: { ...gateway.ssh, credential } } };
    await admin.must('PATCH', `/v1/sites/${destination}`, other, any);
    assert.equal(await removing(mine, 'vcenter'), `${still} endpoint ${source}, what your project does not see`);
    const users = `site ${destination}, endpoint ${source}`;
    assert.equal(await removing(admin, credential), `The credential ${credential} is still used by ${users}`);

    const shownTo = async (holder: Api) => {
      const [endpoint] = (await holder.must<{ items: Endpoint[] }>('GET', `/v1/endpoints`)).items.filter(isSource);
      const [site] = (await holder.must<{ items: Site[] }>('GET', `/v1/sites`)).items.filter(isSource);
      const alone = await holder.must<Endpoint>('GET', `/v1/endpoints/${source}`);
      assert.deepEqual([alone, await holder.must('GET', `/v1/sites/${source}`)], [endpoint, site]);
      return [endpoint?.credential, site?.gateway.ssh.credential];
    };
    const isSource = ({ id }: { id: string }) => id === source;
    assert.deepEqual(await shownTo(admin), [credential, vmName]);
    assert.deepEqual(await shownTo(mine), ['vcenter', '']);
    assert.deepEqual(await shownTo(yours), ['', '']);
    await admin.must('PATCH', `/v1/sites/${source}`, other, any);
    assert.deepEqual(await shownTo(mine), ['vcenter', 'vcenter']);
    assert.deepEqual(await shownTo(yours), ['', '']);
  });

  test('a VM that somebody else migrates is refused without saying whose it is', async () => {
    await using stage = await setStage(() => admin, directory.path);
    const endpoints = [stage.source, stage.destination];
    await admin.must('POST', '/v1/projects', { id: 'early', endpoints });
    await admin.must('POST', '/v1/projects', { id: 'late', endpoints });
    const early = holderOf(await makeKey(admin, { role: 'operator', project: 'early' }));
    const late = holderOf(await makeKey(admin, { role: 'operator', project: 'late' }));
    const request = { vm: stage.vmId, source: stage.source, destination: stage.destination };
    const hold = stage.world.faults.arm('source.perform', 'hold-before');
    const { id } = await early.must<{ id: string }>('POST', '/v1/migrations', request);
    await hold.reached;
    const own = await early.call('POST', '/v1/migrations', request);
    assert.match(JSON.stringify(own.body), new RegExp(id));
    const refused = await late.call('POST', '/v1/migrations', request);
    refusedAs(refused, 409, 'VM_ALREADY_MIGRATING');
    assert.doesNotMatch(JSON.stringify(refused.body), /m_|early/);
    // Found out only when the VM has been looked up: the record says no more than that.
    const byName = await late.must<{ id: string }>('POST', '/v1/migrations', { ...request, vm: stage.vmName });
    const ended = await late.ended(byName.id);
    assert.equal(ended.error?.code, 'VM_ALREADY_MIGRATING');
    assert.doesNotMatch(JSON.stringify(ended.error), new RegExp(`${id}|early`));
    hold.release();
    await early.ended(id);
  });

  test('whoever is bound to one touches nothing that all share, and hands out keys to it only', async () => {
    await admin.must('POST', '/v1/projects', { id: 'green' });
    const green = holderOf(await makeKey(admin, { role: 'admin', project: 'green' }));
    refusedAs(await green.call('POST', '/v1/sites', { id: 'mine' }), 403, 'FORBIDDEN');
    refusedAs(await green.call('POST', '/v1/projects', { id: 'mine' }), 403, 'FORBIDDEN');
    const ours = await makeKey(green, { role: 'viewer' });
    assert.equal((await holderOf(ours).must<{ project: string }>('GET', '/v1/caller')).project, 'green');
    const [first] = await idsOf(admin, '/v1/api-keys');
    refusedAs(await green.call('DELETE', `/v1/api-keys/${first}`), 404, 'API_KEY_NOT_FOUND');
    refusedAs(await green.call('POST', `/v1/api-keys/${first}/rotate`, {}), 404, 'API_KEY_NOT_FOUND');
    await admin.must('POST', '/v1/projects', { id: 'other' });
    const elsewhere = { name: 'n', role: 'viewer', project: 'other' };
    refusedAs(await green.call('POST', '/v1/api-keys', elsewhere), 404, 'PROJECT_NOT_FOUND');
    refusedAs(await green.call('POST', '/v1/api-keys', { ...elsewhere, project: null }), 403, 'FORBIDDEN');
  });

  test('one that is still used stays, and its name is never given away again', async () => {
    await admin.must('POST', '/v1/projects', { id: 'gone' });
    const { id } = await makeKey(admin, { role: 'viewer', project: 'gone' });
    refusedAs(await admin.call('DELETE', '/v1/projects/gone'), 409, 'IN_USE');
    await admin.must('DELETE', `/v1/api-keys/${id}`);
    await admin.must('DELETE', '/v1/projects/gone');
    refusedAs(await admin.call('GET', '/v1/projects/gone'), 404, 'PROJECT_NOT_FOUND');
    refusedAs(await admin.call('POST', '/v1/projects', { id: 'gone' }), 409, 'ALREADY_EXISTS');
  });

  test('one stays until its schedules, plans, runs and what they left are gone; each is named as whoever removes it knows it', async () => {
    await using stage = await setStage(() => admin, directory.path);
    const endpoints = [stage.source, stage.destination];
    await admin.must('POST', '/v1/projects', { id: 'leaving', endpoints });
    const key = await makeKey(admin, { role: 'operator', project: 'leaving' });
    const holder = holderOf(key);
    const [source, destination] = endpoints.map((endpoint) => ({ endpoint }));
    const plan = { waves: [{ vms: [{ kind: 'vm', vm: stage.vmId, source, destination }] }] };
    await holder.must('PUT', '/v1/plans/all', plan);
    const trigger = { kind: 'cron', expression: '0 0 1 1 *' };
    await holder.must('POST', '/v1/schedules', { id: 'yearly', action: { kind: 'plan', plan: 'all' }, trigger });
    const login = { kind: 'password', username: 'u', password: 'p' };
    await holder.must('POST', '/v1/credentials', { id: 'vcenter', ...login });
    await holder.must('POST', '/v1/webhooks', { id: 'told', url: 'https://receiver.example.org/' });
    const hold = stage.world.faults.arm('gateway.start', 'hold-after');
    const { id: run } = await holder.must<{ id: string }>('POST', '/v1/plans/all/runs', { mode: 'failover' });
    await hold.reached;
    stage.world.faults.arm('gateway.remove', 'before', { code: 'BUSY', times: 1_000 });
    const [migration = ''] = await idsOf(holder, '/v1/migrations');
    await admin.must('DELETE', `/v1/api-keys/${key.id}`);
    const left = async () => {
      const refused = await admin.call('DELETE', '/v1/projects/leaving');
      refusedAs(refused, 409, 'IN_USE');
      const [, named = ''] = /^To leaving still belong (.*)\. Remove/.exec(String(refused.body.detail)) ?? [];
      return named.split(', ');
    };
    const definitions = ['schedule leaving.yearly', 'plan leaving.all'];
    const theirs = ['credential leaving.vcenter', 'webhook leaving.told'];
    const [ofRun, ofMigration] = [`run ${run} (see lmas plan status)`, `migration ${migration} (see lmas get)`];
    assert.deepEqual(await left(), [...definitions, ofRun, ofMigration, ...theirs]);
    for (const [kind, id] of [...definitions, ...theirs].map((each) => each.split(' ')))
      await admin.must('DELETE', `/v1/${kind}s/${id}`);
    assert.deepEqual(await left(), [ofRun, ofMigration]);
    await admin.must('POST', `/v1/plan-runs/${run}/cancel`);
    hold.release();
    await admin.until(migration, ({ teardown }) => teardown === 'incomplete');
    for (const deadline = performance.now() + 20_000; (await left()).length > 1; await sleep(20))
      assert.ok(performance.now() < deadline, 'the run does not end');
    assert.deepEqual(await left(), [ofMigration], 'it has ended, and what it left is not taken down');
    stage.server.goAway();
    await admin.must('POST', `/v1/migrations/${migration}/give-up-teardown`, { reason: 'burnt down' });
    await admin.until(migration, ({ teardown }) => teardown === 'given-up');
    await admin.must('DELETE', '/v1/projects/leaving');
  });
});

describe('tokens of an identity provider', () => {
  test('they have the role and project of their grant; a provider that is down is said, and keys go on', async () => {
    await using own = await temporaryDirectory();
    const issuer = new Issuer();
    await issuer.listen();
    await issuer.addKey('k1');
    const grants = [
      { claim: 'groups', value: 'tenant', role: 'operator', project: { claim: 'tenant' } },
      { claim: 'groups', value: 'ops', role: 'viewer', project: null },
      { claim: 'groups', value: 'root', role: 'admin', project: null },
    ];
    const file = join(own.path, 'oidc.json');
    await writeFile(file, JSON.stringify({ issuer: issuer.url, audience: 'lmas', jwksMaxAgeMs: 10_000, grants }));
    const started = await startInProcess(own.path, { LMAS_OIDC_FILE: file, LMAS_FAILED_LOGINS_PER_MINUTE: '10' });
    try {
      const keyHolder = await Api.of(started);
      const bearer = async (claims: Record<string, unknown>) => new Api(started.url, await issuer.token(claims));
      issuer.isDown = true;
      const down = await (await bearer({})).call('GET', '/v1/caller');
      refusedAs(down, 503, 'UNAVAILABLE');
      assert.match(String(down.body.detail), /identity provider.*API keys work/);
      await keyHolder.must('GET', '/v1/caller');
      issuer.isDown = false;
      await sleep(1_050);
      const viewer = await bearer({ name: 'Ada' });
      const { kind, id, name, role } = await viewer.must<Record<string, string>>('GET', '/v1/caller');
      assert.deepEqual([kind, id, name, role], ['oidc', 'ada', 'Ada', 'viewer']);
      refusedAs(await viewer.call('POST', '/v1/sites', { id: 'x' }), 403, 'FORBIDDEN');
      const lasting = await makeKey(await bearer({ groups: ['root'] }), { role: 'viewer' });
      await new Api(started.url, lasting.key).must('GET', '/v1/caller');
      const tenant = await bearer({ groups: ['tenant'], tenant: 'purple' });
      refusedAs(await tenant.call('GET', '/v1/sites'), 403, 'FORBIDDEN');
      await keyHolder.must('POST', '/v1/projects', { id: 'purple' });
      assert.deepEqual(await idsOf(tenant, '/v1/sites'), []);
      refusedAs(await (await bearer({ groups: [] })).call('GET', '/v1/sites'), 403, 'FORBIDDEN');
      const expired = new Api(started.url, await issuer.token({}, { expiresInS: -600 }));
      const answer = await expired.call('GET', '/v1/sites');
      refusedAs(answer, 401, 'UNAUTHENTICATED');
      assert.match(String(answer.body.detail), /expired/);
      const { items } = await keyHolder.must<{ items: { caller: { id: string } }[] }>(
        'GET',
        '/v1/audit?outcome=refused',
      );
      assert.ok(items.some(({ caller }) => caller.id === 'ada'));
      const nobody = await bearer({ groups: [] });
      let last = await nobody.call('GET', '/v1/sites');
      for (let i = 0; i < 10; i++) last = await nobody.call('GET', '/v1/sites');
      refusedAs(last, 429, 'RATE_LIMITED');
      assert.deepEqual(await idsOf(tenant, '/v1/sites'), [], 'a valid login is served all the same');
    } finally {
      await started.stop();
      issuer.close();
    }
  });
});

test('the first key is made once; a revoked one does not come back; one that nobody holds any more is replaced', async () => {
  await using own = await temporaryDirectory();
  const file = join(own.path, 'api-key');
  const start = async () => {
    const started = await startInProcess(own.path);
    return { started, key: (await readFile(file, 'utf8')).trim(), api: await Api.of(started) };
  };
  const first = await start();
  const other = await makeKey(first.api, { role: 'admin' });
  const { id } = await first.api.must<{ id: string }>('GET', '/v1/caller');
  await first.started.stop();

  const second = await start();
  assert.equal(second.key, first.key);
  const viaOther = new Api(second.started.url, other.key);
  await viaOther.must('DELETE', `/v1/api-keys/${id}`);
  await second.started.stop();

  const third = await start();
  assert.equal(third.key, first.key, 'another admin key is usable: nothing is made');
  refusedAs(await third.api.call('GET', '/v1/caller'), 401, 'UNAUTHENTICATED');
  await new Api(third.started.url, other.key).must('DELETE', `/v1/api-keys/${other.id}`);
  await third.started.stop();

  const fourth = await start();
  assert.notEqual(fourth.key, first.key);
  await fourth.api.must('GET', '/v1/caller');
  await fourth.started.stop();
});
