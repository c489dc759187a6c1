/**
 * A real OpenSSH server for tests: on 127.0.0.1, on a free port, with host keys, user key and configuration of its own in a
 * temporary directory. `close` ends the daemon and its sessions and removes the directory.
 */
import { execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, connect as openSocket, type Socket } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';

export interface TestSshd extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  readonly username: string;
  readonly privateKey: string;
  /** Another key that may log in, encrypted; its passphrase is this server's alone, for tests that look for it in command lines. */
  readonly encryptedKey: string;
  readonly passphrase: string;
  /** A key that may not log in. */
  readonly strangerKey: string;
  /** By family. */
  readonly hostKeys: { readonly ed25519: string; readonly ecdsa: string; readonly rsa: string };
  readonly directory: string;
}

const SSHD = '/usr/sbin/sshd';

/** Whether this machine has what the tests need; else what is missing. */
export function sshdMissing(): string | false {
  return existsSync(SSHD) ? false : 'openssh-server is not installed (apt-get install openssh-server)';
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

function makeKey(path: string, type: string, passphrase = ''): string {
  execFileSync('ssh-keygen', [
    '-q',
    '-t',
    type,
    '-N',
    passphrase,
    '-f',
    path,
    ...(type === 'rsa' ? ['-b', '2048'] : []),
  ]);
  return readFileSync(path, 'utf8');
}

function printOf(path: string): string {
  return execFileSync('ssh-keygen', ['-lf', `${path}.pub`], { encoding: 'utf8' }).split(' ')[1] ?? '';
}

async function waitUntilListening(port: number, failed: () => string | undefined): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const why = failed();
    if (why !== undefined) throw new Error(`sshd did not start: ${why}`);
    const socket = openSocket(port, '127.0.0.1');
    try {
      await once(socket, 'connect');
      return;
    } catch {
      // Not yet: the daemon is still reading its keys.
      await new Promise((resolve) => setTimeout(resolve, 25));
    } finally {
      socket.destroy();
    }
  }
  throw new Error('sshd did not listen in time');
}

/** Starts the server. @param settings further lines of sshd_config */
export async function startSshd(settings: readonly string[] = []): Promise<TestSshd> {
  const directory = mkdtempSync(join(tmpdir(), 'lmas-sshd-'));
  const file = (name: string): string => join(directory, name);
  for (const type of ['ed25519', 'ecdsa', 'rsa']) makeKey(file(`host-${type}`), type);
  const privateKey = makeKey(file('user'), 'ed25519');
  const strangerKey = makeKey(file('stranger'), 'ed25519');
  const passphrase = `open ${randomUUID()}`;
  const encryptedKey = makeKey(file('encrypted'), 'ed25519', passphrase);
  const authorized = readFileSync(file('user.pub'), 'utf8') + readFileSync(file('encrypted.pub'), 'utf8');
  writeFileSync(file('authorized'), authorized, { mode: 0o600 });
  const port = await freePort();
  const lines = [
    'ListenAddress 127.0.0.1',
    `Port ${port}`,
    ...['ed25519', 'ecdsa', 'rsa'].map((type) => `HostKey ${file(`host-${type}`)}`),
    `AuthorizedKeysFile ${file('authorized')}`,
    'PidFile none',
    'UsePAM no',
    'StrictModes no',
    'PasswordAuthentication yes',
    'PermitRootLogin yes',
    // At this level bash reads no ~/.bashrc: what the tests do depends on nobody's dotfiles, nor on how long these take.
    'SetEnv SHLVL=2',
    'AllowStreamLocalForwarding yes',
    'Subsystem sftp internal-sftp',
    ...settings,
  ];
  writeFileSync(file('config'), `${lines.join('\n')}\n`);
  // sshd run by root insists on its privilege separation directory, which only its service file makes.
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true });
  const daemon = spawn(SSHD, ['-D', '-e', '-f', file('config')], {
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  });
  let log = '';
  daemon.stderr.on('data', (chunk: Buffer) => {
    log = (log + chunk.toString()).slice(-4_000);
  });
  const exited = once(daemon, 'exit');
  const close = async (): Promise<void> => {
    // Its sessions are in its process group unless they made their own; they end with their connections.
    if (daemon.exitCode === null && daemon.pid !== undefined) process.kill(-daemon.pid, 'SIGTERM');
    await exited;
    rmSync(directory, { recursive: true, force: true });
  };
  await waitUntilListening(port, () => (daemon.exitCode === null ? undefined : log));
  const hostKeys = {
    ed25519: printOf(file('host-ed25519')),
    ecdsa: printOf(file('host-ecdsa')),
    rsa: printOf(file('host-rsa')),
  };
  const { username } = userInfo();
  return {
    host: '127.0.0.1',
    port,
    username,
    privateKey,
    encryptedKey,
    passphrase,
    strangerKey,
    hostKeys,
    directory,
    [Symbol.asyncDispose]: close,
  };
}

export interface Relay extends AsyncDisposable {
  readonly port: number;
  /** From now on nothing passes, and nothing is refused either: a dead peer. */
  stall(): void;
  /** Resets every connection. */
  cut(): void;
}

/** A TCP relay in front of a port, so that a test can take the network away. */
export async function startRelay(port: number): Promise<Relay> {
  const sockets = new Set<Socket>();
  let stalled = false;
  const server = createServer((near) => {
    const far = openSocket(port, '127.0.0.1');
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on('data', (chunk) => {
        if (!stalled) to.write(chunk);
      });
      from.on('end', () => {
        if (!stalled) to.end();
      });
      from.on('error', () => to.destroy());
      from.on('close', () => sockets.delete(from));
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const cut = (): void => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  return {
    port: address.port,
    stall: () => {
      stalled = true;
    },
    cut,
    [Symbol.asyncDispose]: async () => {
      cut();
      server.close();
      await once(server, 'close');
    },
  };
}
