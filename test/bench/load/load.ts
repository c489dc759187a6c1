/**
 * Drives the load program (load.c) inside the hosts of the lab: one process at each end of a way.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { compile } from '../../lab/src/build.ts';
import type { LabHost } from '../../lab/src/index.ts';
import { keepPriority } from '../machine/priority.ts';

const PROGRAM = '/run/bench-load';
/** A way may swallow this much longer than the load lasts. */
const DRAINS_WITHIN_MS = 90_000;
/** How long the last answers are waited for. */
const PATIENCE_SECONDS = 10;

export type Pattern = 'random' | 'half';

export interface Received {
  readonly bytes: number;
  readonly firstByteNs: number;
  readonly lastByteNs: number;
  /** The sender's end was seen; else time was over first. */
  readonly whole: boolean;
  /** Bytes so far at the end of each tenth of a second after the first byte. */
  readonly totalAtIntervals: readonly number[];
  readonly cpuSeconds: number;
}

export interface Sent {
  readonly bytes: number;
  readonly startNs: number;
  readonly cpuSeconds: number;
}

export interface LoadOptions {
  readonly seconds: number;
  /** Waits so long before it starts. */
  readonly afterSeconds?: number;
  readonly pattern: Pattern;
  readonly congestionControl: 'bbr' | 'cubic' | 'default';
}

/** Path of the program on this machine. */
export const buildLoad = (): Promise<string> =>
  compile('bench-load', { directory: import.meta.dirname, flags: ['-O2', '-Wall', '-Wextra'], compiled: /\.c$/ });

/** Puts the program on a machine; again is cheap. */
export async function placeLoad(...machines: readonly LabHost[]): Promise<void> {
  const program = await buildLoad();
  for (const machine of machines) {
    if (existsSync(machine.path(PROGRAM))) continue;
    copyFileSync(program, machine.path(PROGRAM));
    chmodSync(machine.path(PROGRAM), 0o755);
  }
}

export async function send(machine: LabHost, host: string, port: number, options: LoadOptions): Promise<Sent> {
  const { seconds, pattern, congestionControl, afterSeconds = 0 } = options;
  await sleep(afterSeconds * 1_000);
  const command = [PROGRAM, 'send', host, String(port), String(seconds), pattern, congestionControl];
  const { stdout } = await machine.exec(command, { timeoutMs: seconds * 1_000 + DRAINS_WITHIN_MS });
  return JSON.parse(stdout) as Sent;
}

/** Round trips of all questions, asked at fixed times, in microseconds. One without an answer has at least the time that it was waited for. */
export async function ask(machine: LabHost, host: string, port: number, options: AskOptions): Promise<number[]> {
  const { seconds, periodMs, requestBytes, answerBytes, afterSeconds = 0 } = options;
  await sleep(afterSeconds * 1_000);
  const numbers = [port, seconds, periodMs, requestBytes, answerBytes, PATIENCE_SECONDS];
  const command = [PROGRAM, 'ask', host, ...numbers.map(String)];
  const { stdout } = await machine.exec(command, { timeoutMs: seconds * 1_000 + DRAINS_WITHIN_MS });
  return (JSON.parse(stdout) as { tookUs: number[] }).tookUs;
}

export interface AskOptions {
  readonly seconds: number;
  readonly periodMs: number;
  readonly requestBytes: number;
  readonly answerBytes: number;
  /** Waits so long before it starts. */
  readonly afterSeconds?: number;
}

/** A listener of the load: disposed of when nobody needs it any more, whether it has had its connection or not. */
export interface Listener<T> extends Disposable {
  /** What it says at the end of its one connection. */
  readonly answer: Promise<T>;
}

/** @param readBytesPerSec null: as fast as it comes */
export const receive = (
  machine: LabHost,
  port: number,
  mostSeconds: number,
  readBytesPerSec: number | null = null,
): Promise<Listener<Received>> =>
  listen(machine, ['receive', ...[port, mostSeconds, readBytesPerSec ?? 0].map(String)]);

export const answerQuestions = (machine: LabHost, port: number, options: AskOptions): Promise<Listener<unknown>> =>
  listen(machine, ['answer', ...[port, options.requestBytes, options.answerBytes].map(String)]);

async function listen<T>(machine: LabHost, args: readonly string[]): Promise<Listener<T>> {
  const child = spawn('nsenter', machine.enterArguments([PROGRAM, ...args]), {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true, // so that it can be ended together with what nsenter starts
  });
  keepPriority(child.pid);
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  const answer = once(child, 'close').then(() => {
    if (chunks.length === 0) throw new Error(`The load on ${machine.name} (${args.join(' ')}) said nothing.`);
    return JSON.parse(Buffer.concat(chunks).toString('utf8')) as T;
  });
  answer.catch(() => undefined); // whoever waits for it hears of it; nobody has to
  await once(child.stderr, 'data'); // "listening", or why not
  return {
    answer,
    [Symbol.dispose]() {
      if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
        process.kill(-child.pid, 'SIGKILL');
      }
    },
  };
}
