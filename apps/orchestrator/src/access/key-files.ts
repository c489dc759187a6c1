/**
 * Files that hold a secret: made once, readable by their owner only.
 */
import { randomBytes } from 'node:crypto';
import { open, readFile, stat } from 'node:fs/promises';
import { LmasError } from '../errors.ts';
import { KEY_BYTES } from './vault.ts';

/** Writes a new file with mode 0600. False when there is one already. */
export async function createPrivateFile(path: string, content: string): Promise<boolean> {
  try {
    const file = await open(path, 'wx', 0o600);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** The key at `path`; with `create`, made when there is none. @throws LmasError SECRET_KEY_INVALID */
export async function readSecretKey(path: string, { create }: { create: boolean }): Promise<Buffer> {
  if (create) await createPrivateFile(path, `${randomBytes(KEY_BYTES).toString('base64')}\n`);
  let text: string;
  try {
    const { mode } = await stat(path);
    if ((mode & 0o077) !== 0) {
      throw new LmasError('SECRET_KEY_INVALID', `${path} can be read by others.`, { remedy: `chmod 600 ${path}` });
    }
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if (cause instanceof LmasError) throw cause;
    throw new LmasError('SECRET_KEY_INVALID', `${path} cannot be read.`, { cause });
  }
  const key = Buffer.from(text.trim(), 'base64');
  if (key.length !== KEY_BYTES) throw new LmasError('SECRET_KEY_INVALID', `${path} does not hold 32 bytes in base64.`);
  return key;
}
