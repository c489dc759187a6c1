/**
 * A new file that only its owner can read. For a secret that is shown this once it is made before the secret is asked for, so
 * that a name that cannot be written costs nothing; what was not written whole leaves no file behind.
 */
import { type FileHandle, open, rm } from 'node:fs/promises';
import { CliError } from './errors.ts';

export interface PrivateFile extends AsyncDisposable {
  /** @throws CliError OUTPUT_NOT_WRITTEN */
  write(content: string | Uint8Array): Promise<void>;
}

/** @throws CliError OUTPUT_EXISTS, OUTPUT_NOT_WRITTEN */
export async function createPrivateFile(file: string): Promise<PrivateFile> {
  const handle = await openNew(file);
  let isWritten = false;
  return {
    async write(content) {
      try {
        await handle.writeFile(content);
        await handle.sync();
      } catch (cause) {
        throw notWritten(file, cause);
      }
      isWritten = true;
    },
    async [Symbol.asyncDispose]() {
      await handle.close();
      if (!isWritten) await rm(file, { force: true });
    },
  };
}

async function openNew(file: string): Promise<FileHandle> {
  try {
    // `wx`: a link or a file that is there already is left alone.
    return await open(file, 'wx', 0o600);
  } catch (cause) {
    if (codeOf(cause) !== 'EEXIST') throw notWritten(file, cause);
    throw new CliError('OUTPUT_EXISTS', `${file} is there already.`, { remedy: 'Name another with --output FILE.' });
  }
}

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : String(error);

const notWritten = (file: string, cause: unknown): CliError =>
  new CliError('OUTPUT_NOT_WRITTEN', `${file} could not be written (${codeOf(cause)}).`, { cause });
