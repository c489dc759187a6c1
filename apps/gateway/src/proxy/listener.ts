/**
 * The near end of a redirected route: accepts the hypervisor's connections and opens a stream for each, in the order of acceptance.
 * Owns its listening socket; an accepted connection belongs to its stream.
 */
import net from 'node:net';
import type { RouteConfig } from '@lmas/gateway-api';
import { asGatewayError, errnoOf, GatewayError } from '../errors.ts';
import { boundDescriptor, type SocketTuning } from '../platform/sockets.ts';
import type { OpenPayload } from '../protocol/payloads.ts';
import { type Wire, wireOf } from '../tunnel/wire.ts';
import { plainAddress, resolveAllowed, resolveListenAddress } from './addresses.ts';

/**
 * Towards hypervisors: no more in the kernel than a local network needs (its round trips are well below a millisecond). What waits there is
 * what the hypervisor believes to be sent, and must bridge at the switchover: left alone the kernel grows these buffers to 4 MiB and more
 * for each connection. The kernel doubles the numbers, for its own book-keeping.
 */
export const hypervisorTuning: SocketTuning = { receiveBufferBytes: 256 << 10, sendBufferBytes: 256 << 10 };

/** multifd opens its connections at once. */
export const backlog = 512;

export interface ListenerHost {
  /** Whether a stream may be opened now; the error says why not. */
  refusal(): GatewayError | null;
  open(open: OpenPayload, wire: Wire): void;
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
  #isAllowed: (address: string) => boolean = () => false;
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
    this.#isAllowed = await resolveAllowed(this.config.allowFrom);
    const { address, port } = this.config;
    const bound = await this.#bind();
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (cause) =>
        reject(new GatewayError('LISTEN_FAILED', `(${address}:${port})`, { cause })),
      );
      this.#server.listen({ ...bound, backlog } as net.ListenOptions, resolve);
    });
    // No descriptor is left for another connection, or the like: those that are there go on.
    this.#server.on('error', (error) => this.#host.refused(asGatewayError(error, 'INTERNAL'), '?'));
    const own = this.#server.address() as net.AddressInfo;
    this.address = own.address;
    this.port = own.port;
  }

  /** A new session counts its streams from 0. */
  startOver(): void {
    this.#ordinal = 0;
  }

  close(): void {
    this.#server.close();
  }

  /** Where to listen: a socket that is tuned already, where that is possible. */
  async #bind(): Promise<{ fd: number } | { host: string; port: number }> {
    const { address: host, port } = this.config;
    const address = await resolveListenAddress(host);
    try {
      const fd = boundDescriptor(address, port, hypervisorTuning);
      return fd === null ? { host: address, port } : { fd };
    } catch (cause) {
      throw new GatewayError('LISTEN_FAILED', `(${host}:${port}: ${errnoOf(cause)})`, { cause });
    }
  }

  #accept(socket: net.Socket): void {
    // Reset before it was accepted: it has no address any more, and is nobody to refuse.
    if (socket.remoteAddress === undefined) {
      socket.destroy();
      return;
    }
    const from = plainAddress(socket.remoteAddress);
    const refusal = this.#refusal(from);
    if (refusal !== null) {
      this.#host.refused(refusal, from);
      socket.resetAndDestroy();
      return;
    }
    const ordinal = this.#ordinal;
    this.#ordinal += 1;
    const { priority } = this.config;
    this.#host.open({ route: this.id, priority, ordinal, endpoints: null }, wireOf(socket, hypervisorTuning));
  }

  #refusal(from: string): GatewayError | null {
    if (!this.#isAllowed(from)) return new GatewayError('ADDRESS_NOT_ALLOWED', `(${from})`);
    if (this.#host.streamsOf(this.id) >= this.config.maxStreams) return new GatewayError('TOO_MANY_STREAMS');
    return this.#host.refusal();
  }
}
