/** Host keys and private keys, against a real sshd: what does not fit is refused in words that say what to do. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { readConfig } from '../../apps/orchestrator/src/config.ts';
import { createLog } from '../../apps/orchestrator/src/log.ts';
import { type Orchestrator, startOrchestrator } from '../../apps/orchestrator/src/main.ts';
import { sshdMissing, startSshd, type TestSshd } from '../../packages/ssh/src/testing/sshd.ts';
import { Api, SHORT, temporaryDirectory } from './harness.ts';

describe('with a real sshd', { skip: sshdMissing() }, () => {
  let sshd: TestSshd;
  let orchestrator: Orchestrator;
  let api: Api;
  let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
  const former = `SHA256:${'A'.repeat(43)}`;
  before(async () => {
    directory = await temporaryDirectory();
    sshd = await startSshd();
    const config = readConfig({ ...SHORT, LMAS_DATA_DIR: directory.path });
    orchestrator = await startOrchestrator(config, createLog(config.logLevel));
    api = await Api.of(orchestrator);
    const { username, privateKey, host, port } = sshd;
    await api.must('POST', '/v1/credentials', { id: 'c', kind: 'ssh-key', username, privateKey });
    for (const id of ['a', 'b']) {
      const ssh = { host, port, hostKeys: [former], credential: 'c' };
      const gateway = { ssh, tunnelAddress: host, hypervisorAddress: host };
      await api.must('POST', '/v1/sites', { id, gateway });
    }
    const config1 = { host, port, hostKeys: [former], migrationAddress: '192.0.2.1' };
    await api.must('POST', '/v1/endpoints', { id: 'e', site: 'a', plugin: 'kvm', credential: 'c', config: config1 });
  });
  after(async () => {
    await orchestrator?.stop();
    await sshd?.[Symbol.asyncDispose]();
    await directory[Symbol.asyncDispose]();
  });

  const pin = (path: string, replaces: string[]) =>
    api.call('PUT', `/v1/${path}/host-keys`, { hostKeys: [sshd.hostKeys.ed25519], replaces });

  test('a changed host key is refused: what is pinned, what was seen, how to pin another', async () => {
    const refusals = [
      await api.call('POST', '/v1/link-tests', { source: 'a', destination: 'b', durationMs: 0 }),
      await api.call('GET', '/v1/endpoints/e/inventory'),
    ];
    for (const { status, body } of refusals) {
      const detail = String(body.detail);
      assert.equal(status, 502, detail);
      assert.ok(detail.includes(former), detail);
      for (const seen of Object.values(sshd.hostKeys)) assert.ok(detail.includes(seen), detail);
      assert.match(detail, /ssh-keygen -lf.*host-keys/);
    }
  });

  test('another key is pinned only by who names those that are pinned now; then it is let in', async () => {
    for (const path of ['sites/a', 'endpoints/e']) {
      const wrong = await pin(path, [sshd.hostKeys.rsa]);
      assert.deepEqual([wrong.status, wrong.body.code], [409, 'OTHER_HOST_KEYS_PINNED']);
      assert.ok(String(wrong.body.detail).includes(former));
      assert.equal((await pin(path, [former])).status, 200);
      assert.equal((await pin(path, [former])).status, 409, 'nobody does it twice without looking');
    }
    assert.equal((await pin('sites/none', [former])).body.code, 'SITE_NOT_FOUND');
    const { body } = await api.call('GET', '/v1/endpoints/e/inventory');
    assert.notEqual(body.code, 'HOST_KEY_MISMATCH');
    assert.ok(!String(body.detail).includes('pinned'), String(body.detail));
    await api.must('POST', '/v1/sites', { id: 'bare' });
    assert.equal((await pin('sites/bare', [former])).body.code, 'NO_GATEWAY');
  });

  test('a private key is read when it is registered; one that cannot be used is refused, saying why', async () => {
    const add = (privateKey: string, passphrase?: string) =>
      api.call('POST', '/v1/credentials', { id: 'k', kind: 'ssh-key', username: 'u', privateKey, passphrase });
    for (const [answer, why] of [
      [await add('no key'), /no private key/],
      [await add(sshd.encryptedKey), /none was given/],
      [await add(sshd.encryptedKey, 'wrong'), /passphrase is wrong/],
    ] as const) {
      assert.deepEqual([answer.status, answer.body.code], [422, 'INVALID_CREDENTIAL']);
      assert.match(String(answer.body.detail), why);
    }
    const stored = await add(sshd.encryptedKey, sshd.passphrase);
    assert.equal(stored.status, 201);
    assert.match(JSON.stringify(stored.body.publicKey), /ssh-ed25519.*SHA256:/);
  });
});
