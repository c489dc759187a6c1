/**
 * Room for the files of the private Redis. One that cannot write its append-only file ends, and its own log is on the same
 * disk: somebody else has to look, and say so.
 */
import { rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LmasError } from '../errors.ts';

/** With less, it would start only to end at the next write. */
const LEAST = Buffer.alloc(1 << 20);
const FULL: ReadonlySet<string | undefined> = new Set(['ENOSPC', 'EDQUOT']);

/** By writing: neither a quota nor what is kept for root shows in statfs(2). @throws LmasError REDIS_START_FAILED */
export async function demandRoom(directory: string): Promise<void> {
  const path = join(directory, 'room');
  try {
    await writeFile(path, LEAST, { flush: true, mode: 0o600 });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (!FULL.has(code)) return; // what else is wrong, Redis says better
    throw new LmasError('REDIS_START_FAILED', `${directory} has no room for its files (${code}).`, {
      cause,
      remedy: 'Make some on that disk: it is started again within seconds, by itself.',
    });
  } finally {
    await rm(path, { force: true }).catch(() => undefined);
  }
}

export interface Room {
  readonly freeBytes: number;
  readonly sizeBytes: number;
}

/** What is left to others than root on the disk of the directory. */
export async function roomIn(directory: string): Promise<Room> {
  const { bavail, blocks, bsize } = await statfs(directory);
  return { freeBytes: bavail * bsize, sizeBytes: blocks * bsize };
}
