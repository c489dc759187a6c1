/**
 * Files that hold a secret: readable by their owner only, whole or not there. What is written goes into a temporary file beside
 * them and gets their name when it is on disk, so that a disk that fills, or a crash, leaves no half of one.
 */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { link, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Writes a new file with mode 0600; on disk when this resolves. False when there is one already. */
export async function createPrivateFile(path: string, content: string): Promise<boolean> {
  if (existsSync(path)) return false; // also where nothing more can be written
  try {
    await putInPlace(path, content, link); // which, unlike rename, takes no other's place
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Puts a file in the place of another in one step; on disk when this resolves. */
export async function replacePrivateFile(path: string, content: string): Promise<void> {
  await putInPlace(path, content, rename);
}

async function putInPlace(path: string, content: string, name: typeof link | typeof rename): Promise<void> {
  const temporary = `${path}.${randomBytes(4).toString('hex')}`;
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await name(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
  const directory = await open(dirname(path), 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
