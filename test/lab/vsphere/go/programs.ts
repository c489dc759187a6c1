/**
 * Go programs of ours around the govmomi library that Debian packages: its simulator as a second kind of vCenter, and its client as a client
 * that is not ours. Built when they are first needed (about half a minute), and kept in the lab's cache under the hash of source, library and compiler.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { run } from '../../src/command.ts';
import { LIBRARY } from '../schema/schema.ts';

const GOPATH = '/usr/share/gocode';
const BUILT_WITHIN_MS = 240_000;
const cacheDir = () => join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'lmas-lab');

/** Path of the built program. @throws when Debian's golang-go or golang-github-vmware-govmomi-dev is missing, or it does not compile */
export async function buildGo(name: 'simulator' | 'client'): Promise<string> {
  const source = join(import.meta.dirname, name);
  const hash = createHash('sha256').update(readFileSync(join(source, 'main.go')));
  // The library has its version in its client; the compiler says its own.
  hash.update(readFileSync(join(LIBRARY, 'vim25/soap/client.go'))).update(readFileSync('/usr/lib/go/VERSION'));
  const path = join(cacheDir(), `vsphere-${name}-${hash.digest('hex').slice(0, 16)}`);
  if (existsSync(path)) return path;
  mkdirSync(cacheDir(), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${process.pid}`;
  const settings = [
    'GO111MODULE=off',
    `GOPATH=${GOPATH}`,
    'CGO_ENABLED=0',
    `GOCACHE=${join(cacheDir(), 'go-build')}`,
    'GOFLAGS=',
  ];
  const build = ['go', 'build', '-o', temporary, join(source, 'main.go')];
  await run('env', [...settings, ...build], { timeoutMs: BUILT_WITHIN_MS });
  renameSync(temporary, path);
  return path;
}

export interface SimulatorOptions {
  readonly username?: string;
  readonly password?: string;
  readonly datastores?: number;
  /** Every call takes so long. */
  readonly delayMs?: number;
}

/** A vCenter of govmomi's simulator, as a process. What it lacks is in the README. */
export class Simulator implements AsyncDisposable {
  /** Without user and password. */
  readonly url: URL;
  readonly #end: () => Promise<void>;

  private constructor(url: URL, end: () => Promise<void>) {
    this.url = url;
    this.#end = end;
  }

  static async start({
    username = 'user',
    password = 'pass',
    datastores = 2,
    delayMs = 0,
  }: SimulatorOptions = {}): Promise<Simulator> {
    const args = [
      '-username',
      username,
      '-password',
      password,
      '-datastores',
      `${datastores}`,
      '-delay-ms',
      `${delayMs}`,
    ];
    const child = spawn(await buildGo('simulator'), args, { stdio: ['pipe', 'pipe', 'inherit'] });
    const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
    const line = await Promise.race([
      createInterface({ input: child.stdout })[Symbol.asyncIterator]().next(),
      ended.then((): never => {
        throw new Error('the simulator did not start');
      }),
    ]);
    const url = new URL(String(line.value));
    url.username = '';
    url.password = '';
    return new Simulator(url, () => {
      child.stdin.end();
      child.kill();
      return ended;
    });
  }

  stop(): Promise<void> {
    return this.#end();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}
