/** Two gateways as an operator runs them by hand: a process each, with its directory, key and configuration file. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Cleanup, listen } from './support.ts';

const program = path.join(import.meta.dirname, '../../bin/lmas-gateway.mjs');

export interface StaticPair {
  /** Dials; hypervisors connect to `entry` of 127.0.0.2. */
  readonly near: string;
  /** Listens for its peer at `port` of 127.0.0.1. */
  readonly far: string;
  readonly port: number;
  readonly entry: number;
}

async function freePort(host: string): Promise<number> {
  const server = net.createServer();
  const port = await listen(server, host);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** The directories of a pair that carries one route to `target` of 127.0.0.1; removed when the test ends. */
export async function configureStaticPair(t: Cleanup, target: number): Promise<StaticPair> {
  const [near, far] = [0, 1].map(() => mkdtempSync(path.join(tmpdir(), 'lmas-gateway-'))) as [string, string];
  for (const place of [near, far]) {
    t.after(() => rmSync(place, { recursive: true, force: true }));
    execFileSync(process.execPath, [program, 'keygen', '--out', path.join(place, 'k')]);
  }
  copyFileSync(path.join(near, 'k/certificate.pem'), path.join(far, 'peer.pem'));
  copyFileSync(path.join(far, 'k/certificate.pem'), path.join(near, 'peer.pem'));
  const [port, entry] = [await freePort('127.0.0.1'), await freePort('127.0.0.2')];
  const write = (place: string, role: object, route: object) => {
    const files = { certificateFile: 'k/certificate.pem', keyFile: 'k/key.pem', peerCertificateFile: 'peer.pem' };
    const session = { sessionId: '2d0b8c4e-6a55-4c0c-9b0f-1f3c5f0a7d21', role, subflows: 2 };
    const routes = { main: { maxStreams: 4, priority: 'bulk', ...route } };
    writeFileSync(
      path.join(place, 'c.json'),
      JSON.stringify({ ...files, session, routes, controlSocket: 'control.sock' }),
    );
  };
  const dial = { kind: 'dial', host: '127.0.0.1' };
  const listens = { kind: 'listen', address: '127.0.0.2', port: entry, allowFrom: ['127.0.0.1'] };
  write(near, { ...dial, port }, listens);
  write(far, { kind: 'listen', address: '127.0.0.1', port }, { ...dial, port: target, allowSpecialAddress: true });
  return { near, far, port, entry };
}

export interface StartOptions {
  env?: NodeJS.ProcessEnv;
  /** Descriptors that it may have open. */
  descriptors?: number;
}

/** Starts one of them; killed when the test ends. */
export function startStatic(t: Cleanup, place: string, { env, descriptors }: StartOptions = {}): ChildProcess {
  const command = [process.execPath, program, '--config', path.join(place, 'c.json')];
  const limited = descriptors === undefined ? command : ['prlimit', `--nofile=${descriptors}`, ...command];
  const child = spawn(limited[0] ?? '', limited.slice(1), { stdio: 'ignore', env: { ...process.env, ...env } });
  t.after(() => child.kill('SIGKILL'));
  return child;
}
