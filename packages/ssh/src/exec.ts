/**
 * Runs one command on a channel that is open for it: feeds its input, holds a bounded amount of its output, and waits
 * for both its exit status and the end of its output.
 */
import { Readable } from 'node:stream';
import type { ClientChannel } from 'ssh2';
import { SshError } from './errors.ts';

export interface ExecOptions {
  readonly signal: AbortSignal;
  /** Written to the command's standard input, which is then closed. Secrets belong here, never on a command line. */
  readonly stdin?: string | Buffer | Readable;
  /** Standard output as it comes, for what tells how far it is; the result holds all of it nevertheless. */
  readonly onStdout?: (chunk: Buffer) => void;
  /** Of standard output and standard error together; default 1 MiB. */
  readonly maxOutputBytes?: number;
}

export interface ExecResult {
  /** `null` when a signal ended the command. */
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

const DEFAULT_MAX_OUTPUT_BYTES = 1024 * 1024;

export function runOnChannel(
  channel: ClientChannel,
  program: string,
  { signal, stdin, onStdout, maxOutputBytes = DEFAULT_MAX_OUTPUT_BYTES }: ExecOptions,
  closed: AbortSignal,
): Promise<ExecResult> {
  const { promise, resolve, reject } = Promise.withResolvers<ExecResult>();
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  let held = 0;
  const either = AbortSignal.any([signal, closed]);

  const stop = (error: unknown): void => {
    either.removeEventListener('abort', onAbort);
    reject(error);
    // OpenSSH passes the signal on since 7.9; an older server ignores the request and the closed pipes have to do.
    if (!closed.aborted) channel.signal('TERM');
    channel.close();
  };
  const onAbort = (): void =>
    stop(closed.aborted ? closed.reason : new SshError('ABORTED', `Given up on ${program}.`, signal.reason));
  const collect = (into: Buffer[]) => (chunk: Buffer) => {
    held += chunk.length;
    if (held <= maxOutputBytes) into.push(chunk);
    else stop(new SshError('OUTPUT_TOO_LARGE', `${program} wrote more than ${maxOutputBytes} bytes.`));
  };

  channel.on('data', collect(stdout));
  if (onStdout !== undefined) channel.on('data', onStdout);
  channel.stderr.on('data', collect(stderr));
  channel.on('error', (error: Error) => stop(new SshError('CONNECTION_LOST', error.message, error)));
  // Not `exit`: it may have come in one packet with the channel itself, before anybody could listen. `close` waits until
  // all output is read, and tells the same.
  channel.on('close', (exitCode?: number | null, signalName?: string) => {
    either.removeEventListener('abort', onAbort);
    if (exitCode !== undefined) {
      resolve({ exitCode, signal: signalName ?? null, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr) });
    } else {
      // The connection may be dying: its own verdict, one tick later, says more.
      setImmediate(() =>
        reject(
          closed.aborted
            ? closed.reason
            : new SshError('CONNECTION_LOST', `${program} ended without an exit status: its outcome is unknown.`),
        ),
      );
    }
  });
  if (either.aborted) onAbort();
  else either.addEventListener('abort', onAbort, { once: true });

  if (stdin instanceof Readable) {
    stdin.on('error', (error) => stop(error));
    stdin.pipe(channel);
  } else {
    channel.end(stdin ?? '');
  }
  return promise;
}
