/**
 * Routes of hypervisors that are told the gateway's address instead of the destination's: where the gateway beside the
 * source listens, and what the other one dials for it. Whether an address and a port are free is asked of the machine by
 * listening there, so two migrations can never be promised the same one. The routes live and die with their gateways.
 */
import type { RouteConfig } from '@lmas/gateway-api';
import type { Flow, Routes } from '@lmas/plugin-api';
import { errorCode, LmasError } from '../errors.ts';
import { addressesOf } from '../sites/addresses.ts';
import type { Gateway } from './gateway.ts';
import type { TunnelEnds } from './tunnel.ts';

type Offer = Omit<Extract<RouteConfig, { kind: 'listen' }>, 'port' | 'address'>;
type Place = Routes[string];

/** Somebody else listens there; or, when it is said again, somebody did then, and the route is at another place. */
const isTaken = (error: unknown): boolean => ['NO_FREE_PORT', 'GATEWAY_REFUSED'].includes(errorCode(error) ?? '');

/** Safe to repeat. @throws LmasError NO_FREE_PORT, GATEWAY_… */
export async function openRedirectedRoutes(
  { source, destination }: TunnelEnds,
  flows: readonly Flow[],
  sourceAddresses: readonly string[],
  signal: AbortSignal,
): Promise<Routes> {
  // The dialling end first: from the moment that the other one listens, connections come.
  for (const { id, host, port, maxStreams, priority } of flows) {
    const dial = { kind: 'dial', host, port, allowSpecialAddress: false, maxStreams, priority } as const;
    await destination.gateway.putRoute(id, dial, { signal });
  }
  const { hypervisorAddress } = source.site;
  const entrance = new Entrance(source.gateway, sourceAddresses, signal);
  const routes: Record<string, Place> = {};
  for (const flow of flows.filter(({ addressGroup }) => addressGroup === undefined)) {
    routes[flow.id] = await entrance.listenAnywhere(flow, hypervisorAddress);
  }
  const free = new Set(addressesOf(source.site));
  for (const group of new Set(flows.flatMap(({ addressGroup }) => addressGroup ?? []))) {
    const members = flows.filter(({ addressGroup }) => addressGroup === group);
    const address = await entrance.listenTogether(members, [...free]);
    free.delete(address);
    for (const { id, port } of members) routes[id] = { host: address, port };
  }
  return routes;
}

/** The gateway beside the source, where hypervisors come in. */
class Entrance {
  readonly #gateway: Gateway;
  readonly #allowFrom: readonly string[];
  readonly #signal: AbortSignal;

  constructor(gateway: Gateway, allowFrom: readonly string[], signal: AbortSignal) {
    this.#gateway = gateway;
    this.#allowFrom = allowFrom;
    this.#signal = signal;
  }

  /** At the flow's own port if it is free (some hypervisors know one port for both ends), else at any. */
  async listenAnywhere(flow: Flow, address: string): Promise<Place> {
    try {
      return { host: address, port: await this.#listen(flow, address, flow.port) };
    } catch (error) {
      if (!isTaken(error)) throw error;
      return { host: address, port: await this.#listen(flow, address, 0) };
    }
  }

  /** At the very ports of all of `flows`, at the first address where all of them are free. */
  async listenTogether(flows: readonly Flow[], addresses: readonly string[]): Promise<string> {
    for (const address of addresses) if (await this.#listenAt(flows, address)) return address;
    const ports = flows.map(({ port }) => port).join(' and ');
    throw new LmasError(
      'NO_FREE_PORT',
      `No address of the source site's gateway machine has ${ports} free (looked at ${addresses.join(', ') || 'none'}).`,
      {
        remedy:
          'Migrations wait for each other; so something else listens there, or a gateway that could not be removed. End it, or give the machine and the site (moreHypervisorAddresses) one more address.',
      },
    );
  }

  async #listenAt(flows: readonly Flow[], address: string): Promise<boolean> {
    const opened: string[] = [];
    for (const flow of flows) {
      try {
        await this.#listen(flow, address, flow.port);
        opened.push(flow.id);
      } catch (error) {
        if (!isTaken(error)) throw error;
        for (const id of opened) await this.#gateway.removeRoute(id, { signal: this.#signal });
        return false;
      }
    }
    return true;
  }

  async #listen({ id, maxStreams, priority }: Flow, address: string, port: number): Promise<number> {
    const offer: Offer = { kind: 'listen', allowFrom: [...this.#allowFrom], maxStreams, priority };
    const route = await this.#gateway.putRoute(id, { ...offer, address, port }, { signal: this.#signal });
    if (route.kind !== 'transparent') return route.port;
    throw new LmasError('GATEWAY_REFUSED', 'The gateway made a transparent route of a redirected one.');
  }
}
