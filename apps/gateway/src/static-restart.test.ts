// Static mode outlives either process: after a kill and a new start the next streams pass, whichever end it was.
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { hashServer, listen, sha1 } from './testing/support.ts';

const program = path.join(import.meta.dirname, '../bin/lmas-gateway.mjs');
const attemptMs = 1_500;

async function freePort(host: string): Promise<number> {
  const server = net.createServer();
  const port = await listen(server, host);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Two directories, each with key, pinned certificate of the other and configuration file. */
async function configure(serverPort: number): Promise<{ near: string; far: string; routePort: number }> {
  const [near, far] = [0, 1].map(() => mkdtempSync(path.join(tmpdir(), 'lmas-gateway-'))) as [string, string];
  for (const place of [near, far]) execFileSync(process.execPath, [program, 'keygen', '--out', path.join(place, 'k')]);
  copyFileSync(path.join(near, 'k/certificate.pem'), path.join(far, 'peer.pem'));
  copyFileSync(path.join(far, 'k/certificate.pem'), path.join(near, 'peer.pem'));
  const [tunnelPort, routePort] = [await freePort('127.0.0.1'), await freePort('127.0.0.2')];
  const write = (place: string, role: object, route: object) => {
    const files = { certificateFile: 'k/certificate.pem', keyFile: 'k/key.pem', peerCertificateFile: 'peer.pem' };
    const session = { sessionId: '2d0b8c4e-6a55-4c0c-9b0f-1f3c5f0a7d21', role, subflows: 2 };
    const routes = { main: { maxStreams: 4, priority: 'bulk', ...route } };
    writeFileSync(path.join(place, 'c.json'), JSON.stringify({ ...files, session, routes }));
  };
  const dial = { kind: 'dial', host: '127.0.0.1' };
  const tunnel = { ...dial, port: tunnelPort };
  write(near, tunnel, { kind: 'listen', address: '127.0.0.2', port: routePort, allowFrom: ['127.0.0.1'] });
  write(
    far,
    { ...tunnel, kind: 'listen', address: '127.0.0.1', host: undefined },
    { ...dial, port: serverPort, allowSpecialAddress: true },
  );
  return { near, far, routePort };
}

/** What came back over the route, or an empty text: refused, reset, or nothing within the time. */
function attempt(port: number, bytes: Uint8Array): Promise<string> {
  return new Promise((resolve) => {
    let answer = '';
    let whole = false;
    const socket = net.connect({ port, host: '127.0.0.2', allowHalfOpen: true });
    socket.setTimeout(attemptMs, () => socket.destroy());
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    socket.once('end', () => {
      whole = true;
    });
    socket.on('error', () => undefined);
    socket.once('close', () => resolve(whole ? answer : ''));
    socket.end(bytes);
  });
}

/** Streams pass, after at most `timeoutMs` of finding each other; from the first one on every one must. */
async function streamsPass(port: number, when: string, timeoutMs = 20_000): Promise<void> {
  const bytes = Buffer.alloc(300_000, when);
  const expected = `${sha1(bytes)} ${bytes.length}`;
  const end = performance.now() + timeoutMs;
  let answer = '';
  while (answer === '' && performance.now() < end) {
    answer = await attempt(port, bytes);
    if (answer === '') await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.equal(answer, expected, `the first stream ${when}`);
  for (let count = 0; count < 3; count += 1)
    assert.equal(await attempt(port, bytes), expected, `a later stream ${when}`);
}

test('static mode: either end may be killed and started again', { timeout: 90_000 }, async (t) => {
  const server = hashServer();
  t.after(() => server.close());
  const { near, far, routePort } = await configure(await listen(server));
  const start = (place: string) =>
    spawn(process.execPath, [program, '--config', path.join(place, 'c.json')], { stdio: 'ignore' });
  const end = (child: ChildProcess) =>
    new Promise((resolve) => {
      child.once('exit', resolve);
      child.kill('SIGKILL');
    });
  const running = { far: start(far), near: start(near) };
  try {
    await streamsPass(routePort, 'at first');
    await end(running.near);
    running.near = start(near);
    await streamsPass(routePort, 'after the accepting end was started again');
    await end(running.far);
    running.far = start(far);
    await streamsPass(routePort, 'after the dialling end was started again');
  } finally {
    await Promise.all([end(running.near), end(running.far)]);
    for (const place of [near, far]) rmSync(place, { recursive: true, force: true });
  }
});
