/**
 * One orchestrator per data directory: two would run two Redis servers on the same files.
 */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { LmasError } from '../errors.ts';
import { identify, isAlive } from '../redis/processes.ts';

const holderSchema = z.object({ pid: z.int(), startTime: z.string() });

/** Claims the directory for this process; call the answer to give it back. @throws LmasError DATA_DIR_IN_USE */
export async function claimDataDir(dataDir: string): Promise<() => Promise<void>> {
  const path = join(dataDir, 'orchestrator.lock');
  const me = await identify(process.pid);
  if (me === undefined) throw new LmasError('INTERNAL', 'This process cannot find itself in /proc.');
  for (;;) {
    try {
      await writeFile(path, JSON.stringify(me), { flag: 'wx', mode: 0o600 });
      return () => rm(path, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const holder = await readHolder(path);
    if (holder !== undefined && (await isAlive(holder))) {
      throw new LmasError('DATA_DIR_IN_USE', `Process ${holder.pid} uses ${dataDir}.`, {
        remedy: 'Stop it, or set LMAS_DATA_DIR to another directory.',
      });
    }
    await rm(path, { force: true }); // its owner has died
  }
}

async function readHolder(path: string) {
  try {
    return holderSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch {
    return undefined; // gone, or its owner died while writing it
  }
}
