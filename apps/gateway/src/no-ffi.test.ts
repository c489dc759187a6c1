// A machine without koffi: the same tunnel by node's own sockets and node:crypto. A few bodies of each kind, in a process of their own,
// because the choice is made when the modules are loaded; and both kinds against each other.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { test } from 'node:test';
import { configureStaticPair, startStatic } from './testing/static-gateways.ts';
import { exchange, hashServer, serve, sha1 } from './testing/support.ts';

test('frames, streams and routes work without koffi', { timeout: 90_000 }, () => {
  const { NODE_TEST_CONTEXT: _context, ...inherited } = process.env;
  const env = { ...inherited, LMAS_GATEWAY_NO_FFI: '1' };
  const bodies =
    'over TCP|corrupted frame|changed length|re-keyed every MiB|half-close|order of acceptance|a reset of the hypervisor';
  const files = [
    'tunnel/data-channel.test.ts',
    'tunnel/losses.test.ts',
    'tunnel/rekeying.test.ts',
    'proxy/routes.test.ts',
  ].map((name) => path.join(import.meta.dirname, name));
  const run = spawnSync(process.execPath, ['--test', '--test-reporter=spec', '--test-name-pattern', bodies, ...files], {
    env,
    encoding: 'utf8',
    timeout: 80_000,
  });
  assert.equal(run.status, 0, run.stdout);
  const passed = Number(/pass (\d+)/.exec(run.stdout)?.[1]);
  assert.ok(passed >= 8, run.stdout);
});

for (const [dials, listens] of [
  ['with', 'without'],
  ['without', 'with'],
] as const) {
  test(`a gateway ${dials} koffi that dials one ${listens} it`, { timeout: 30_000 }, async (t) => {
    const pair = await configureStaticPair(t, await serve(t, hashServer()));
    const env = { with: {}, without: { LMAS_GATEWAY_NO_FFI: '1' } };
    startStatic(t, pair.far, { env: env[listens] });
    startStatic(t, pair.near, { env: env[dials] });
    const bytes = randomBytes(5_000_000);
    let answer = '';
    for (let tries = 0; tries < 200 && answer === ''; tries += 1) {
      answer = await exchange(pair.entry, bytes, '127.0.0.2').then(String, () => '');
      if (answer === '') await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.equal(answer, `${sha1(bytes)} ${bytes.length}`);
  });
}
