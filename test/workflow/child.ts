/**
 * Starts, kills and starts again an orchestrator in a process of its own.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Api, SHORT } from './harness.ts';

const ENTRY = fileURLToPath(new URL('./orchestrator-child.ts', import.meta.url));

export class OrchestratorProcess implements AsyncDisposable {
  readonly #dataDir: string;
  readonly #settings: Record<string, string>;
  readonly #first: OrchestratorProcess | undefined;
  #child: ChildProcess | undefined;
  #api: Api | undefined;

  /** @param first of several on one Redis: the one that started first has the API key of them all */
  constructor(dataDir: string, settings: Record<string, string> = {}, first?: OrchestratorProcess) {
    this.#dataDir = dataDir;
    this.#settings = settings;
    this.#first = first;
  }

  /** Of the process that runs now. */
  get api(): Api {
    assert.ok(this.#api !== undefined);
    return this.#api;
  }

  async start(): Promise<void> {
    const child = spawn(process.execPath, [ENTRY], {
      env: { ...process.env, ...SHORT, LMAS_DATA_DIR: this.#dataDir, ...this.#settings },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#child = child;
    const ready = new Promise<string>((resolve, reject) => {
      child.once('exit', (code) => reject(new Error(`the orchestrator ended with ${code}`)));
      const lines = createInterface({ input: child.stdout });
      lines.on('line', (line) => {
        if (line.startsWith('ready ')) resolve(line.slice('ready '.length));
        else if (process.env.LMAS_TEST_LOG !== undefined) console.error(line);
      });
    });
    const url = await ready;
    const ownKey = async () => (await readFile(join(this.#dataDir, 'api-key'), 'utf8')).trim();
    this.#api = new Api(url, this.#first === undefined ? await ownKey() : this.#first.api.key);
  }

  /** Sends a signal that does not end it. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    assert.ok(this.#child?.kill(signal));
  }

  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child === undefined) await this.start(); // so that its private Redis is ended by somebody
    await this.end('SIGTERM');
  }
}
