/**
 * Looking at processes of this machine: is it alive, is it the one that was meant, end it and wait.
 * A pid alone is never trusted: it may have been given to somebody else since.
 */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks after boot; field 22 of /proc/<pid>/stat (proc(5)). */
  readonly startTime: string;
}

/** Who runs under this pid now; `undefined` when nobody does, or when it is a zombie. */
export async function identify(pid: number): Promise<ProcessIdentity | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state, startTime] = [fields[0], fields[19]];
    return startTime === undefined || state === 'Z' ? undefined : { pid, startTime };
  } catch {
    return undefined; // no such process
  }
}

export async function isAlive(identity: ProcessIdentity): Promise<boolean> {
  return (await identify(identity.pid))?.startTime === identity.startTime;
}

export async function commandLine(pid: number): Promise<string> {
  try {
    return (await readFile(`/proc/${pid}/cmdline`, 'utf8')).replaceAll('\0', ' ').trim();
  } catch {
    return ''; // no such process
  }
}

/** Ends a process: politely, then by force. Resolves once it is gone. */
export async function endProcess(identity: ProcessIdentity, { politeMs }: { politeMs: number }): Promise<void> {
  const send = (signal: NodeJS.Signals) => {
    try {
      process.kill(identity.pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  };
  if (!(await isAlive(identity))) return;
  send('SIGTERM');
  const deadline = performance.now() + politeMs;
  while (await isAlive(identity)) {
    if (performance.now() > deadline) send('SIGKILL');
    await sleep(20);
  }
}
