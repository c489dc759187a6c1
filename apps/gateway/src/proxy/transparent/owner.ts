/**
 * Whose rules are whose. Everything that a gateway makes in the kernel bears its owner's name: the nftables table
 * `lmas_<pid namespace>_<pid>_<start time>`, and the mark and the routing table 0x4c000000 + pid. So that anybody can find and remove what a killed gateway
 * left, with no memory of it; the start time (field 22 of /proc/<pid>/stat, proc(5)) tells a pid that was given away again. The pid namespace is in it
 * because a container that shares the network but not the processes would take every other gateway for dead.
 */
import { readFileSync, readlinkSync } from 'node:fs';

export const MARK_BASE = 0x4c000000;
const PID_BITS = 0x3fffff; // Linux knows no larger pid (PID_MAX_LIMIT).
const tablePattern = /^lmas_(\d+)_(\d+)_(\d+)$/;

export interface Owner {
  readonly pidNamespace: string;
  readonly pid: number;
  /** Ticks since the machine started, as text. */
  readonly startTime: string;
}

export function ourselves(): Owner {
  const startTime = startTimeOf(process.pid);
  if (startTime === null) throw new Error('There is no /proc.');
  return { pidNamespace: pidNamespace(), pid: process.pid, startTime };
}

export const tableOf = ({ pidNamespace, pid, startTime }: Owner): string => `lmas_${pidNamespace}_${pid}_${startTime}`;
export const markOf = (pid: number): number => MARK_BASE + (pid & PID_BITS);
/** Null for a mark that no gateway has. */
export const pidOfMark = (mark: number): number | null =>
  mark > MARK_BASE && mark <= MARK_BASE + PID_BITS ? mark - MARK_BASE : null;

/** Null for a table that no gateway made. */
export function ownerOfTable(table: string): Owner | null {
  const [, namespace, pid, startTime] = tablePattern.exec(table) ?? [];
  if (namespace === undefined || pid === undefined || startTime === undefined) return null;
  return { pidNamespace: namespace, pid: Number(pid), startTime };
}

/** `elsewhere`: in another pid namespace, so that nobody here can say. */
export function lifeOf(owner: Owner): 'alive' | 'dead' | 'elsewhere' {
  if (owner.pidNamespace !== pidNamespace()) return 'elsewhere';
  return startTimeOf(owner.pid) === owner.startTime ? 'alive' : 'dead';
}

function pidNamespace(): string {
  return readlinkSync('/proc/self/ns/pid').replaceAll(/\D/g, '');
}

function startTimeOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // A zombie has left everything behind already.
    return state === 'Z' || state === 'X' ? null : (fields[18] ?? null);
  } catch {
    return null; // No such process.
  }
}
