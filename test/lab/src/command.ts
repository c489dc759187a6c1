// Running programs: one way to run something to its end, one to start something that outlives us.
// No shell is involved unless the caller names one.

import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { LabError } from './errors.ts';

export interface CommandResult {
  code: number;
  stdout: string;
  stderr: string;
}

export interface CommandOptions {
  input?: string;
  timeoutMs?: number;
  signal?: AbortSignal;
  /** Answer with the exit code instead of throwing when it is not 0. */
  allowFailure?: boolean;
}

/**
 * Runs a program to its end, in a process group of its own: a Ctrl-C at the terminal is for us, and must not hit the commands of a
 * clean-up. Throws LAB_COMMAND_FAILED (with what it wrote to stderr) unless it exits with 0; LAB_TIMEOUT, or the signal's reason, when it was ended.
 */
export function run(file: string, args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const command = `${file} ${args.join(' ')}`;
  options.signal?.throwIfAborted();
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    const giveUp = (reason: unknown) => {
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL');
      reject(reason);
    };
    const timeoutMs = options.timeoutMs ?? 60_000;
    const timer = setTimeout(
      () => giveUp(new LabError('LAB_TIMEOUT', `${command}: not done after ${timeoutMs} ms`)),
      timeoutMs,
    );
    const onAbort = () => giveUp(options.signal?.reason);
    options.signal?.addEventListener('abort', onAbort, { once: true });
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
    child.stdin.on('error', () => child.stdin.destroy()); // the program ended without reading all of it: its exit code says why
    child.on('error', (cause: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      reject(
        new LabError(
          cause.code === 'ENOENT' ? 'LAB_TOOL_MISSING' : 'LAB_COMMAND_FAILED',
          `${command}: ${cause.message}`,
          { cause },
        ),
      );
    });
    child.on('close', (exit, killedBy) => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', onAbort);
      const result = {
        code: exit ?? 128,
        stdout: Buffer.concat(out).toString(),
        stderr: Buffer.concat(err).toString(),
      };
      if (exit === 0 || (options.allowFailure && exit !== null)) return resolve(result);
      const said = result.stderr.trim() || result.stdout.trim();
      reject(new LabError('LAB_COMMAND_FAILED', `${command}: ${killedBy ?? `exit ${exit}`}: ${said}`));
    });
    child.stdin.end(options.input ?? '');
  });
}

/** Starts a program in a session of its own, output to `logFile`; it lives on when we end. Returns its pid. */
export function startDetached(
  file: string,
  args: readonly string[],
  logFile: string,
  env: Record<string, string> = {},
): Promise<number> {
  const log = openSync(logFile, 'a', 0o600);
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      detached: true,
      stdio: ['ignore', log, log],
      cwd: '/',
      env: { PATH: process.env.PATH, ...env },
    });
    closeSync(log);
    child.on('error', (cause) => reject(new LabError('LAB_TOOL_MISSING', `${file}: ${cause.message}`, { cause })));
    child.on('spawn', () => {
      child.unref();
      resolve(child.pid ?? -1);
    });
  });
}
