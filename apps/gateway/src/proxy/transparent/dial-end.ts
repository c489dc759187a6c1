/**
 * The far end of a transparent route: connects to the address that the hypervisor connected to, in that hypervisor's name. A peer says both, and
 * nothing outside the route's own set is ever dialled, or dialled as. Owns the rules that bring the answers to its sockets.
 */
import { asGatewayError, GatewayError } from '../../errors.ts';
import { nativeSockets } from '../../platform/sockets.ts';
import { connectAs, transparentSocketError } from '../../platform/transparent-sockets.ts';
import type { Endpoints } from '../../protocol/payloads.ts';
import { wireOfDescriptor } from '../../tunnel/wire.ts';
import type { FarEnd, Target } from '../dialer.ts';
import { hypervisorTuning } from '../listener.ts';
import { AddressSet, type TransparentConfig } from './address-set.ts';
import type { RouteRules } from './interception.ts';

export class TransparentEnd implements FarEnd {
  readonly config: TransparentConfig;
  readonly #id: string;
  readonly #rules: RouteRules;
  readonly #set: AddressSet;

  /** @throws GatewayError ADDRESS_FORBIDDEN, INVALID_REQUEST */
  constructor(id: string, config: TransparentConfig, rules: RouteRules) {
    this.config = config;
    this.#id = id;
    this.#rules = rules;
    this.#set = AddressSet.of(config);
  }

  async start(): Promise<void> {
    const error = nativeSockets ? transparentSocketError('127.0.0.1') : new Error('koffi is missing');
    if (error !== null) throw asGatewayError(error, 'INTERCEPTION_FAILED');
    const { barrier } = this.config;
    this.#rules.add({ id: this.#id, end: 'dial', set: this.#set, listenerPorts: {}, barrier });
  }

  target(endpoints: Endpoints | null): Target {
    if (endpoints === null) throw new GatewayError('ENDPOINTS_REFUSED');
    const { source, destination } = endpoints;
    const told = `${source.address}:${source.port} to ${destination.address}:${destination.port}`;
    if (!this.#set.contains(endpoints)) throw new GatewayError('ADDRESS_OUTSIDE_ROUTE', `(${told})`);
    const address = `${destination.address}:${destination.port}`;
    return {
      address,
      connect: async ({ signal }) =>
        wireOfDescriptor(await connectAs(source, destination, hypervisorTuning, { signal }), address),
    };
  }

  close(): void {
    this.#rules.remove(this.#id);
  }
}
