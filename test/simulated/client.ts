/**
 * A connection to a world. It owns its socket; when that breaks, every call under way fails with CONNECTION_LOST and
 * `closed` aborts.
 */
import { createConnection, Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { PLUGIN_ERRORS, PluginError, type PluginErrorCode, pluginErrorCode } from '@lmas/plugin-api';
import { z } from 'zod';

const messageSchema = z.object({
  id: z.number(),
  result: z.unknown().optional(),
  progress: z.number().optional(),
  error: z.object({ code: z.string(), message: z.string() }).optional(),
});

interface Pending {
  resolve(result: unknown): void;
  reject(error: Error): void;
  onProgress(percent: number): void;
}

export class WorldConnection {
  readonly host: string;
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  readonly #closed = new AbortController();
  #lastId = 0;

  private constructor(host: string, socket: Socket) {
    this.host = host;
    this.#socket = socket;
    const lines = createInterface({ input: socket });
    lines.on('line', (line) => this.#take(line));
    lines.on('error', () => socket.destroy()); // readline hands on what the socket met
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      const error = new PluginError('CONNECTION_LOST', `The connection to the ${host} broke.`);
      this.#closed.abort(error);
      for (const { reject } of this.#pending.values()) reject(error);
      this.#pending.clear();
    });
  }

  static async open(socketPath: string, host: string): Promise<WorldConnection> {
    const socket = createConnection(socketPath);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', (cause) => reject(new PluginError('UNREACHABLE', `The ${host} is not there.`, { cause })));
    });
    const connection = new WorldConnection(host, socket);
    await connection.call('login', {}).catch((cause: unknown) => {
      const isAway = pluginErrorCode(cause) === 'CONNECTION_LOST';
      throw isAway ? new PluginError('UNREACHABLE', `The ${host} hung up.`, { cause }) : cause;
    });
    return connection;
  }

  /** Stands for an end that could not be connected to. */
  static broken(host: string, reason: Error): WorldConnection {
    const connection = new WorldConnection(host, new Socket());
    connection.#closed.abort(reason);
    return connection;
  }

  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** The caller says what shape it expects; this is a simulation. */
  async call<T = unknown>(verb: string, args: object, onProgress: (percent: number) => void = () => {}): Promise<T> {
    this.closed.throwIfAborted();
    this.#lastId += 1;
    const id = this.#lastId;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#pending.set(id, { resolve, reject, onProgress });
    this.#socket.write(`${JSON.stringify({ id, host: this.host, verb, args })}\n`);
    return (await promise) as T;
  }

  async close(): Promise<void> {
    this.#socket.destroy();
  }

  #take(line: string): void {
    const { id, result, progress, error } = messageSchema.parse(JSON.parse(line));
    const pending = this.#pending.get(id);
    if (pending === undefined) return;
    if (progress !== undefined) {
      pending.onProgress(progress);
      return;
    }
    this.#pending.delete(id);
    if (error === undefined) pending.resolve(result);
    else
      pending.reject(
        new PluginError(asCode(error.code), error.message, { native: { name: error.code, message: error.message } }),
      );
  }
}

const asCode = (code: string): PluginErrorCode =>
  code in PLUGIN_ERRORS ? (code as PluginErrorCode) : 'HYPERVISOR_FAULT';
