/**
 * What there is of a migration's gateways at this machine, which is their gateway machine in some tests: processes, the
 * files in their directories (pid, control socket, log), and the sockets that the kernel knows.
 */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { commandLine } from '../../apps/orchestrator/src/redis/processes.ts';

export const GATEWAY_HOME = join(homedir(), '.lmas');

/** Files and directories that are named after this migration, and what is in them. */
export async function filesOf(id: string): Promise<string[]> {
  const all = await readdir(GATEWAY_HOME, { recursive: true }).catch(() => []);
  return all.filter((name) => name.includes(id));
}

/** Processes whose command line names this migration, by pid: gateways, and whatever starts or ends them. */
export async function processesOf(id: string): Promise<ReadonlyMap<number, string>> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const all = await Promise.all(pids.map(async (pid) => [pid, await commandLine(pid)] as const));
  return new Map(all.filter(([, command]) => command.includes(id)));
}

/** The inodes of a process's sockets: no other socket ever has the same. */
export async function socketsOf(pid: number): Promise<string[]> {
  const directory = `/proc/${pid}/fd`;
  const links = await Promise.all(
    (await readdir(directory).catch(() => [])).map((fd) => readlink(join(directory, fd)).catch(() => '')),
  );
  return links.flatMap((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? []);
}

/** The inodes of all sockets that are bound or connected, with the paths of those that have one. */
export async function socketsInUse(): Promise<{ inodes: ReadonlySet<string>; paths: string }> {
  // proc(5): the inode is the tenth field of a line of tcp and tcp6, the seventh of unix, where a path comes last.
  const read = async (table: string, field: number) => {
    const text = await readFile(`/proc/net/${table}`, 'utf8').catch(() => '');
    const lines = text.split('\n').slice(1);
    return { text, inodes: lines.flatMap((line) => line.trim().split(/\s+/)[field] ?? []) };
  };
  const [tcp, tcp6, unix] = await Promise.all([read('tcp', 9), read('tcp6', 9), read('unix', 6)]);
  return { inodes: new Set([...tcp.inodes, ...tcp6.inodes, ...unix.inodes]), paths: unix.text };
}
