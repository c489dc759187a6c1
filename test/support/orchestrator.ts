/**
 * A real orchestrator in a process of its own, for end-to-end tests, the demo and the fault suite. It can be killed and
 * started again on the same data directory. Whoever starts it stops it; nothing of it outlives `stop`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createLmasClient, type LmasClient } from '@lmas/client';
import { killRecorded, recordOf } from '../lab/src/processes.ts';

const LAUNCHER = fileURLToPath(new URL('../../apps/orchestrator/bin/lmas-orchestrator.mjs', import.meta.url));
const READY_WITHIN_MS = 60_000;
const STOP_WITHIN_MS = 20_000;

export interface OrchestratorOptions {
  /** Keeps the record, the keys and the private Redis; survives `kill`. */
  readonly dataDir: string;
  /** Further settings, as environment variables. */
  readonly env?: Readonly<Record<string, string>>;
  /** Called once the process exists, long before it is ready: whoever has to take it down after a crash of its own can note it. */
  readonly onSpawned?: (orchestrator: OrchestratorProcess) => void;
  /** Gives the start up. */
  readonly signal?: AbortSignal;
}

export class OrchestratorProcess {
  readonly baseUrl: string;
  readonly dataDir: string;
  readonly logFile: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly #onSpawned: OrchestratorOptions['onSpawned'];
  #child: ChildProcess | undefined;

  private constructor(options: OrchestratorOptions, port: number) {
    this.dataDir = options.dataDir;
    this.baseUrl = `http://127.0.0.1:${port}`;
    this.logFile = join(options.dataDir, 'orchestrator.log');
    this.#onSpawned = options.onSpawned;
    this.#env = { ...process.env, LMAS_DATA_DIR: options.dataDir, LMAS_PORT: String(port), ...options.env };
  }

  /** Starts it and waits until it is ready. @throws when it is not ready in time, and nothing of it is left; the message ends with its log. */
  static async start(options: OrchestratorOptions): Promise<OrchestratorProcess> {
    mkdirSync(options.dataDir, { recursive: true, mode: 0o700 });
    const orchestrator = new OrchestratorProcess(options, await freePort());
    try {
      await orchestrator.restart(options.signal);
    } catch (error) {
      await orchestrator.stop();
      throw error;
    }
    return orchestrator;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get apiKeyFile(): string {
    return join(this.dataDir, 'api-key');
  }

  client(): LmasClient {
    return createLmasClient({ baseUrl: this.baseUrl, apiKey: readFileSync(this.apiKeyFile, 'utf8').trim() });
  }

  /** Starts the process on the same data and port, after `kill` or `stop`. */
  async restart(signal?: AbortSignal): Promise<void> {
    const log = createWriteStream(this.logFile, { flags: 'a', mode: 0o600 });
    await once(log, 'open');
    // A process group of its own: Ctrl-C at the terminal is the caller's to handle, in the caller's order.
    const child = spawn(process.execPath, [LAUNCHER], { env: this.#env, stdio: ['ignore', log, log], detached: true });
    this.#child = child;
    log.end();
    this.#onSpawned?.(this);
    await this.#untilReady(child, signal);
  }

  /** Lets this process end while the orchestrator runs on. */
  letGo(): void {
    this.#child?.unref();
  }

  /** SIGKILL: what a power cut does to the process. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  /** SIGKILL to its private Redis, if it runs; by the process id that the data directory has. */
  async killRedis(): Promise<void> {
    const redisDir = join(this.dataDir, 'redis');
    const pidFile = join(redisDir, 'redis.pid');
    const record = existsSync(pidFile) ? recordOf(Number(readFileSync(pidFile, 'utf8'))) : undefined;
    // The pid may be somebody else's by now: only what names our socket is ours.
    if (record && readFileSync(`/proc/${record.pid}/cmdline`, 'utf8').includes(redisDir)) await killRecorded(record);
  }

  /** SIGTERM, then SIGKILL when it takes too long; after a `kill` its Redis is all that is left. Idempotent. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child && child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit').then(() => true);
      child.kill('SIGTERM');
      const inTime = await Promise.race([exited, delay(STOP_WITHIN_MS, false, { ref: false })]);
      if (!inTime) await this.kill();
    }
    this.#child = undefined;
    await this.killRedis();
  }

  /** The end of its log, for failure messages. */
  logTail(lines = 30): string {
    return readFileSync(this.logFile, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
  }

  async #untilReady(child: ChildProcess, signal?: AbortSignal): Promise<void> {
    const deadline = performance.now() + READY_WITHIN_MS;
    while (performance.now() < deadline) {
      if (child.exitCode !== null || child.signalCode !== null) break;
      const answer = await fetch(`${this.baseUrl}/readyz`, { signal: AbortSignal.timeout(2_000) }).catch(
        () => undefined,
      );
      if (answer?.ok) return;
      await delay(50, undefined, { signal });
    }
    const limit = `within ${READY_WITHIN_MS / 1_000} s; on a machine that is busy, try again when it is less so`;
    throw new Error(`The orchestrator did not become ready ${limit}. The end of ${this.logFile}:\n${this.logTail()}`);
  }
}

/** A port that was free a moment ago; the orchestrator must keep it over its restarts, so it cannot be port 0. */
async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('A TCP server has an address and a port.');
  return address.port;
}
