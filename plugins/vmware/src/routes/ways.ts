/**
 * From which address to which a migration's connections go, and over which gateway each end has to send them: what the flows
 * of `prepare`, the checks, and the temporary routes are made of. Pure.
 */
import { isIP } from 'node:net';
import type { MigrationRequest, TransparentFlow } from '@lmas/plugin-api';
import type { VmwareConfig } from '../config.ts';
import { type KernelNetwork, SERVICE_NAMES, SERVICES, type Service, stackOf } from './host-network.ts';
import {
  addressesOf,
  contains,
  familyOf,
  hostPrefix,
  isLinkLocal,
  type KernelAddress,
  type NextHop,
  networkOf,
  nextHop,
  sameAddress,
} from './reckoning.ts';

export type End = 'source' | 'destination';

/** One address of one end, and one of the other end that it has to reach over the gateway. */
export interface Way {
  readonly service: Service;
  readonly end: End;
  readonly from: KernelAddress;
  readonly peer: string;
  /** Of the peer's own network. */
  readonly peerPrefixLength: number;
  /** The address of the gateway that has to be the next hop; `undefined`: nobody has said, or not of this family. */
  readonly gateway: string | undefined;
  readonly now: NextHop;
}

export type KernelNetworks = Readonly<Record<End, KernelNetwork>>;

/** Both directions: what the destination answers goes to the source's address, and has to pass the gateway as well. */
export function waysOf(networks: KernelNetworks, gateways: GatewayAddresses): Way[] {
  return SERVICE_NAMES.flatMap((service) =>
    pairsOf(networks, service).flatMap(({ source, destination }) => [
      way(service, 'source', networks.source, source, destination, gateways),
      way(service, 'destination', networks.destination, destination, source, gateways),
    ]),
  );
}

function way(
  service: Service,
  end: End,
  network: KernelNetwork,
  from: KernelAddress,
  { address: peer, prefixLength: peerPrefixLength }: KernelAddress,
  gateways: GatewayAddresses,
): Way {
  return {
    ...{ service, end, from, peer, peerPrefixLength },
    gateway: gateways[end][service].find((each) => familyOf(each) === familyOf(peer)),
    now: nextHop(from, stackOf(network, from.stack), peer),
  };
}

/** Every address of one end with every one of the other: which of several vSphere takes is its own choice. */
export function pairsOf({ source, destination }: KernelNetworks, service: Service) {
  return source.addresses[service].flatMap((from) =>
    destination.addresses[service]
      .filter(({ address }) => familyOf(address) === familyOf(from.address))
      .map((to) => ({ source: from, destination: to })),
  );
}

const MAX_STREAMS: Readonly<Record<Service, number>> = { vmotion: 64, provisioning: 32 };

/** @param barrier where what is not taken may not pass: it would be in the clear */
export function flowsOf(networks: KernelNetworks, { barrier = false } = {}): TransparentFlow[] {
  return SERVICE_NAMES.flatMap((service) => {
    const pairs = pairsOf(networks, service).map(({ source, destination }) => ({
      source: source.address,
      destination: destination.address,
    }));
    if (pairs.length === 0) return [];
    const streams = { maxStreams: MAX_STREAMS[service], priority: 'bulk' } as const;
    return [{ id: service, pairs, ports: [SERVICES[service].port], ...streams, ...(barrier ? { barrier } : {}) }];
  });
}

/** The first one of a family counts. */
export type GatewayAddresses = Readonly<Record<End, Readonly<Record<Service, readonly string[]>>>>;

/** The endpoint's own word, then the site's: a gateway between adapters of both families has one address of each. */
export function gatewayAddresses(
  configs: Readonly<Record<End, VmwareConfig>>,
  tunnel: MigrationRequest['tunnel'],
): GatewayAddresses {
  const of = (end: End) => {
    const { vmotionGateway, provisioningGateway } = configs[end];
    // A site may know its gateway machine by a name; a route needs an address.
    const known = tunnel?.nextHops[end] ?? '';
    const nextHop = isIP(known) === 0 ? [] : [known];
    const first = (own: string | undefined) => (own === undefined ? nextHop : [own, ...nextHop]);
    return { vmotion: first(vmotionGateway), provisioning: first(provisioningGateway) };
  };
  return { source: of('source'), destination: of('destination') };
}

export const leadsToGateway = ({ gateway, now }: Way): boolean =>
  gateway !== undefined && 'gateway' in now && sameAddress(now.gateway, gateway);

/** Whether an adapter of this way's stack has the gateway in its network: else no host takes a route by way of it. */
export const canReachGateway = ({ from, gateway }: Pick<Way, 'from' | 'gateway'>, { record }: KernelNetwork): boolean =>
  gateway !== undefined &&
  (isLinkLocal(gateway) ||
    record['config.network.vnic']
      .flatMap(addressesOf)
      .some(
        ({ stack, address, prefixLength }) =>
          stack === from.stack && contains({ network: address, prefixLength }, gateway),
      ));

/** The static route that would lead this way over the gateway: as wide as the endpoint says, and never wider than the peer's own network. */
export function routeFor({ from, peer, peerPrefixLength, gateway }: Way, config: VmwareConfig) {
  if (gateway === undefined) return undefined;
  const asked = Math.min(config.routePrefixLength ?? hostPrefix(peer), hostPrefix(peer));
  const prefixLength = Math.max(asked, peerPrefixLength);
  return { stack: from.stack, network: networkOf(peer, prefixLength), prefixLength, gateway };
}
