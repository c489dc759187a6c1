/** The end of a log that somebody named: as much as a bundle takes. */
import { open } from 'node:fs/promises';
import { CliError } from '../errors.ts';

const LOG_TAIL_BYTES = 2 << 20;

/** The last part of a file, from the beginning of a line. @throws CliError INPUT_UNREADABLE */
export async function tail(file: string): Promise<string> {
  try {
    await using handle = await open(file, 'r');
    const { size } = await handle.stat();
    const from = Math.max(0, size - LOG_TAIL_BYTES);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(size - from), 0, size - from, from);
    const text = buffer.toString('utf8', 0, bytesRead);
    return from === 0 ? text : text.slice(text.indexOf('\n') + 1);
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause);
    throw new CliError('INPUT_UNREADABLE', `${file} cannot be read (${code}).`, { cause });
  }
}
