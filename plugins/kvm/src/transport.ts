/**
 * How the plugin reaches one host: byte streams to its libvirt socket, and commands for what libvirt cannot do. The real
 * one goes over SSH; tests bring their own.
 */
import type { Duplex } from 'node:stream';
import { type ConnectContext, PluginError } from '@lmas/plugin-api';
import { connectSsh, type SshConnection, sshErrorCode } from '@lmas/ssh';
import type { KvmConfig } from './config.ts';
import { toPluginError } from './errors.ts';
import { takeOver } from './take-over.ts';

export interface CommandResult {
  readonly exitCode: number | null;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

export interface CommandOptions {
  readonly signal: AbortSignal;
  /** Written to its standard input. Secrets belong here, never on a command line. */
  readonly stdin?: Buffer;
  /** Standard output as it comes. */
  readonly onStdout?: (chunk: Buffer) => void;
  /** Default: 1 MiB; one that says more fails. */
  readonly maxOutputBytes?: number;
}

export interface HostTransport {
  /** For messages: what this host is called, and where it is. */
  readonly peer: string;
  /** Aborts when the host cannot be reached any more over this transport. */
  readonly closed: AbortSignal;
  /** A new stream to the libvirt socket. @throws PluginError UNREACHABLE, CONNECTION_LOST, ABORTED */
  openSocket(options: { signal: AbortSignal }): Promise<Duplex>;
  /** Runs a command on the host; an exit code but 0 is an answer. @throws PluginError */
  exec(command: readonly string[], options: CommandOptions): Promise<CommandResult>;
  close(): Promise<void>;
}

/** Modular daemons first: with them the other socket may belong to a proxy, or to nobody. */
const SOCKETS = ['/run/libvirt/virtqemud-sock', '/run/libvirt/libvirt-sock'];

class SshTransport implements HostTransport {
  readonly peer: string;
  readonly closed: AbortSignal;
  readonly #ssh: SshConnection;
  #sockets: readonly string[];

  constructor(ssh: SshConnection, sockets: readonly string[], endpoint: string | undefined) {
    this.#ssh = ssh;
    this.#sockets = sockets;
    this.peer = endpoint === undefined ? ssh.peer : `${endpoint} (${ssh.peer})`;
    const closed = new AbortController();
    const onLost = (): void => closed.abort(toPluginError(ssh.closed.reason, endpoint));
    if (ssh.closed.aborted) onLost();
    else ssh.closed.addEventListener('abort', onLost, { once: true });
    this.closed = closed.signal;
  }

  async openSocket({ signal }: { signal: AbortSignal }): Promise<Duplex> {
    let refused: unknown;
    for (const path of this.#sockets) {
      try {
        const stream = await this.#ssh.forwardUnix(path, { signal });
        this.#sockets = [path];
        return stream;
      } catch (error) {
        if (sshErrorCode(error) !== 'FORWARD_REFUSED') throw toPluginError(error, 'opening the libvirt socket');
        refused = error;
      }
    }
    throw new PluginError(
      'UNREACHABLE',
      `No libvirt daemon answers at ${this.#sockets.join(' or ')} of ${this.peer}.`,
      {
        cause: refused,
        remedy:
          'Start virtqemud or libvirtd, set socketPath, and let sshd forward Unix sockets: AllowStreamLocalForwarding, and AllowTcpForwarding, whose "no" forbids them too.',
      },
    );
  }

  async exec(command: readonly string[], options: CommandOptions): Promise<CommandResult> {
    try {
      return await this.#ssh.exec(command, options);
    } catch (error) {
      throw toPluginError(error, `running ${command[0]}`);
    }
  }

  async close(): Promise<void> {
    await this.#ssh.close();
  }
}

/** To a host that could not be connected to: whoever asks for anything is told `reason`. */
export function brokenTransport({ host }: KvmConfig, reason: Error): HostTransport {
  const refuse = async (): Promise<never> => {
    throw reason;
  };
  return {
    peer: host,
    closed: AbortSignal.abort(reason),
    openSocket: refuse,
    exec: refuse,
    close: async () => undefined,
  };
}

async function takeOverOrClose(...[ssh, run, options]: Parameters<typeof takeOver>): Promise<void> {
  try {
    await takeOver(ssh, run, options);
  } catch (error) {
    await ssh.close();
    throw error;
  }
}

/** @throws PluginError UNREACHABLE, HOST_KEY_MISMATCH, LOGIN_REFUSED, INVALID_CONFIG, TIMEOUT, SUPERSEDED, ABORTED */
export async function connectTransport(
  config: KvmConfig,
  { credential, log, run, endpoint }: ConnectContext,
  { signal }: { signal: AbortSignal },
): Promise<HostTransport> {
  try {
    const { host, port, hostKeys } = config;
    const ssh = await connectSsh({ host, port, hostKeys, credential, log }, { signal });
    if (run !== undefined) await takeOverOrClose(ssh, run, { signal, log });
    return new SshTransport(ssh, config.socketPath === undefined ? SOCKETS : [config.socketPath], endpoint);
  } catch (error) {
    throw toPluginError(error);
  }
}
