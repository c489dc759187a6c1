/** A running middle-box.ts. It is told what to do to the connections that it carries, and says whether there were any. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export interface MiddleBoxOptions {
  readonly listenAddress: string;
  readonly forwardAddress: string;
  /** The same ones at both addresses. */
  readonly ports: { readonly min: number; readonly max: number };
  /** Of this network namespace; without one, where we are. */
  readonly netns?: string;
}

export class MiddleBox {
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string>;

  private constructor(child: ChildProcess, answers: AsyncIterator<string>) {
    this.#child = child;
    this.#answers = answers;
  }

  static async start({ listenAddress, forwardAddress, ports, netns }: MiddleBoxOptions): Promise<MiddleBox> {
    const program = fileURLToPath(new URL('middle-box.ts', import.meta.url));
    const box = [process.execPath, program, listenAddress, forwardAddress, String(ports.min), String(ports.max)];
    const [command = '', ...rest] = netns === undefined ? box : ['ip', 'netns', 'exec', netns, ...box];
    const child = spawn(command, rest, { stdio: ['pipe', 'pipe', 'inherit'] });
    const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    assert.equal((await answers.next()).value, 'ready', 'the middle box does not start');
    return new MiddleBox(child, answers);
  }

  /** One command at a time. @returns whether it hit a connection */
  async hits(command: string): Promise<boolean> {
    this.#child.stdin?.write(`${command}\n`);
    const { value: said = 'has ended' } = await this.#answers.next();
    assert.ok(said === 'hit' || said === 'nothing', `the middle box ${said}`);
    return said === 'hit';
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.stdin?.end();
    await exited;
  }
}
