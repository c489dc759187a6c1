/** A password that a vCenter does not take: however many ask at once, it is shown there once, so that the account is not locked. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VM } from '../compliance/vmware-world.ts';
import { alpha, beta, VCENTER_LOGIN } from '../lab/vsphere/two-vcenters.ts';
import { LocalVcenter } from '../lab/vsphere/vcenter.ts';
import { temporaryDirectory } from '../workflow/harness.ts';
import { orchestrate } from './orchestrated.ts';

test('a wrong password that many ask with at once is tried once; the right one serves all of them', async () => {
  await using directory = await temporaryDirectory();
  await using source = await LocalVcenter.start(alpha([VM]));
  await using destination = await LocalVcenter.start(beta());
  await using stand = await orchestrate(
    directory.path,
    { a: source, b: destination },
    {},
    { LMAS_LOGIN_RETRY_MS: '60000' },
  );
  const { api } = stand;
  const logins = () => source.endpoint.calls.filter((call) => call === 'Login').length;
  const { address: host, port, certificate } = source;
  const config = { host, port, tlsFingerprints: [certificate?.fingerprint] };
  await api.must('POST', '/v1/credentials', {
    id: 'old',
    kind: 'password',
    ...VCENTER_LOGIN,
    password: 'not this one',
  });
  await api.must('POST', '/v1/endpoints', { id: 'vc-old', site: 'a', plugin: 'vmware', credential: 'old', config });
  const askAtOnce = (id: string) =>
    Promise.all(
      Array.from({ length: 6 }, (_, index) =>
        index === 0 ? api.call('POST', `/v1/endpoints/${id}/test`) : api.call('GET', `/v1/endpoints/${id}/inventory`),
      ),
    );

  const [tested, ...inventories] = (await askAtOnce('vc-old')).map(({ body }) => body);
  assert.equal(tested?.ok, false);
  assert.deepEqual(
    inventories.map(({ code }) => code),
    Array(5).fill('LOGIN_REFUSED'),
  );
  assert.equal(logins(), 1);
  // Another part of the same vCenter: it is the same account.
  const part = { ...config, hosts: ['esx-a1'] };
  await api.must('POST', '/v1/endpoints', {
    id: 'vc-part',
    site: 'a',
    plugin: 'vmware',
    credential: 'old',
    config: part,
  });
  assert.equal((await api.call('GET', '/v1/endpoints/vc-part/inventory')).body.code, 'LOGIN_REFUSED');
  assert.equal(logins(), 1);

  for (const { status } of await askAtOnce('vc-a')) assert.equal(status, 200);
  assert.equal(logins(), 3, 'the test has one of its own, the others share one');
});
