/**
 * Writes one file over SFTP. Writes are pipelined, because SFTP answers every one of them and a long link would
 * otherwise carry one block per round trip. The file appears under its name only when it is whole.
 */
import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import type { Client, SFTPWrapper } from 'ssh2';
import { SshError } from './errors.ts';

export type UploadSource = Buffer | Readable | { readonly file: string };

export interface UploadOptions {
  readonly signal: AbortSignal;
  /** Permissions, e.g. 0o600; default 0o600. */
  readonly mode?: number;
  readonly onProgress?: (bytesWritten: number) => void;
}

/** What every server accepts in one write; OpenSSH would take 256 KiB. */
const BLOCK_BYTES = 32 * 1024;
/** OpenSSH's channel window is 2 MiB: more in flight would only wait. */
const BLOCKS_IN_FLIGHT = 64;

const settle = <T>(start: (done: (error: Error | null | undefined, value: T) => void) => void): Promise<T> =>
  new Promise((resolve, reject) => {
    start((error, value) => (error ? reject(error) : resolve(value)));
  });

function openSource(source: UploadSource): Readable {
  if (source instanceof Readable) return source;
  if (Buffer.isBuffer(source)) return Readable.from([source], { objectMode: false });
  return createReadStream(source.file, { highWaterMark: 1024 * 1024 });
}

async function writeAll(
  sftp: SFTPWrapper,
  handle: Buffer,
  input: Readable,
  signal: AbortSignal,
  onProgress: ((bytesWritten: number) => void) | undefined,
): Promise<void> {
  const inFlight = new Set<Promise<void>>();
  let failure: unknown;
  let position = 0;
  let written = 0;
  for await (const chunk of input) {
    const data = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk);
    for (let offset = 0; offset < data.length; offset += BLOCK_BYTES) {
      signal.throwIfAborted();
      const length = Math.min(BLOCK_BYTES, data.length - offset);
      const at = position;
      position += length;
      const write = settle<void>((done) => sftp.write(handle, data, offset, length, at, done as () => void)).then(
        () => {
          written += length;
          onProgress?.(written);
        },
        (error) => {
          failure ??= error;
        },
      );
      inFlight.add(write);
      void write.then(() => inFlight.delete(write));
      if (inFlight.size >= BLOCKS_IN_FLIGHT) await Promise.race(inFlight);
      if (failure !== undefined) throw failure;
    }
  }
  await Promise.all(inFlight);
  if (failure !== undefined) throw failure;
}

/** Replaces `path` in one step; a server without OpenSSH's extension needs the old file out of the way first. */
async function renameOver(sftp: SFTPWrapper, from: string, to: string): Promise<void> {
  try {
    await settle<void>((done) => sftp.ext_openssh_rename(from, to, done as () => void));
  } catch {
    // Not supported (or refused, then the plain rename says why).
    await settle<void>((done) => sftp.rename(from, to, done as () => void));
  }
}

async function transfer(
  sftp: SFTPWrapper,
  source: UploadSource,
  path: string,
  options: UploadOptions,
  signal: AbortSignal,
): Promise<void> {
  const mode = options.mode ?? 0o600;
  const temporary = `${path}.${randomBytes(6).toString('hex')}.part`;
  const handle = await settle<Buffer>((done) => sftp.open(temporary, 'wx', { mode: 0o600 }, done));
  const input = openSource(source);
  const onAbort = (): void => {
    input.destroy(signal.reason);
  };
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    signal.throwIfAborted();
    await writeAll(sftp, handle, input, signal, options.onProgress);
    await settle<void>((done) => sftp.fchmod(handle, mode, done as () => void));
    await settle<void>((done) => sftp.close(handle, done as () => void));
    signal.throwIfAborted();
    await renameOver(sftp, temporary, path);
  } catch (error) {
    input.destroy();
    // Best effort: the first error is what counts, and a half-written file under a temporary name harms nobody.
    await settle<void>((done) => sftp.unlink(temporary, done as () => void)).catch(() => undefined);
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** @throws SshError TRANSFER_FAILED, CONNECTION_LOST, ABORTED */
export async function uploadFile(
  client: Client,
  source: UploadSource,
  path: string,
  options: UploadOptions,
  closed: AbortSignal,
): Promise<void> {
  const either = AbortSignal.any([options.signal, closed]);
  try {
    either.throwIfAborted();
    const lost = new Promise<never>((_resolve, reject) => {
      closed.addEventListener('abort', () => reject(closed.reason), { once: true });
    });
    lost.catch(() => undefined);
    const sftp = await Promise.race([settle<SFTPWrapper>((done) => client.sftp(done)), lost]);
    try {
      await Promise.race([transfer(sftp, source, path, options, either), lost]);
    } finally {
      sftp.end();
    }
  } catch (error) {
    if (closed.aborted) throw closed.reason;
    if (options.signal.aborted) throw new SshError('ABORTED', `Gave up writing ${path}.`, options.signal.reason);
    const why = error instanceof Error ? error.message : String(error);
    throw new SshError('TRANSFER_FAILED', `Could not write ${path}: ${why}`, error);
  }
}
