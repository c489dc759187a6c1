/**
 * The near end of a redirected route: accepts the hypervisor's connections and opens a stream for each, in the order of acceptance.
 * Owns its listening socket; an accepted connection belongs to its stream.
 */
import net from 'node:net';
import type { RouteConfig } from '@lmas/gateway-api';
import { GatewayError } from '../errors.ts';
import type { SocketTuning } from '../platform/sockets.ts';
import type { Priority } from '../tunnel/stream.ts';
import { type Wire, wireOf } from '../tunnel/wire.ts';
import { plainAddress, resolveAllowed } from './addresses.ts';

/** Towards hypervisors: large reads, and no more in the kernel than needed to keep the wire busy on a local network. */
export const hypervisorTuning: SocketTuning = { receiveBufferBytes: 2 << 20 };

export interface ListenerHost {
  /** Whether a stream may be opened now; the error says why not. */
  refusal(): GatewayError | null;
  open(route: string, priority: Priority, ordinal: number, wire: Wire): void;
  refused(error: GatewayError, from: string): void;
  streamsOf(route: string): number;
}

type ListenConfig = Extract<RouteConfig, { kind: 'listen' }>;

export class Listener {
  readonly id: string;
  readonly config: ListenConfig;
  address = '';
  port = 0;
  readonly #host: ListenerHost;
  readonly #server: net.Server;
  #allowed = new Set<string>();
  #ordinal = 0;

  constructor(id: string, config: ListenConfig, host: ListenerHost) {
    this.id = id;
    this.config = config;
    this.#host = host;
    this.#server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true }, (socket) =>
      this.#accept(socket),
    );
  }

  async start(): Promise<void> {
    this.#allowed = await resolveAllowed(this.config.allowFrom);
    const { address, port } = this.config;
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (cause) =>
        reject(new GatewayError('LISTEN_FAILED', `(${address}:${port})`, { cause })),
      );
      this.#server.listen({ host: address, port, backlog: 512 }, resolve);
    });
    const bound = this.#server.address() as net.AddressInfo;
    this.address = bound.address;
    this.port = bound.port;
  }

  close(): void {
    this.#server.close();
  }

  #accept(socket: net.Socket): void {
    const from = plainAddress(socket.remoteAddress ?? '');
    const refusal = this.#refusal(from);
    if (refusal !== null) {
      this.#host.refused(refusal, from);
      socket.resetAndDestroy();
      return;
    }
    const ordinal = this.#ordinal;
    this.#ordinal += 1;
    this.#host.open(this.id, this.config.priority, ordinal, wireOf(socket, hypervisorTuning));
  }

  #refusal(from: string): GatewayError | null {
    if (!this.#allowed.has(from)) return new GatewayError('ADDRESS_NOT_ALLOWED', `(${from})`);
    if (this.#host.streamsOf(this.id) >= this.config.maxStreams) return new GatewayError('TOO_MANY_STREAMS');
    return this.#host.refusal();
  }
}
