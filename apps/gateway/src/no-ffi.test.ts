// A machine without koffi: the same tunnel by node's own sockets and node:crypto. A few bodies of each kind, in a process of their own,
// because the choice is made when the modules are loaded; and both kinds against each other.
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { exchange, hashServer, listen, sha1 } from './testing/support.ts';

const withoutFfi: NodeJS.ProcessEnv = { ...process.env, LMAS_GATEWAY_NO_FFI: '1' };
const program = path.join(import.meta.dirname, '../bin/lmas-gateway.mjs');

test('frames, streams and routes work without koffi', { timeout: 60_000 }, () => {
  const { NODE_TEST_CONTEXT: _context, ...env } = withoutFfi;
  const bodies =
    'over TCP|corrupted frame|changed length|half-close|order of acceptance|a reset of the hypervisor|bandwidth limit';
  const files = [
    'tunnel/data-channel.test.ts',
    'tunnel/losses.test.ts',
    'tunnel/measures.test.ts',
    'proxy/routes.test.ts',
  ].map((name) => path.join(import.meta.dirname, name));
  const run = spawnSync(process.execPath, ['--test', '--test-reporter=spec', '--test-name-pattern', bodies, ...files], {
    env,
    encoding: 'utf8',
    timeout: 50_000,
  });
  assert.equal(run.status, 0, run.stdout);
  const passed = Number(/pass (\d+)/.exec(run.stdout)?.[1]);
  assert.ok(passed >= 8, run.stdout);
});

async function freePort(host: string): Promise<number> {
  const server = net.createServer();
  const port = await listen(server, host);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test('a gateway with koffi and one without understand each other', { timeout: 30_000 }, async () => {
  const places = [0, 1].map(() => mkdtempSync(path.join(tmpdir(), 'lmas-gateway-')));
  const [a = '', b = ''] = places;
  for (const place of places) execFileSync(process.execPath, [program, 'keygen', '--out', path.join(place, 'k')]);
  copyFileSync(path.join(a, 'k/certificate.pem'), path.join(b, 'peer.pem'));
  copyFileSync(path.join(b, 'k/certificate.pem'), path.join(a, 'peer.pem'));
  const server = hashServer();
  const sink = await listen(server);
  const [tunnel, entry] = [await freePort('127.0.0.1'), await freePort('127.0.0.2')];
  const start = (place: string, role: object, route: object, env: NodeJS.ProcessEnv): ChildProcess => {
    const session = { sessionId: '7b1c5c0e-5f0e-4f63-9d3a-2f5d3c1a9e10', role };
    const files = { certificateFile: 'k/certificate.pem', keyFile: 'k/key.pem', peerCertificateFile: 'peer.pem' };
    const routes = { main: { maxStreams: 4, priority: 'bulk', ...route } };
    writeFileSync(path.join(place, 'c.json'), JSON.stringify({ ...files, session, routes }));
    return spawn(process.execPath, [program, '--config', path.join(place, 'c.json')], { stdio: 'ignore', env });
  };
  const listens = { kind: 'listen', address: '127.0.0.1', port: tunnel };
  const dials = { kind: 'dial', host: '127.0.0.1', port: tunnel };
  const far = { kind: 'dial', host: '127.0.0.1', port: sink, allowSpecialAddress: true };
  const near = { kind: 'listen', address: '127.0.0.2', port: entry, allowFrom: ['127.0.0.1'] };
  const children = [start(b, listens, far, withoutFfi), start(a, dials, near, process.env)];
  try {
    const bytes = randomBytes(5_000_000);
    let answer = '';
    for (let tries = 0; tries < 200 && answer === ''; tries += 1) {
      answer = await exchange(entry, bytes, '127.0.0.2').then(String, () => '');
      if (answer === '') await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.equal(answer, `${sha1(bytes)} ${bytes.length}`);
  } finally {
    for (const child of children) child.kill('SIGKILL');
    for (const place of places) rmSync(place, { recursive: true, force: true });
    server.close();
  }
});
