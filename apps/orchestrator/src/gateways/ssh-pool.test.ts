/** One connection for several callers, through a real sshd; the credential is held back until the test hands it out. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Credential } from '@lmas/plugin-api';
import { sshdMissing, startSshd } from '../../../../packages/ssh/src/testing/sshd.ts';
import { createLog } from '../log.ts';
import type { CredentialStore, SiteStore } from '../sites/sites.ts';
import { SshPool } from './ssh-pool.ts';

const signal = AbortSignal.timeout(60_000);

test('a caller that gives up takes nobody else’s connection along', { skip: sshdMissing() }, async () => {
  await using sshd = await startSshd();
  const { host, port, username, privateKey, hostKeys } = sshd;
  const ssh = { host, port, hostKeys: [hostKeys.ed25519], credential: 'c' };
  const asked = Promise.withResolvers<void>();
  const held = Promise.withResolvers<Credential>();
  const reveal = () => {
    asked.resolve();
    return held.promise;
  };
  const pool = new SshPool(
    { get: async () => ({ gateway: { ssh } }) } as unknown as SiteStore,
    { reveal } as unknown as CredentialStore,
    { log: createLog('silent'), loginRetryMs: 60_000 },
  );
  const hasty = new AbortController();
  const first = pool.use('a', hasty.signal, async () => assert.fail('it has given up'));
  await asked.promise;
  const second = pool.use('a', signal, async (connection) => await connection.run(['echo', 'here'], { signal }));
  hasty.abort(new Error('given up'));
  await assert.rejects(first, { message: 'given up' });
  held.resolve({ kind: 'ssh-key', username, privateKey });
  assert.equal((await second).stdout.toString().trim(), 'here');
  await pool.close();
});
