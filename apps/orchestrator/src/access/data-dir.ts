/**
 * One orchestrator per data directory: two would run two Redis servers on the same files.
 *
 * The claim is the lock that SQLite holds on an empty database (fcntl(2)): the kernel gives it back when the process ends,
 * however it ends, and it holds across containers that share the directory, where a pid means nothing. What the second
 * file says of the holder is for people only.
 */
import { createHash, randomUUID } from 'node:crypto';
import { chmod, mkdir, readFile, realpath, rm, statfs, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { LmasError } from '../errors.ts';

/** SQLITE_BUSY, sqlite3.h. */
const BUSY = 5;

/** File systems that show the kernel's state and hold no files of ours, by their magic numbers in statfs(2). */
const KERNEL_FILE_SYSTEMS: ReadonlyMap<number, string> = new Map([
  [0x9fa0, 'proc'],
  [0x62656572, 'sysfs'],
  [0x27e0eb, 'cgroup'],
  [0x63677270, 'cgroup2'],
]);

/**
 * Makes the directory, for nobody else to look into. Node's recursive mkdir never comes back from below /proc and /sys,
 * where making a directory fails as if its parent were missing. @throws LmasError INVALID_CONFIG
 */
export async function makeDataDir(dataDir: string): Promise<void> {
  const kind = KERNEL_FILE_SYSTEMS.get(await fileSystemOf(resolve(dataDir)));
  if (kind !== undefined) {
    throw new LmasError('INVALID_CONFIG', `${dataDir} would lie in a file system of the kernel (${kind}).`, {
      remedy: 'LMAS_DATA_DIR must be a directory on a disk, such as /var/lib/lmas.',
    });
  }
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  await chmod(dataDir, 0o700);
}

/** Type of the file system of the nearest directory above it that exists. */
async function fileSystemOf(path: string): Promise<number> {
  try {
    return (await statfs(path)).type;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return await fileSystemOf(dirname(path));
  }
}

/** Claims the directory for this process; call the answer to give it back. @throws LmasError DATA_DIR_IN_USE */
export async function claimDataDir(dataDir: string): Promise<() => Promise<void>> {
  const holderFile = join(dataDir, 'orchestrator.pid');
  const lock = new DatabaseSync(join(dataDir, 'data-dir.lock'));
  try {
    lock.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    lock.close();
    if ((error as { errcode?: unknown }).errcode !== BUSY) throw error;
    const holder = (await readFile(holderFile, 'utf8').catch(() => '')).trim();
    throw new LmasError('DATA_DIR_IN_USE', `Another orchestrator (process ${holder || 'unknown'}) uses ${dataDir}.`, {
      remedy: 'Stop it, or set LMAS_DATA_DIR to another directory.',
    });
  }
  await writeFile(holderFile, `${process.pid}\n`, { mode: 0o600 });
  return async () => {
    // Under the lock: nobody else's.
    await rm(holderFile, { force: true });
    lock.close();
  };
}

/**
 * Names whoever holds the claimed directory: the same after a restart, another one for a copy of the directory elsewhere. So what is marked with
 * it belongs to this process, or to one that is dead.
 */
export async function instanceOf(dataDir: string): Promise<string> {
  const file = join(dataDir, 'instance');
  let own = (await readFile(file, 'utf8').catch(() => '')).trim();
  if (own === '') {
    own = randomUUID();
    await writeFile(file, `${own}\n`, { mode: 0o600 });
  }
  const place = [own, hostname(), await realpath(dataDir)].join('\n');
  return createHash('sha256').update(place).digest('hex').slice(0, 16);
}
