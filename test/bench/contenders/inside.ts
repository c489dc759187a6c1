/**
 * Programs inside the machines of the lab: started, ended and waited for. Whoever starts one owns it until `end` has returned.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, rmSync } from 'node:fs';
import type { LabHost } from '../../lab/src/index.ts';
import { waitUntil } from '../../lab/src/processes.ts';
import { keepPriority } from '../machine/priority.ts';

const ENDS_WITHIN_MS = 5_000;
const COMPLAINT_BYTES = 4_096;

export interface Inside {
  readonly machine: LabHost;
  /** What it wrote to stderr last. */
  complaint(): string;
  ended(): boolean;
  /** SIGTERM, then SIGKILL; returns when it is gone. */
  end(): Promise<void>;
}

/** Starts a program in a machine, in the foreground of nobody. */
export function startInside(machine: LabHost, command: readonly string[]): Inside {
  // `nsenter` forks into the PID namespace and hands no signal on, so the id that counts is the one that is valid inside.
  const pidFile = `/run/bench-${randomUUID()}.pid`;
  const script = 'echo $$ >"$1"; shift; exec "$@"';
  const child = spawn('nsenter', machine.enterArguments(['/bin/sh', '-c', script, 'sh', pidFile, ...command]), {
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true, // a Ctrl-C at the terminal is for us: we end it in our own order
  });
  keepPriority(child.pid);
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString('utf8')).slice(-COMPLAINT_BYTES);
  });
  return {
    machine,
    complaint: () => said,
    ended: () => hasEnded(child),
    async end() {
      if (!hasEnded(child)) await endProcess(machine, child, pidFile);
      rmSync(machine.path(pidFile), { force: true });
    },
  };
}

const hasEnded = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null;

async function endProcess(machine: LabHost, child: ChildProcess, pidFile: string): Promise<void> {
  const exited = once(child, 'exit');
  const pid = readFileSync(machine.path(pidFile), 'utf8').trim();
  await machine.exec(['/bin/kill', '-TERM', pid], { allowFailure: true });
  const timer = setTimeout(() => {
    void machine.exec(['/bin/kill', '-KILL', pid], { allowFailure: true });
  }, ENDS_WITHIN_MS);
  await exited;
  clearTimeout(timer);
}

/** Whether something listens on all of these ports of the machine, within `timeoutMs`. */
export function listens(machine: LabHost, ports: readonly number[], timeoutMs: number): Promise<boolean> {
  return waitUntil(async () => ports.every((port) => openPorts(machine).has(port)), timeoutMs, 50);
}

/** Ports of IPv4 on which the machine listens: /proc/PID/net/tcp, where state 0A is LISTEN (Linux: net/tcp_states.h). */
function openPorts(machine: LabHost): Set<number> {
  const rows = readFileSync(`/proc/${machine.pid}/net/tcp`, 'latin1').trim().split('\n').slice(1);
  const fields = rows.map((row) => row.trim().split(/\s+/));
  return new Set(fields.filter(([, , , state]) => state === '0A').map(([, local = '']) => portOf(local)));
}

const portOf = (address: string): number => Number.parseInt(address.slice(address.indexOf(':') + 1), 16);
