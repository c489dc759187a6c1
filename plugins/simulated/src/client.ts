/**
 * A connection to one host of a world. It owns its stream; when that breaks, every call under way fails with
 * CONNECTION_LOST and `closed` aborts.
 */
import { createConnection } from 'node:net';
import { createInterface } from 'node:readline';
import { type Duplex, PassThrough } from 'node:stream';
import { PluginError, pluginErrorCode, type RunIdentity } from '@lmas/plugin-api';
import { z } from 'zod';
import { toPluginError } from './errors.ts';

const messageSchema = z.object({
  id: z.number(),
  result: z.unknown().optional(),
  progress: z.unknown().optional(),
  error: z.object({ code: z.string(), message: z.string() }).optional(),
});

interface Pending {
  resolve(result: unknown): void;
  reject(error: Error): void;
  onProgress(progress: unknown): void;
}

export class WorldConnection {
  readonly host: string;
  /** Where the world is: connections to the same place reach the same world. */
  readonly place: string;
  readonly #stream: Duplex;
  readonly #pending = new Map<number, Pending>();
  readonly #closed = new AbortController();
  #lastId = 0;

  private constructor(place: string, host: string, stream: Duplex) {
    this.place = place;
    this.host = host;
    this.#stream = stream;
    const lines = createInterface({ input: stream });
    lines.on('line', (line) => {
      try {
        this.#take(line);
      } catch {
        stream.destroy(); // who talks nonsense is not understood any more; nothing may throw into the event loop
      }
    });
    lines.on('error', () => stream.destroy()); // readline hands on what the stream met
    stream.on('error', () => stream.destroy());
    stream.on('close', () => {
      const error = new PluginError('CONNECTION_LOST', `The connection to ${host} broke.`);
      this.#closed.abort(error);
      for (const { reject } of this.#pending.values()) reject(error);
      this.#pending.clear();
    });
  }

  /** @throws PluginError UNREACHABLE, LOGIN_REFUSED, SUPERSEDED */
  static async open(place: string, host: string, stream: Duplex, run?: RunIdentity): Promise<WorldConnection> {
    const connection = new WorldConnection(place, host, stream);
    await connection.call('login', { run }).catch((cause: unknown) => {
      stream.destroy();
      const isAway = pluginErrorCode(cause) === 'CONNECTION_LOST';
      throw isAway ? new PluginError('UNREACHABLE', `${host} hung up.`, { cause }) : cause;
    });
    return connection;
  }

  /** @throws PluginError UNREACHABLE, LOGIN_REFUSED, SUPERSEDED */
  static async dial(socketPath: string, host: string, run?: RunIdentity): Promise<WorldConnection> {
    const socket = createConnection(socketPath);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', (cause) => reject(new PluginError('UNREACHABLE', `${host} is not there.`, { cause })));
    });
    return await WorldConnection.open(socketPath, host, socket, run);
  }

  /** Stands for a host that could not be connected to. */
  static broken(place: string, host: string, reason: Error): WorldConnection {
    const connection = new WorldConnection(place, host, new PassThrough());
    connection.#closed.abort(reason);
    return connection;
  }

  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** The caller says what shape it expects; this is a simulation. @throws the signal's reason, and forgets the answer then */
  async call<T = unknown>(
    verb: string,
    args: object,
    onProgress: (progress: never) => void = () => {},
    signal?: AbortSignal,
  ): Promise<T> {
    this.closed.throwIfAborted();
    signal?.throwIfAborted();
    this.#lastId += 1;
    const id = this.#lastId;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#pending.set(id, { resolve, reject, onProgress: onProgress as Pending['onProgress'] });
    this.#stream.write(`${JSON.stringify({ id, host: this.host, verb, args })}\n`);
    const giveUp = () => {
      this.#pending.delete(id);
      reject(signal?.reason);
    };
    signal?.addEventListener('abort', giveUp, { once: true });
    return (await promise.finally(() => signal?.removeEventListener('abort', giveUp))) as T;
  }

  /** What changes nothing is waited for no longer than the signal says. */
  ask<T>(verb: string, args: object, { signal }: { signal: AbortSignal }): Promise<T> {
    return this.call<T>(verb, args, undefined, signal);
  }

  async close(): Promise<void> {
    this.#stream.destroy();
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
    else pending.reject(toPluginError(error));
  }
}
