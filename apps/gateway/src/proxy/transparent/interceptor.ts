/**
 * The near end of a transparent route: TPROXY hands it the connections that pass through this machine, and it opens a stream for each, with the
 * addresses that its hosts see. Owns its listening sockets on loopback, one a family; an accepted connection belongs to its stream.
 */
import net from 'node:net';
import { errnoOf, GatewayError } from '../../errors.ts';
import { transparentListener } from '../../platform/transparent-sockets.ts';
import type { Endpoints } from '../../protocol/payloads.ts';
import { wireOf } from '../../tunnel/wire.ts';
import { backlog, hypervisorTuning, type ListenerHost } from '../listener.ts';
import { AddressSet, type Family, type TransparentConfig } from './address-set.ts';
import type { RouteRules } from './interception.ts';

const loopback = { 4: '127.0.0.1', 6: '::1' } as const;

export class Interceptor {
  readonly id: string;
  readonly config: TransparentConfig;
  readonly #host: ListenerHost;
  readonly #rules: RouteRules;
  readonly #set: AddressSet;
  readonly #servers: net.Server[] = [];
  #ordinal = 0;

  /** @throws GatewayError ADDRESS_FORBIDDEN, INVALID_REQUEST */
  constructor(id: string, config: TransparentConfig, rules: RouteRules, host: ListenerHost) {
    this.id = id;
    this.config = config;
    this.#host = host;
    this.#rules = rules;
    this.#set = AddressSet.of(config);
  }

  /** @throws GatewayError INTERCEPTION_FAILED, PAIR_IN_USE */
  async start(): Promise<void> {
    try {
      const listenerPorts: Partial<Record<Family, number>> = {};
      for (const family of this.#set.families()) listenerPorts[family] = await this.#listen(family);
      const { barrier } = this.config;
      this.#rules.add({ id: this.id, end: 'intercept', set: this.#set, listenerPorts, barrier });
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** A new session counts its streams from 0. */
  startOver(): void {
    this.#ordinal = 0;
  }

  close(): void {
    // The rules first: what comes in between is forwarded.
    this.#rules.remove(this.id);
    for (const server of this.#servers) server.close();
  }

  async #listen(family: Family): Promise<number> {
    const options = { pauseOnConnect: true, allowHalfOpen: true, noDelay: true };
    const server = net.createServer(options, (socket) => this.#accept(socket));
    this.#servers.push(server);
    try {
      const fd = transparentListener(loopback[family], hypervisorTuning);
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen({ fd, backlog }, resolve);
      });
    } catch (cause) {
      throw new GatewayError('INTERCEPTION_FAILED', `(no transparent socket: ${errnoOf(cause)})`, { cause });
    }
    return (server.address() as net.AddressInfo).port;
  }

  #accept(socket: net.Socket): void {
    const endpoints = endpointsOf(socket);
    const refusal = this.#refusal(endpoints);
    if (refusal !== null || endpoints === null) {
      this.#host.refused(refusal ?? new GatewayError('DIAL_FAILED'), endpoints?.source.address ?? '');
      socket.resetAndDestroy();
      return;
    }
    const ordinal = this.#ordinal;
    this.#ordinal += 1;
    const { priority } = this.config;
    this.#host.open({ route: this.id, priority, ordinal, endpoints }, wireOf(socket, hypervisorTuning));
  }

  /** The kernel's rules have decided already; a process of this machine may still have found the port. */
  #refusal(endpoints: Endpoints | null): GatewayError | null {
    if (endpoints === null || !this.#set.contains(endpoints)) {
      return new GatewayError('ADDRESS_NOT_ALLOWED', `(${endpoints?.source.address ?? 'gone'})`);
    }
    if (this.#host.streamsOf(this.id) >= this.config.maxStreams) return new GatewayError('TOO_MANY_STREAMS');
    return this.#host.refusal();
  }
}

/** As its hosts see it: the original destination is the local address of what TPROXY delivers. Null when it is gone already. */
function endpointsOf({ remoteAddress, remotePort, localAddress, localPort }: net.Socket): Endpoints | null {
  if (remoteAddress === undefined || remotePort === undefined) return null;
  if (localAddress === undefined || localPort === undefined) return null;
  return {
    source: { address: remoteAddress, port: remotePort },
    destination: { address: localAddress, port: localPort },
  };
}
