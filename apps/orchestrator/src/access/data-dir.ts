/**
 * One orchestrator per data directory: two would run two Redis servers on the same files.
 *
 * The claim is the lock that SQLite holds on an empty database (fcntl(2)): the kernel gives it back when the process ends,
 * however it ends, and it holds across containers that share the directory, where a pid means nothing. What the second
 * file says of the holder is for people only.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { LmasError } from '../errors.ts';

/** SQLITE_BUSY, sqlite3.h. */
const BUSY = 5;

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
  return async () => lock.close();
}
