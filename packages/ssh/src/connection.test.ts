import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { connectSsh, type SshTarget, scanHostKeys, sshErrorCode } from './index.ts';
import { sshdMissing, startRelay, startSshd, type TestSshd } from './testing/sshd.ts';

const signal = AbortSignal.timeout(60_000);

describe('against a real sshd', { skip: sshdMissing() }, () => {
  let sshd: TestSshd;
  before(async () => {
    sshd = await startSshd();
  });
  after(async () => {
    await sshd[Symbol.asyncDispose]();
  });

  const target = (changes: Partial<SshTarget> = {}): SshTarget => ({
    host: sshd.host,
    port: sshd.port,
    credential: { kind: 'ssh-key', username: sshd.username, privateKey: sshd.privateKey },
    hostKeys: [sshd.hostKeys.ed25519],
    ...changes,
  });

  test('scanHostKeys shows what ssh-keygen -lf prints, for every family', async () => {
    assert.deepEqual(await scanHostKeys(sshd.host, sshd.port, { signal }), [
      { family: 'ed25519', fingerprint: sshd.hostKeys.ed25519 },
      { family: 'ecdsa', fingerprint: sshd.hostKeys.ecdsa },
      { family: 'rsa', fingerprint: sshd.hostKeys.rsa },
    ]);
  });

  test('what the README shows works', async () => {
    const { host, port, username, privateKey, hostKeys } = sshd;
    const path = join(sshd.directory, 'from-the-readme');
    const connection = await connectSsh(
      {
        host,
        port,
        credential: { kind: 'ssh-key', username, privateKey },
        hostKeys: [hostKeys.ed25519], // 'SHA256:…', as ssh-keygen -lf prints it
      },
      { signal },
    );
    const { stdout } = await connection.run(['uname', '-s'], { signal });
    await connection.upload(Buffer.from('or { file: path }, or a stream'), path, { signal, mode: 0o600 });
    await connection.close();
    assert.equal(stdout.toString(), 'Linux\n');
    assert.equal(readFileSync(path, 'utf8'), 'or { file: path }, or a stream');
  });

  for (const family of ['ed25519', 'ecdsa', 'rsa'] as const) {
    test(`a pin of the ${family} key alone is enough`, async () => {
      const connection = await connectSsh(target({ hostKeys: [sshd.hostKeys[family]] }), { signal });
      assert.equal((await connection.run(['echo', 'hi'], { signal })).stdout.toString(), 'hi\n');
      await connection.close();
    });
  }

  test('a server without a pinned key is refused, and told what it showed', async () => {
    const wrong = `SHA256:${'A'.repeat(43)}`;
    await assert.rejects(connectSsh(target({ hostKeys: [wrong] }), { signal }), (error: Error) => {
      assert.equal(sshErrorCode(error), 'HOST_KEY_MISMATCH');
      for (const print of Object.values(sshd.hostKeys)) assert.ok(error.message.includes(print));
      return true;
    });
  });

  test('no pin, or one that is none, never connects', async () => {
    await assert.rejects(connectSsh(target({ hostKeys: [] }), { signal }), { code: 'INVALID_ARGUMENT' });
    await assert.rejects(connectSsh(target({ hostKeys: ['MD5:00:11'] }), { signal }), { code: 'INVALID_ARGUMENT' });
  });

  test('wrong keys and passwords are refused, and appear in no error', async () => {
    const { username } = sshd;
    const credentials = [
      { kind: 'ssh-key', username, privateKey: sshd.strangerKey },
      { kind: 'password', username, password: 'hunter2-not-it' },
    ] as const;
    for (const credential of credentials) {
      await assert.rejects(connectSsh(target({ credential }), { signal }), (error: Error) => {
        assert.equal(sshErrorCode(error), 'LOGIN_REFUSED');
        const told = `${error.stack} ${JSON.stringify(error)} ${error.cause}`;
        assert.ok(!told.includes('hunter2') && !told.includes('PRIVATE KEY'));
        return true;
      });
    }
  });

  test('an encrypted key needs its passphrase', async () => {
    const credential = { kind: 'ssh-key', username: sshd.username, privateKey: sshd.encryptedKey } as const;
    const connection = await connectSsh(target({ credential: { ...credential, passphrase: sshd.passphrase } }), {
      signal,
    });
    await connection.close();
    const wrong = connectSsh(target({ credential: { ...credential, passphrase: 'wrong' } }), { signal });
    await assert.rejects(wrong, { code: 'INVALID_ARGUMENT' });
  });

  test('nobody there, somebody who is no SSH server, somebody who says nothing', async () => {
    await assert.rejects(connectSsh(target({ port: 1 }), { signal }), { code: 'UNREACHABLE' });
    const silent = createServer((socket) => socket.on('error', () => undefined));
    const rude = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    for (const [server, code] of [
      [silent, 'TIMEOUT'],
      [rude, 'UNREACHABLE'],
    ] as const) {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const address = server.address();
      assert.ok(address !== null && typeof address === 'object');
      await assert.rejects(connectSsh(target({ port: address.port, readyTimeoutMs: 300 }), { signal }), { code });
      server.close();
    }
  });

  test('exec: arguments, input, both outputs and the exit code arrive unchanged', async () => {
    const connection = await connectSsh(target(), { signal });
    const input = randomBytes(300_000);
    const copied = await connection.exec(['cat'], { signal, stdin: input });
    assert.deepEqual(copied.stdout, input);
    const failed = await connection.exec(['sh', '-c', 'echo "$0"; echo no >&2; exit 7', "it's $HOME"], { signal });
    assert.deepEqual(
      [failed.exitCode, failed.stdout.toString(), failed.stderr.toString()],
      [7, "it's $HOME\n", 'no\n'],
    );
    await assert.rejects(connection.run(['sh', '-c', 'echo why >&2; exit 3'], { signal }), {
      code: 'COMMAND_FAILED',
      message: /exit code 3: why/,
    });
    const killed = await connection.exec(['sh', '-c', 'kill -KILL $$'], { signal });
    assert.deepEqual([killed.exitCode, killed.signal], [null, 'SIGKILL']);
    await connection.close();
  });

  test('exec: output is bounded, and a caller may give up', async () => {
    const connection = await connectSsh(target(), { signal });
    const flood = connection.exec(['cat', '/dev/zero'], { signal, maxOutputBytes: 100_000 });
    await assert.rejects(flood, { code: 'OUTPUT_TOO_LARGE' });
    const mind = new AbortController();
    const waiting = connection.exec(['sleep', '60'], { signal: mind.signal });
    setImmediate(() => mind.abort());
    await assert.rejects(waiting, { code: 'ABORTED' });
    assert.equal((await connection.run(['true'], { signal })).exitCode, 0);
    await connection.close();
  });

  test('exec: more at the same time than the server takes of one connection wait for each other', async () => {
    const connection = await connectSsh(target(), { signal });
    const commands = Array.from({ length: 24 }, (_, index) => ['sh', '-c', `sleep 0.3; echo ${index}`]);
    const results = await Promise.allSettled(commands.map((command) => connection.run(command, { signal })));
    await connection.close();
    const said = results.map((result) => (result.status === 'fulfilled' ? Number(result.value.stdout) : result.reason));
    assert.deepEqual(said, [...commands.keys()]);
  });

  test('upload: whole or not at all, mode and progress', async () => {
    const connection = await connectSsh(target(), { signal });
    const path = join(sshd.directory, 'uploaded');
    const data = randomBytes(5_000_001);
    const seen: number[] = [];
    await connection.upload(data, path, { signal, mode: 0o640, onProgress: (bytes) => seen.push(bytes) });
    assert.deepEqual(readFileSync(path), data);
    assert.equal(statSync(path).mode & 0o777, 0o640);
    assert.equal(seen.at(-1), data.length);

    const file = join(sshd.directory, 'local');
    writeFileSync(file, 'second');
    await connection.upload({ file }, path, { signal });
    assert.equal(readFileSync(path, 'utf8'), 'second');

    const mind = new AbortController();
    const endless = Readable.from(
      (async function* () {
        for (let count = 0; ; count += 1) {
          if (count === 20) mind.abort();
          yield randomBytes(50_000);
        }
      })(),
      { objectMode: false },
    );
    await assert.rejects(connection.upload(endless, path, { signal: mind.signal }), { code: 'ABORTED' });
    await assert.rejects(connection.upload(data, '/no/such/place', { signal }), { code: 'TRANSFER_FAILED' });
    assert.equal(readFileSync(path, 'utf8'), 'second');
    await connection.run(['true'], { signal });
    assert.deepEqual(
      readdirSync(sshd.directory).filter((name) => name.endsWith('.part')),
      [],
    );
    await connection.close();
  });

  test('forwards reach a Unix socket and a TCP port, with half-close, and say when they cannot', async () => {
    const connection = await connectSsh(target(), { signal });
    const echo = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
    const path = join(sshd.directory, 'echo.sock');
    echo.listen(path);
    await once(echo, 'listening');
    const stream = await connection.forwardUnix(path, { signal });
    stream.end('there and back');
    assert.equal(Buffer.concat(await stream.toArray()).toString(), 'there and back');
    echo.close();
    const tcp = await connection.forwardTcp('127.0.0.1', sshd.port, { signal });
    assert.match(String((await once(tcp, 'data'))[0]), /^SSH-2\.0-/);
    tcp.destroy();
    const nobody = connection.forwardUnix(join(sshd.directory, 'nobody.sock'), { signal });
    await assert.rejects(nobody, { code: 'FORWARD_REFUSED' });
    await connection.close();
  });

  test('a peer that falls silent is noticed, and everything under way fails', async () => {
    await using relay = await startRelay(sshd.port);
    const connection = await connectSsh(target({ port: relay.port, keepaliveIntervalMs: 50 }), { signal });
    const waiting = connection.exec(['sleep', '60'], { signal });
    relay.stall();
    await assert.rejects(waiting, { code: 'CONNECTION_LOST' });
    assert.equal(sshErrorCode(connection.closed.reason), 'CONNECTION_LOST');
    await assert.rejects(connection.exec(['true'], { signal }), { code: 'CONNECTION_LOST' });
  });

  test('a connection that is cut fails an upload and a command with CONNECTION_LOST', async () => {
    await using relay = await startRelay(sshd.port);
    const connection = await connectSsh(target({ port: relay.port }), { signal });
    const waiting = connection.exec(['sleep', '60'], { signal });
    const stuck = connection.upload(new Readable({ read: () => undefined }), join(sshd.directory, 'stuck'), { signal });
    const both = Promise.all([
      assert.rejects(waiting, { code: 'CONNECTION_LOST' }),
      assert.rejects(stuck, { code: 'CONNECTION_LOST' }),
    ]);
    await connection.run(['true'], { signal });
    relay.cut();
    await both;
  });

  test('close is idempotent and ends the socket', async () => {
    const connection = await connectSsh(target(), { signal });
    await connection.close();
    await connection.close();
    assert.ok(connection.closed.aborted);
  });

  test('aborting while connecting rejects at once', async () => {
    const mind = new AbortController();
    const connecting = connectSsh(target(), { signal: mind.signal });
    mind.abort();
    await assert.rejects(connecting, { code: 'ABORTED' });
  });
});
