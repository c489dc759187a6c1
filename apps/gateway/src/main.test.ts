// The process itself: command line, lease, signals, static mode.
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { errorTable } from './errors.ts';
import { exchange, hashServer, listen, sha1, until } from './testing/support.ts';
import { version } from './version.ts';

const program = path.join(import.meta.dirname, '../bin/lmas-gateway.mjs');
function directory(t: TestContext): string {
  const made = mkdtempSync(path.join(tmpdir(), 'lmas-gateway-'));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}
const exitOf = (child: ChildProcess) => new Promise<number | null>((resolve) => child.once('exit', resolve));
const start = (args: string[]) => spawn(process.execPath, [program, ...args], { stdio: 'ignore' });
const ask = (args: string[]) => spawnSync(process.execPath, [program, ...args], { encoding: 'utf8' });

test('version, help and wrong usage', () => {
  const { version: packaged } = JSON.parse(readFileSync(path.join(import.meta.dirname, '../package.json'), 'utf8'));
  assert.equal(version, packaged);
  assert.equal(ask(['--version']).stdout, `${version}\n`);
  assert.match(ask(['--help']).stdout, /SYNOPSIS/);
  for (const args of [[], ['dance'], ['run'], ['run', '--control', 'x', '--lease-ms', '0'], ['--nothing']]) {
    assert.equal(ask(args).status, 2, args.join(' '));
  }
});

test('keygen knows how long a certificate can be valid, and clean says that a barrier is not there', (t) => {
  const place = directory(t);
  const forever = ask(['keygen', '--out', path.join(place, 'k'), '--days', '99999999']);
  assert.deepEqual([forever.status, existsSync(path.join(place, 'k'))], [2, false]);
  assert.match(forever.stderr, /--days wants at most 365000\./);
  assert.equal(ask(['keygen', '--out', path.join(place, 'k'), '--days', '365000']).status, 0);
  writeFileSync(path.join(place, 'nft'), '#!/bin/sh\necho \'{"nftables": []}\'\n', { mode: 0o755 });
  const env = { ...process.env, PATH: `${place}:${process.env.PATH}` };
  const args = [program, 'clean', '--barrier', 'nosuch'];
  const none = spawnSync(process.execPath, args, { encoding: 'utf8', env });
  assert.deepEqual([none.status, none.stdout, none.stderr], [0, '', 'There is no barrier nosuch here.\n']);
});

test('an older Node hands over to the one that npm brought', () => {
  const older = 'data:text/javascript,Object.defineProperty(process, "versions", { value: { node: "20.0.0" } })';
  const told = spawnSync(process.execPath, ['--import', older, program, '--version'], { encoding: 'utf8' });
  assert.deepEqual([told.stdout, told.stderr, told.status], [`${version}\n`, '', 0]);
  const env = { ...process.env, LMAS_HANDED_OVER: '1' };
  const refused = spawnSync(process.execPath, ['--import', older, program], { encoding: 'utf8', env });
  assert.match(refused.stderr, /^lmas-gateway: needs Node 24 or later/);
  assert.equal(refused.status, 1);
});

test('static mode: who cannot reach its peer says so, once at first', { timeout: 15_000 }, async (t) => {
  const [place, other] = [directory(t), directory(t)];
  for (const each of [place, other]) execFileSync(process.execPath, [program, 'keygen', '--out', each]);
  copyFileSync(path.join(other, 'certificate.pem'), path.join(place, 'peer.pem'));
  const free = net.createServer();
  const port = await listen(free);
  await new Promise((resolve) => free.close(resolve));
  const session = {
    sessionId: '7b1c5c0e-5f0e-4f63-9d3a-2f5d3c1a9e10',
    role: { kind: 'dial', host: '127.0.0.1', port },
  };
  const files = { certificateFile: 'certificate.pem', keyFile: 'key.pem', peerCertificateFile: 'peer.pem' };
  writeFileSync(path.join(place, 'c.json'), JSON.stringify({ ...files, session, routes: {} }));
  const logFile = path.join(place, 'log');
  const child = start(['--config', path.join(place, 'c.json'), '--log-file', logFile, '--log-level', 'debug']);
  const exit = exitOf(child);
  const lines = (message: string) =>
    (existsSync(logFile) ? readFileSync(logFile, 'utf8') : '').split('\n').filter((line) => line.includes(message));
  await until(() => lines('connecting failed').length >= 2, 'it has tried three times');
  const warnings = lines('"level":"warn"');
  assert.equal(warnings.length, 1, warnings.join('\n'));
  assert.match(warnings[0] ?? '', new RegExp(`127\\.0\\.0\\.1:${port}.*CONNECT_FAILED.*ECONNREFUSED`));
  child.kill('SIGTERM');
  assert.equal(await exit, 0);
});

test('every code has its message', () => {
  for (const [code, { message }] of Object.entries(errorTable)) assert.match(message, /^[A-Z].*\.$/, code);
});

test('it ends when its lease has run out, and removes its socket', { timeout: 15_000 }, async (t) => {
  const socketPath = path.join(directory(t), 'control.sock');
  const child = start(['run', '--control', socketPath, '--lease-ms', '1200']);
  const exit = exitOf(child);
  await until(() => existsSync(socketPath), 'the socket is there');
  assert.equal(await exit, 0);
  assert.ok(!existsSync(socketPath));
});

/** A gateway that takes calls. */
async function running(
  t: TestContext,
): Promise<{ child: ChildProcess; socketPath: string; exit: Promise<number | null> }> {
  const socketPath = path.join(directory(t), 'control.sock');
  const child = start(['run', '--control', socketPath]);
  t.after(() => child.kill('SIGKILL'));
  const exit = exitOf(child);
  await until(() => existsSync(socketPath), 'the socket is there');
  return { child, socketPath, exit };
}

test('SIGTERM ends it cleanly, and a second gateway does not take a live socket', { timeout: 15_000 }, async (t) => {
  const { child, socketPath, exit } = await running(t);
  const status = JSON.parse(ask(['status', '--json', '--control', socketPath]).stdout) as { identity: { pid: number } };
  assert.equal(status.identity.pid, child.pid);
  assert.equal(ask(['run', '--control', socketPath]).status, 1);
  child.kill('SIGTERM');
  assert.equal(await exit, 0);
  assert.ok(!existsSync(socketPath));
});

for (const signal of ['SIGHUP', 'SIGQUIT'] as const) {
  test(`${signal}, as from a terminal that goes away, ends it as cleanly`, { timeout: 15_000 }, async (t) => {
    const { child, socketPath, exit } = await running(t);
    child.kill(signal);
    assert.equal(await exit, 0);
    assert.ok(!existsSync(socketPath));
  });
}

test('one that is stopped is told as that by status, which waits for nobody for ever', {
  timeout: 25_000,
}, async (t) => {
  const { child, socketPath } = await running(t);
  child.kill('SIGSTOP');
  const { status, stderr } = ask(['status', '--control', socketPath]);
  assert.equal(status, 1);
  assert.match(stderr, /has not answered for 5 s.*state T/);
});

test('static mode: what is wrong with a file bears its name, and nothing is left behind', (t) => {
  const place = directory(t);
  const config = path.join(place, 'c.json');
  const said = (text: string | null): string => {
    if (text !== null) writeFileSync(config, text);
    const { status, stderr } = ask(['--config', config]);
    assert.equal(status, 1);
    return stderr;
  };
  assert.ok(said(null).includes(`${config}: there is no such file`));
  assert.ok(said('{ "routes": ').includes(`${config} is not JSON`));
  const files = {
    certificateFile: 'k/certificate.pem',
    keyFile: 'k/key.pem',
    peerCertificateFile: 'k/certificate.pem',
  };
  const role = { kind: 'listen', address: '127.0.0.1', port: 0 };
  const session = { sessionId: '7b1c5c0e-5f0e-4f63-9d3a-2f5d3c1a9e10', role };
  const whole = JSON.stringify({ ...files, session, routes: {}, controlSocket: 'control.sock' });
  assert.ok(said(whole).includes(`${path.join(place, 'k/key.pem')}: there is no such file`));
  execFileSync(process.execPath, [program, 'keygen', '--out', path.join(place, 'k')]);
  const key = readFileSync(path.join(place, 'k/key.pem'), 'utf8');
  const again = spawnSync(process.execPath, [program, 'keygen', '--out', path.join(place, 'k')], { encoding: 'utf8' });
  assert.equal(again.status, 1);
  assert.match(again.stderr, /key\.pem is there already.*another directory/);
  assert.equal(readFileSync(path.join(place, 'k/key.pem'), 'utf8'), key);
  writeFileSync(path.join(place, 'peer.pem'), 'no certificate');
  const stranger = said(whole.replace('"peerCertificateFile":"k/certificate.pem"', '"peerCertificateFile":"peer.pem"'));
  assert.ok(stranger.includes(`${path.join(place, 'peer.pem')} is no certificate`), stranger);
  const slip = said(whole.replace('"routes"', '"rouets"'));
  assert.ok(slip.includes(config) && slip.includes('rouets') && !slip.includes('request'), slip);
  const own = said(whole);
  assert.ok(own.includes(`peerCertificateFile: ${path.join(place, 'k/certificate.pem')} is our own certificate`), own);
  const other = path.join(place, 'other');
  execFileSync(process.execPath, [program, 'keygen', '--out', other]);
  const sound = JSON.parse(whole);
  const withSocket = (controlSocket: string) =>
    said(JSON.stringify({ ...sound, peerCertificateFile: 'other/certificate.pem', controlSocket }));
  assert.match(withSocket('peer.pem'), /peer\.pem is there already, and is no socket/);
  assert.equal(readFileSync(path.join(place, 'peer.pem'), 'utf8'), 'no certificate');
  assert.match(withSocket('s'.repeat(120)), /has at most 107 bytes, this one \d+\)/);
  assert.ok(!existsSync(path.join(place, 'control.sock')));
});

test('static mode: two processes from two files carry a stream', { timeout: 25_000 }, async (t) => {
  const [a, b] = [directory(t), directory(t)];
  for (const place of [a, b]) execFileSync(process.execPath, [program, 'keygen', '--out', path.join(place, 'k')]);
  copyFileSync(path.join(a, 'k/certificate.pem'), path.join(b, 'peer.pem'));
  copyFileSync(path.join(b, 'k/certificate.pem'), path.join(a, 'peer.pem'));
  const server = hashServer();
  const port = await listen(server);
  const free = net.createServer();
  const [tunnelPort, routePort] = [await listen(free), await listen(net.createServer().unref())];
  await new Promise((resolve) => free.close(resolve));
  const write = (place: string, role: object, route: object) => {
    const files = { certificateFile: 'k/certificate.pem', keyFile: 'k/key.pem', peerCertificateFile: 'peer.pem' };
    const session = { sessionId: '7b1c5c0e-5f0e-4f63-9d3a-2f5d3c1a9e10', role };
    writeFileSync(
      path.join(place, 'c.json'),
      JSON.stringify({
        ...files,
        session,
        routes: { main: { maxStreams: 4, priority: 'bulk', ...route } },
        controlSocket: 'control.sock',
      }),
    );
    return start(['--config', path.join(place, 'c.json')]);
  };
  const far = write(
    b,
    { kind: 'listen', address: '127.0.0.1', port: tunnelPort },
    { kind: 'dial', host: '127.0.0.1', port, allowSpecialAddress: true },
  );
  const near = write(
    a,
    { kind: 'dial', host: '127.0.0.1', port: tunnelPort },
    { kind: 'listen', address: '127.0.0.2', port: routePort, allowFrom: ['127.0.0.1'] },
  );
  const exits = [exitOf(near), exitOf(far)];
  const bytes = Buffer.alloc(3_000_000, 'abc');
  let answer = '';
  for (let tries = 0; tries < 100 && answer === ''; tries += 1) {
    const socket = { host: '127.0.0.2', port: routePort };
    answer = await exchange(socket.port, bytes, socket.host).then(String, () => '');
    if (answer === '') await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.equal(answer, `${sha1(bytes)} ${bytes.length}`);
  near.kill('SIGTERM');
  far.kill('SIGTERM');
  assert.deepEqual(await Promise.all(exits), [0, 0]);
  server.close();
});
