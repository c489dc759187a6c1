/**
 * Room for scratch files. Where one cannot grow, QEMU fails the guest's write: the one way in which a drill could touch the VM. It never
 * holds more than the disk held when the backup began, so that much is set aside. Several drills may use one directory: each
 * file has in its name how far it may grow, and whoever comes next counts that.
 */
import { freeBytes } from '../files.ts';
import type { HostTransport } from '../transport.ts';
import { failed } from './key.ts';
import { type DrillNames, fileName } from './names.ts';

interface Options {
  readonly signal: AbortSignal;
}

/** Beyond what the disk holds: the tables of the scratch image. */
const TABLES = 1.05;
/** What else is written in the meantime. */
export const SPARE_BYTES = 64 << 20;

export const scratchBytes = (heldBytes: number): number => Math.ceil(heldBytes * TABLES) + (1 << 20);

export const scratchName = (names: DrillNames, disk: string, heldBytes: number): string =>
  fileName(names, `${disk}-${scratchBytes(heldBytes)}`, 'scratch');

const LIST = 'for f in "$1"/*-drill-*.scratch; do [ ! -e "$f" ] || stat -c "%b %B %n" -- "$f" || :; done';
const LISTED = /^(\d+) (\d+) .*-(\d+)\.scratch$/gm;

/** What is free in the directory, and not set aside for files that are there. @throws PluginError */
export async function scratchRoom(host: HostTransport, directory: string, options: Options): Promise<number> {
  const { exitCode, stdout, stderr } = await host.exec(['sh', '-c', LIST, 'sh', directory], options);
  if (exitCode !== 0) throw failed(`listing ${directory}`, stderr);
  const free = await freeBytes(host, directory, options);
  const files = [...stdout.toString('utf8').matchAll(LISTED)];
  const growth = files.map(([, blocks, size, limit]) => Math.max(0, Number(limit) - Number(blocks) * Number(size)));
  return free - growth.reduce((sum, bytes) => sum + bytes, 0);
}
