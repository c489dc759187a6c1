/**
 * The orchestrator as people start it: a process of its own, told by its environment and by signals, heard by its log. Whoever starts it
 * disposes of it.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../apps/orchestrator/src/main.ts', import.meta.url));

export class OrchestratorCommand implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown[]>;
  readonly lines: string[] = [];

  constructor(settings: Record<string, string>) {
    const env = { ...process.env, LMAS_PLUGINS: '@lmas/plugin-kvm', LMAS_LOG_LEVEL: 'info', ...settings };
    const child = spawn(process.execPath, [MAIN], { env, stdio: ['ignore', 'pipe', 'inherit'] });
    this.#child = child;
    this.#exited = once(child, 'exit');
    createInterface({ input: child.stdout }).on('line', (line) => this.lines.push(line));
  }

  async until(condition: () => boolean | Promise<boolean>, limitMs = 20_000): Promise<void> {
    const deadline = performance.now() + limitMs;
    while (!(await condition())) {
      assert.ok(performance.now() < deadline, `not in ${limitMs} ms; it said:\n${this.lines.join('\n')}`);
      await sleep(50);
    }
  }

  says(pattern: RegExp): Promise<void> {
    return this.until(() => this.lines.some((line) => pattern.test(line)));
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  get hasExited(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Its exit code, or null when a signal ended it. */
  async exit(): Promise<unknown> {
    const [code] = await this.#exited;
    return code;
  }

  /** Exit code, and how long it took. */
  async terminate(): Promise<{ code: unknown; ms: number }> {
    const began = performance.now();
    this.signal('SIGTERM');
    return { code: await this.exit(), ms: performance.now() - began };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.hasExited) this.#child.kill('SIGKILL');
    await this.#exited;
  }
}

/** 0: nobody answers. */
export const status = (url: string): Promise<{ status: number; body: string }> =>
  fetch(url).then(
    async (response) => ({ status: response.status, body: await response.text() }),
    () => ({ status: 0, body: '' }),
  );
