/**
 * A logged-in connection. It lives until `close` or until it is lost; `closed` tells, and from then on every call under
 * way has failed with CONNECTION_LOST. Owns the ssh2 client; channels are owned by whoever asked for them and die with
 * the connection.
 */
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client, ClientChannel } from 'ssh2';
import type { SshLogger } from './connect.ts';
import { SshError } from './errors.ts';
import { type ExecOptions, type ExecResult, runOnChannel } from './exec.ts';
import { quoteCommand } from './quote.ts';
import { type UploadOptions, type UploadSource, uploadFile } from './upload.ts';

/** Of a command for which the server has no room: others of ours may end meanwhile. */
const ROOM_PATIENCE_MS = 10_000;
const ROOM_LOOK_MS = 50;

export class SshConnection {
  /** Aborts when the connection is gone, with the SshError as its reason. */
  readonly closed: AbortSignal;
  /** For messages: `host port n`. */
  readonly peer: string;
  readonly #client: Client;
  readonly #closed = new AbortController();
  /** Commands that are under way, or asked for just now. */
  #commands = 0;

  /** @param client logged in; this object owns it from here on */
  constructor(client: Client, peer: string, log?: SshLogger) {
    this.#client = client;
    this.peer = peer;
    this.closed = this.#closed.signal;
    let cause: Error | undefined;
    client.on('error', (error) => {
      cause ??= error;
    });
    client.once('close', () => {
      if (this.closed.aborted) return;
      const why = cause === undefined ? 'closed by the server' : cause.message;
      log?.warn({ peer, why }, 'SSH connection lost');
      this.#closed.abort(new SshError('CONNECTION_LOST', `The SSH connection to ${peer} was lost: ${why}`, cause));
    });
  }

  /**
   * Runs a command by the user's login shell, its arguments quoted for a POSIX shell, and waits for its end.
   * An exit code but 0 is an answer, not an error; `run` throws for it. Aborting closes the channel and sends SIGTERM;
   * a program that ignores both goes on.
   * @throws SshError COMMAND_FAILED (could not be started), OUTPUT_TOO_LARGE, CONNECTION_LOST, ABORTED
   */
  async exec(command: readonly string[], options: ExecOptions): Promise<ExecResult> {
    const line = quoteCommand(command);
    const channel = await this.#openCommand(line, options.signal);
    return runOnChannel(channel, command[0] ?? '', options, this.closed);
  }

  /**
   * Starts a command that stays, as a stream of its input and output; what it writes to standard error is thrown away. The
   * server ends neither it nor its input before the stream or the connection ends.
   * @throws SshError COMMAND_FAILED, CONNECTION_LOST, ABORTED
   */
  async start(command: readonly string[], { signal }: { signal: AbortSignal }): Promise<Duplex> {
    const line = quoteCommand(command);
    const channel = await this.#openCommand(line, signal);
    channel.stderr.resume();
    return channel;
  }

  /** `exec` for a command that has to succeed. @throws SshError as `exec`, and COMMAND_FAILED for an exit code but 0 */
  async run(command: readonly string[], options: ExecOptions): Promise<ExecResult> {
    const result = await this.exec(command, options);
    if (result.exitCode === 0) return result;
    const how = result.exitCode === null ? `signal ${result.signal}` : `exit code ${result.exitCode}`;
    const detail = result.stderr.toString('utf8').trim().slice(0, 500);
    throw new SshError('COMMAND_FAILED', `${command[0]} on ${this.peer} ended with ${how}: ${detail}`);
  }

  /**
   * Writes a file over SFTP: to a temporary name beside it, then renamed over the old one, so that nobody ever sees half.
   * @throws SshError TRANSFER_FAILED, CONNECTION_LOST, ABORTED
   */
  async upload(source: UploadSource, path: string, options: UploadOptions): Promise<void> {
    return uploadFile(this.#client, source, path, options, this.closed);
  }

  /**
   * A stream to a Unix socket at the server (`direct-streamlocal@openssh.com`). When the connection is lost the stream
   * ends without an error of its own: watch `closed`.
   * @throws SshError FORWARD_REFUSED, CONNECTION_LOST, ABORTED
   */
  forwardUnix(path: string, { signal }: { signal: AbortSignal }): Promise<Duplex> {
    return this.#open('FORWARD_REFUSED', signal, (done) => this.#client.openssh_forwardOutStreamLocal(path, done));
  }

  /** A stream to a TCP port as the server sees it. @throws SshError FORWARD_REFUSED, CONNECTION_LOST, ABORTED */
  forwardTcp(host: string, port: number, { signal }: { signal: AbortSignal }): Promise<Duplex> {
    return this.#open('FORWARD_REFUSED', signal, (done) => this.#client.forwardOut('127.0.0.1', 0, host, port, done));
  }

  /** Ends the connection. Idempotent; never throws. */
  async close(): Promise<void> {
    if (this.closed.aborted) return;
    this.#closed.abort(new SshError('CONNECTION_LOST', `The SSH connection to ${this.peer} was closed by us.`));
    const ended = new Promise<void>((resolve) => this.#client.once('close', () => resolve()));
    this.#client.end();
    // A peer that does not answer the end any more is left without ceremony.
    const timer = setTimeout(() => this.#client.destroy(), 1_000);
    await ended;
    clearTimeout(timer);
  }

  /** A server takes so many commands of one connection at a time (sshd: MaxSessions, 10): one more waits for another one's end. */
  async #openCommand(line: string, signal: AbortSignal): Promise<ClientChannel> {
    const patience = AbortSignal.any([signal, this.closed, AbortSignal.timeout(ROOM_PATIENCE_MS)]);
    for (;;) {
      this.#commands += 1;
      const end = (): void => {
        this.#commands -= 1;
      };
      try {
        const channel = await this.#open('COMMAND_FAILED', signal, (done) => this.#client.exec(line, done));
        return channel.once('close', end);
      } catch (error) {
        end();
        if (!isNoRoom(error) || this.#commands === 0 || patience.aborted) throw error;
      }
      await sleep(ROOM_LOOK_MS, undefined, { signal: patience }).catch(() => undefined);
    }
  }

  /** Opens a channel, honouring `signal` and the loss of the connection; a channel that comes too late is closed. */
  #open(
    failure: 'COMMAND_FAILED' | 'FORWARD_REFUSED',
    signal: AbortSignal,
    start: (done: (error: Error | undefined, channel: ClientChannel) => void) => void,
  ): Promise<ClientChannel> {
    if (signal.aborted) return Promise.reject(new SshError('ABORTED', 'Given up.', signal.reason));
    if (this.closed.aborted) return Promise.reject(this.closed.reason);
    const { promise, resolve, reject } = Promise.withResolvers<ClientChannel>();
    let given = false;
    const giveUp = (): void => {
      given = true;
      reject(this.closed.aborted ? this.closed.reason : new SshError('ABORTED', 'Given up.', signal.reason));
    };
    const either = AbortSignal.any([signal, this.closed]);
    either.addEventListener('abort', giveUp, { once: true });
    const done = (error: Error | undefined, channel: ClientChannel): void => {
      either.removeEventListener('abort', giveUp);
      if (given) channel?.close();
      else if (error) reject(new SshError(failure, `${this.peer} refused: ${error.message}`, error));
      else resolve(channel);
    };
    try {
      start(done);
    } catch (error) {
      done(error instanceof Error ? error : new Error(String(error)), undefined as unknown as ClientChannel);
    }
    return promise;
  }
}

/** The channel was refused, not the command: ssh2 tells the reason of RFC 4254, 5.1 then. */
const isNoRoom = (error: unknown): boolean =>
  error instanceof SshError && error.cause instanceof Error && typeof Reflect.get(error.cause, 'reason') === 'number';
