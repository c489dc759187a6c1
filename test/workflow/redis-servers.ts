/**
 * Real redis-server processes in the arrangements that people run: one, a master with a replica and three sentinels, a
 * cluster. Everything on loopback, durable, and gone when it is disposed of.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { freePort } from './harness.ts';

const LIMIT_MS = 30_000;

export class RedisServers implements AsyncDisposable {
  readonly #directory: string;
  readonly #children = new Map<number, ChildProcess>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** A durable server. @returns its port */
  async start(settings: Readonly<Record<string, string>> = {}): Promise<number> {
    const port = await freePort();
    const directory = join(this.#directory, `redis-${port}`);
    await mkdir(directory, { recursive: true });
    const all = {
      bind: '127.0.0.1',
      port,
      dir: directory,
      save: '',
      appendonly: 'yes',
      appendfsync: 'always',
      ...settings,
    };
    const args = Object.entries(all).flatMap(([name, value]) => [`--${name}`, ...String(value).split(' ')]);
    this.#children.set(port, spawn('redis-server', args, { stdio: 'ignore' }));
    await this.until(port, ['PING'], /PONG/);
    return port;
  }

  /** A sentinel that watches `main`. */
  async startSentinel(masterPort: number): Promise<number> {
    const port = await freePort();
    const file = join(this.#directory, `sentinel-${port}.conf`);
    const lines = [
      ...[
        `port ${port}`,
        'bind 127.0.0.1',
        `dir ${this.#directory}`,
        `sentinel monitor main 127.0.0.1 ${masterPort} 2`,
      ],
      ...['sentinel down-after-milliseconds main 1000', 'sentinel failover-timeout main 5000'],
    ];
    await writeFile(file, `${lines.join('\n')}\n`);
    this.#children.set(port, spawn('redis-server', [file, '--sentinel'], { stdio: 'ignore' }));
    await this.until(port, ['PING'], /PONG/);
    return port;
  }

  async command(port: number, command: readonly string[]): Promise<string> {
    const { stdout } = await promisify(execFile)('redis-cli', ['-h', '127.0.0.1', '-p', String(port), ...command]);
    return stdout;
  }

  async until(port: number, command: readonly string[], pattern: RegExp): Promise<void> {
    const deadline = performance.now() + LIMIT_MS;
    for (;;) {
      const answer = await this.command(port, command).catch(String);
      if (pattern.test(answer)) return;
      assert.ok(performance.now() < deadline, `${command.join(' ')} at ${port}: ${answer}`);
      await sleep(50);
    }
  }

  /** One that does not end it. */
  signal(port: number, signal: 'SIGSTOP' | 'SIGCONT'): void {
    assert.ok(this.#children.get(port)?.kill(signal));
  }

  async kill(port: number): Promise<void> {
    const child = this.#children.get(port);
    assert.ok(child !== undefined);
    this.#children.delete(port);
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const port of [...this.#children.keys()]) await this.kill(port);
  }
}

/** A master, a replica that keeps up, three sentinels that agree on both. */
export async function startSentinels(
  servers: RedisServers,
): Promise<{ url: string; masterPort: number; replicaPort: number }> {
  const settings = { 'repl-diskless-sync-delay': '0' };
  const masterPort = await servers.start(settings);
  const replicaPort = await servers.start({ ...settings, replicaof: `127.0.0.1 ${masterPort}` });
  await servers.until(masterPort, ['INFO', 'replication'], /state=online/);
  const sentinels = [];
  for (let i = 0; i < 3; i++) sentinels.push(await servers.startSentinel(masterPort));
  for (const port of sentinels) {
    await servers.until(port, ['SENTINEL', 'ckquorum', 'main'], /OK 3 usable/);
    await servers.until(port, ['SENTINEL', 'replicas', 'main'], new RegExp(`${replicaPort}[\\s\\S]*slave-priority`));
  }
  const url = `redis+sentinel://${sentinels.map((port) => `127.0.0.1:${port}`).join(',')}/main`;
  return { url, masterPort, replicaPort };
}

/** Three masters that share the slots. */
export async function startCluster(servers: RedisServers): Promise<{ url: string; ports: readonly number[] }> {
  const ports: number[] = [];
  for (let i = 0; i < 3; i++)
    ports.push(await servers.start({ 'cluster-enabled': 'yes', 'cluster-port': String(await freePort()) }));
  const [first = 0] = ports;
  const nodes = ports.map((port) => `127.0.0.1:${port}`);
  await promisify(execFile)('redis-cli', ['--cluster', 'create', ...nodes, '--cluster-yes']);
  for (const port of ports) await servers.until(port, ['CLUSTER', 'INFO'], /cluster_state:ok/);
  await servers.until(first, ['CLUSTER', 'INFO'], /cluster_known_nodes:3/);
  return { url: `redis+cluster://${nodes.join(',')}`, ports };
}
