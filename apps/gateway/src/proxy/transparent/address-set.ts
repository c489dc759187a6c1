/**
 * Which connections a transparent route stands for: pairs of hosts (or networks) and TCP ports at the destination. Pure. The kernel's rules and
 * the gateway's own decisions are made from the same set, so that they cannot disagree.
 */
import type { AddressPair, RouteConfig } from '@lmas/gateway-api';
import ipaddr from 'ipaddr.js';
import { GatewayError } from '../../errors.ts';
import type { Endpoints } from '../../protocol/payloads.ts';
import { isSpecialAddress } from '../addresses.ts';

export type TransparentConfig = Extract<RouteConfig, { kind: 'transparent' }>;
export type Family = 4 | 6;

const bits = { 4: 32, 6: 128 } as const;

export interface Network {
  readonly family: Family;
  readonly address: ipaddr.IPv4 | ipaddr.IPv6;
  readonly prefix: number;
}
export interface PortRange {
  readonly from: number;
  readonly to: number;
}
/** One pair and one range of ports. */
export interface Triple {
  readonly source: Network;
  readonly destination: Network;
  readonly ports: PortRange;
}

/** @throws GatewayError ADDRESS_FORBIDDEN for loopback, link-local, multicast and metadata addresses, and whatever hides an IPv4 one */
export function parseNetwork(text: string): Network {
  const [plain = '', length] = text.split('/');
  const address = ipaddr.parse(plain);
  const hidden = address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress();
  if (hidden || isSpecialAddress(address.toString()))
    throw new GatewayError('ADDRESS_FORBIDDEN', `(${text}; no transparent route may have it)`);
  const family = address.kind() === 'ipv4' ? 4 : 6;
  const prefix = length === undefined ? bits[family] : Number(length);
  const base =
    family === 4
      ? ipaddr.IPv4.networkAddressFromCIDR(`${plain}/${prefix}`)
      : ipaddr.IPv6.networkAddressFromCIDR(`${plain}/${prefix}`);
  const network = { family, address: base, prefix } as const;
  if (base.toString() === address.toString()) return network;
  throw new GatewayError('INVALID_REQUEST', `(${text} has bits beyond its prefix; ${networkText(network)}?)`);
}

export function networkText({ family, address, prefix }: Network): string {
  return prefix === bits[family] ? address.toString() : `${address.toString()}/${prefix}`;
}

/** Two networks have hosts in common exactly when the wider one holds the narrower one. */
export function overlaps(a: Network, b: Network): boolean {
  return a.family === b.family && matches(a.address, b.address, Math.min(a.prefix, b.prefix));
}

function matches(a: ipaddr.IPv4 | ipaddr.IPv6, b: ipaddr.IPv4 | ipaddr.IPv6, prefix: number): boolean {
  if (a instanceof ipaddr.IPv4 && b instanceof ipaddr.IPv4) return a.match(b, prefix);
  return a instanceof ipaddr.IPv6 && b instanceof ipaddr.IPv6 && a.match(b, prefix);
}

export class AddressSet {
  readonly triples: readonly Triple[];

  constructor(triples: readonly Triple[]) {
    this.triples = triples;
  }

  /** @throws GatewayError ADDRESS_FORBIDDEN, INVALID_REQUEST when its parts overlap */
  static of({ pairs, ports }: Pick<TransparentConfig, 'pairs' | 'ports'>): AddressSet {
    const ranges = ports.map((port) => (typeof port === 'number' ? { from: port, to: port } : port));
    const triples = pairs.flatMap((pair) => triplesOf(pair, ranges));
    for (const [index, triple] of triples.entries()) {
      const twin = triples.slice(index + 1).find((other) => overlap(triple, other));
      if (twin !== undefined) {
        throw new GatewayError('INVALID_REQUEST', `(${tripleText(triple)} and ${tripleText(twin)} overlap)`);
      }
    }
    return new AddressSet(triples);
  }

  families(): Family[] {
    return ([4, 6] as const).filter((family) => this.triples.some(({ source }) => source.family === family));
  }

  ofFamily(family: Family): Triple[] {
    return this.triples.filter(({ source }) => source.family === family);
  }

  /** Whether this very connection belongs to it; a special address never does, however wide the networks are. */
  contains({ source, destination }: Endpoints): boolean {
    if (isSpecialAddress(source.address) || isSpecialAddress(destination.address)) return false;
    const [from, to] = [ipaddr.parse(source.address), ipaddr.parse(destination.address)];
    return this.triples.some(
      (triple) =>
        matches(from, triple.source.address, triple.source.prefix) &&
        matches(to, triple.destination.address, triple.destination.prefix) &&
        destination.port >= triple.ports.from &&
        destination.port <= triple.ports.to,
    );
  }

  /** What the two have in common, for people; null when nothing. */
  meets(other: AddressSet): string | null {
    for (const triple of this.triples) {
      if (other.triples.some((theirs) => overlap(triple, theirs))) return tripleText(triple);
    }
    return null;
  }
}

function triplesOf({ source, destination }: AddressPair, ranges: readonly PortRange[]): Triple[] {
  const [from, to] = [parseNetwork(source), parseNetwork(destination)];
  return ranges.map((ports) => ({ source: from, destination: to, ports }));
}

function overlap(a: Triple, b: Triple): boolean {
  return (
    overlaps(a.source, b.source) &&
    overlaps(a.destination, b.destination) &&
    a.ports.from <= b.ports.to &&
    b.ports.from <= a.ports.to
  );
}

export function portsText({ from, to }: PortRange): string {
  return from === to ? String(from) : `${from}-${to}`;
}

function tripleText({ source, destination, ports }: Triple): string {
  return `${networkText(source)} to ${networkText(destination)}, port ${portsText(ports)}`;
}
