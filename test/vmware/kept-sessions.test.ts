/** Questions of people to a vCenter: one login for all of them, what others change is seen at once, and what ends the session. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { VM } from '../compliance/vmware-world.ts';
import { alpha, beta, VCENTER_LOGIN, vmSpec } from '../lab/vsphere/two-vcenters.ts';
import { LocalVcenter } from '../lab/vsphere/vcenter.ts';
import { temporaryDirectory } from '../workflow/harness.ts';
import { orchestrate } from './orchestrated.ts';

interface Shown {
  vms: { id: string; name: string; presence: string }[];
}

async function stand() {
  await using stack = new AsyncDisposableStack();
  const directory = stack.use(await temporaryDirectory());
  const source = stack.use(await LocalVcenter.start(alpha([VM, vmSpec('crm')])));
  const destination = stack.use(await LocalVcenter.start(beta()));
  const { api } = stack.use(await orchestrate(directory.path, { a: source, b: destination }));
  const { endpoint } = source;
  const all = stack.move();
  return {
    ...{ api, endpoint },
    async look() {
      const { vms } = await api.must<Shown>('GET', '/v1/endpoints/vc-a/inventory');
      return vms.map(({ name, presence }) => `${name} ${presence}`).sort();
    },
    logins: () => endpoint.calls.filter((call) => call === 'Login').length,
    vmOf(name: string) {
      const ref = endpoint.objects.byName('VirtualMachine', name);
      assert.ok(ref !== undefined, name);
      return ref;
    },
    /** Sessions are ended beside what people wait for. */
    async untilSessions(count: number) {
      for (let left = 200; endpoint.sessions.size !== count; left -= 1) {
        assert.ok(left > 0, `${endpoint.sessions.size} sessions`);
        await sleep(20);
      }
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

test('two inventories, a check and a search use one login, and what was changed in between is seen', async () => {
  await using it = await stand();
  const { api, endpoint } = it;
  assert.deepEqual(await it.look(), ['crm running', 'shop running']);
  const before = endpoint.calls.length;
  endpoint.objects.set(it.vmOf('crm'), { name: 'boutique' });
  endpoint.objects.merge(it.vmOf('boutique'), 'runtime', { powerState: 'poweredOff' });
  assert.deepEqual(await it.look(), ['boutique stopped', 'shop running']);
  assert.deepEqual(endpoint.calls.slice(before), ['WaitForUpdatesEx', 'RetrievePropertiesEx']);
  const check = { vm: VM.name, source: 'vc-a', destination: 'vc-b' };
  await api.must('POST', '/v1/migration-checks', check);
  await Promise.all([it.look(), it.look(), it.look()]);
  assert.deepEqual([it.logins(), endpoint.sessions.size], [1, 1]);
  const metrics = await fetch(`${api.url}/metrics`, { headers: { authorization: `Bearer ${api.key}` } });
  assert.match(await metrics.text(), /^lmas_question_sessions\{plugin="vmware"\} 2$/m);
});

test('a connection that was cut, or a session that was forgotten, while nobody asked is noticed by nobody', async () => {
  await using it = await stand();
  await it.look();
  it.endpoint.faults.add({ method: 'WaitForUpdatesEx', times: 1, effect: { kind: 'drop', done: false } });
  it.endpoint.objects.set(it.vmOf('crm'), { name: 'boutique' });
  assert.deepEqual(await it.look(), ['boutique running', 'shop running']);
  await it.untilSessions(1);
  it.endpoint.sessions.endAll();
  it.endpoint.objects.set(it.vmOf('boutique'), { name: 'crm' });
  assert.deepEqual(await it.look(), ['crm running', 'shop running']);
  assert.equal(it.logins(), 3);
});

test('another credential, and the removal of the endpoint, end the session at once', async () => {
  await using it = await stand();
  const { api } = it;
  await it.look();
  const use = async (credential: string) => {
    const { headers } = await api.call('GET', '/v1/endpoints/vc-a');
    await api.must('PATCH', '/v1/endpoints/vc-a', { credential }, { 'if-match': headers.get('etag') ?? '' });
  };
  await api.must('POST', '/v1/credentials', { id: 'wrong', kind: 'password', ...VCENTER_LOGIN, password: 'not this' });
  await use('wrong');
  await it.untilSessions(0);
  assert.equal((await api.call('GET', '/v1/endpoints/vc-a/inventory')).body.code, 'LOGIN_REFUSED');
  await use('vc');
  await it.look();
  assert.equal(it.endpoint.sessions.size, 1);
  await api.must('DELETE', '/v1/endpoints/vc-a');
  await it.untilSessions(0);
});
