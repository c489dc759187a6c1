import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ConnectionOptions, connect, createServer } from 'node:tls';
import { errorCode } from '../errors.ts';
import { createLog } from '../log.ts';
import { followTlsFiles, readTlsPair } from './tls.ts';

let directory: string;
const path = (name: string) => join(directory, name);
const filesOf = (name: string) => ({ certFile: path(`${name}.pem`), keyFile: path(`${name}-key.pem`) });

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lmas-tls-'));
  for (const name of ['one', 'two']) {
    const { certFile, keyFile } = filesOf(name);
    const words = `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=${name}`.split(' ');
    execFileSync('openssl', [...words, '-keyout', keyFile, '-out', certFile], { stdio: 'ignore' });
  }
});
after(() => rm(directory, { recursive: true, force: true }));

/** Common name of the certificate that is shown. */
async function shownBy(port: number, options: ConnectionOptions = {}): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options });
  try {
    await once(socket, 'secureConnect');
    return String(socket.getPeerCertificate().subject.CN);
  } finally {
    socket.destroy();
  }
}

test('what cannot serve is refused, by the name of the file', async () => {
  const [one, two] = [filesOf('one'), filesOf('two')];
  await writeFile(path('rubbish.pem'), 'rubbish');
  for (const [files, culprit] of [
    [{ ...one, keyFile: two.keyFile }, two.keyFile],
    [{ ...one, certFile: path('missing.pem') }, path('missing.pem')],
    [{ ...one, certFile: path('rubbish.pem') }, path('rubbish.pem')],
    [{ ...one, keyFile: path('rubbish.pem') }, path('rubbish.pem')],
  ] as const) {
    await assert.rejects(
      readTlsPair(files),
      (error: Error) => errorCode(error) === 'INVALID_CONFIG' && error.message.includes(culprit),
    );
  }
});

test('new files are taken while the server runs, a pair that does not fit is not; nothing below TLS 1.2', async () => {
  const files = filesOf('served');
  const install = async (cert: string, key: string) => {
    await cp(filesOf(cert).certFile, files.certFile);
    await cp(filesOf(key).keyFile, files.keyFile);
  };
  await install('one', 'one');
  const current = await readTlsPair(files);
  const server = createServer(current, (socket) => socket.on('error', () => undefined));
  server.on('tlsClientError', () => undefined); // refused handshakes are what the test is about
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const follower = followTlsFiles(server, files, { current, intervalMs: 20, log: createLog('silent') });
  const until = async (name: string) => {
    const deadline = performance.now() + 5_000;
    while ((await shownBy(port)) !== name) {
      assert.ok(performance.now() < deadline);
      await sleep(20);
    }
  };
  try {
    await until('one');
    await install('two', 'one');
    await sleep(100);
    assert.equal(await shownBy(port), 'one');
    await install('two', 'two');
    await until('two');
    assert.equal(await shownBy(port, { maxVersion: 'TLSv1.2' }), 'two');
    const old: ConnectionOptions = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' };
    await assert.rejects(shownBy(port, old));
  } finally {
    follower.stop();
    server.close();
  }
});

test('SIGHUP has the files read at once', async () => {
  const files = filesOf('hup');
  await cp(filesOf('one').certFile, files.certFile);
  await cp(filesOf('one').keyFile, files.keyFile);
  const current = await readTlsPair(files);
  const server = createServer(current, (socket) => socket.on('error', () => undefined));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const follower = followTlsFiles(server, files, { current, intervalMs: 3_600_000, log: createLog('silent') });
  try {
    await cp(filesOf('two').certFile, files.certFile);
    await cp(filesOf('two').keyFile, files.keyFile);
    assert.equal(await shownBy(port), 'one');
    process.kill(process.pid, 'SIGHUP');
    const deadline = performance.now() + 5_000;
    while ((await shownBy(port)) !== 'two') assert.ok(performance.now() < deadline);
  } finally {
    follower.stop();
    server.close();
  }
});
