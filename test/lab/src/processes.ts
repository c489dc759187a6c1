// Processes that outlive the one that started them, named by pid and start time: a pid alone may by now be somebody else's.

import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export interface ProcessRecord {
  pid: number;
  /** Field 22 of /proc/PID/stat: clock ticks after boot. */
  startTicks: number;
}

function statFields(pid: number): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined; // it is gone: what we wanted to know
  }
}

export function recordOf(pid: number): ProcessRecord | undefined {
  const fields = statFields(pid);
  return fields && fields[0] !== 'Z' ? { pid, startTicks: Number(fields[19]) } : undefined;
}

export function isAlive(record: ProcessRecord): boolean {
  return recordOf(record.pid)?.startTicks === record.startTicks;
}

/** The children of a process, zombies left out. */
export function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      const fields = statFields(pid);
      return fields?.[0] !== 'Z' && Number(fields?.[1]) === parent;
    });
}

/** Sends the signal if the process is still the recorded one. False: it was gone. */
export function signalRecorded(record: ProcessRecord, signal: NodeJS.Signals): boolean {
  if (!isAlive(record)) return false;
  try {
    process.kill(record.pid, signal);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/** SIGKILL and wait until it is gone. False: still there after `timeoutMs`. */
export async function killRecorded(record: ProcessRecord, timeoutMs = 5_000): Promise<boolean> {
  signalRecorded(record, 'SIGKILL');
  return waitUntil(() => !isAlive(record), timeoutMs);
}

/** Polls a cheap condition that nobody can tell us about. */
export async function waitUntil(
  condition: () => boolean | Promise<boolean>,
  timeoutMs: number,
  everyMs = 20,
  signal?: AbortSignal,
): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    signal?.throwIfAborted();
    if (await condition()) return true;
    if (performance.now() >= deadline) return false;
    await sleep(everyMs, undefined, { signal });
  }
}
