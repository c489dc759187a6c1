/**
 * The wire: one JSON object a line on a Unix socket. It owns the socket; when that breaks, every call under way fails with
 * CONNECTION_LOST, because nobody knows whether it was carried out, and `closed` aborts.
 */
import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { PluginError, type RunIdentity } from '@lmas/plugin-api';
import { z } from 'zod';
import { toPluginError } from './errors.ts';

const answerSchema = z.object({
  id: z.number(),
  progress: z.unknown().optional(),
  result: z.unknown().optional(),
  error: z.object({ code: z.string(), message: z.string() }).optional(),
});

interface Pending {
  resolve(result: unknown): void;
  reject(error: Error): void;
  onProgress(progress: unknown): void;
}

export class Client {
  readonly host: string;
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  readonly #closed = new AbortController();
  #lastId = 0;

  private constructor(host: string, socket: Socket) {
    this.host = host;
    this.#socket = socket;
    createInterface({ input: socket })
      .on('line', (line) => {
        try {
          this.#take(line);
        } catch {
          socket.destroy(); // who talks nonsense is not understood any more; nothing may throw into the event loop
        }
      })
      .on('error', () => socket.destroy());
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      const error = new PluginError('CONNECTION_LOST', `The connection to ${host} broke.`);
      this.#closed.abort(error);
      for (const { reject } of this.#pending.values()) reject(error);
    });
  }

  /** @param run what an earlier run of this migration has open there is ended by the hypervisor */
  static async connect(
    { host, socketPath }: { readonly host: string; readonly socketPath: string },
    run: RunIdentity | undefined,
    { signal }: { signal: AbortSignal },
  ): Promise<Client> {
    const socket = createConnection(socketPath);
    try {
      await once(socket, 'connect', { signal });
      const client = new Client(host, socket);
      await client.call('login', { run });
      return client;
    } catch (cause) {
      socket.destroy();
      if (cause instanceof PluginError && cause.code !== 'CONNECTION_LOST') throw cause;
      throw new PluginError('UNREACHABLE', `${host} does not answer.`, { cause });
    }
  }

  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** @throws PluginError what the hypervisor answers, or CONNECTION_LOST */
  call(verb: string, args: object, onProgress: (progress: unknown) => void = () => undefined): Promise<unknown> {
    if (this.closed.aborted) return Promise.reject(this.closed.reason);
    this.#lastId += 1;
    const id = this.#lastId;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#pending.set(id, { resolve, reject, onProgress });
    this.#socket.write(`${JSON.stringify({ id, host: this.host, verb, args })}\n`);
    return promise;
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(line: string): void {
    const { id, progress, result, error } = answerSchema.parse(JSON.parse(line));
    const pending = this.#pending.get(id);
    if (progress !== undefined) {
      pending?.onProgress(progress);
      return;
    }
    this.#pending.delete(id);
    if (error === undefined) pending?.resolve(result);
    else pending?.reject(toPluginError(error));
  }
}
