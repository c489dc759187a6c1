/**
 * Which way a host's packets take: the arithmetic of addresses and of a TCP/IP stack's routes. Pure.
 */
import { BlockList, isIP } from 'node:net';
import type { NetStack, Vnic } from '../records.ts';

export type Family = 'ipv4' | 'ipv6';

export interface Subnet {
  readonly address: string;
  readonly prefixLength: number;
}

export interface StaticRoute {
  readonly network: string;
  readonly prefixLength: number;
  readonly gateway: string;
}

/** An address of a VMkernel adapter, on its stack. */
export interface KernelAddress extends Subnet {
  /** `vmk1`. */
  readonly device: string;
  readonly stack: string;
  readonly mtu: number;
  /** The adapter's own default gateway, which overrides the stack's for what is bound to it. */
  readonly gateway: Readonly<Partial<Record<Family, string>>>;
}

const DEFAULT_STACK = 'defaultTcpipStack';
const DEFAULT_MTU = 1500;

export const familyOf = (address: string): Family => (isIP(address) === 6 ? 'ipv6' : 'ipv4');
export const hostPrefix = (address: string): number => (familyOf(address) === 'ipv6' ? 128 : 32);

/** Of `255.255.255.0`. */
export function prefixOfMask(mask: string): number {
  const bits = mask
    .split('.')
    .map((byte) => Number(byte).toString(2).padStart(8, '0'))
    .join('');
  return bits.indexOf('0') === -1 ? 32 : bits.indexOf('0');
}

export function contains({ network, prefixLength }: Omit<StaticRoute, 'gateway'>, address: string): boolean {
  if (familyOf(network) !== familyOf(address)) return false;
  const block = new BlockList();
  block.addSubnet(network, prefixLength, familyOf(network));
  return block.check(address, familyOf(address));
}

/** Whether two texts write one address. */
export const sameAddress = (one: string, other: string): boolean =>
  contains({ network: one, prefixLength: hostPrefix(one) }, other);

/** The first address of the network that `address` is in. */
export function networkOf(address: string, prefixLength: number): string {
  const bits = familyOf(address) === 'ipv6' ? 128 : 32;
  const kept = ((1n << BigInt(prefixLength)) - 1n) << BigInt(bits - prefixLength);
  return writeAddress(readAddress(address) & kept, familyOf(address));
}

function readAddress(address: string): bigint {
  if (familyOf(address) === 'ipv4') return address.split('.').reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  const [head = '', tail] = new URL(`http://[${address}]/`).hostname.slice(1, -1).split('::');
  const words = (text: string): string[] => (text === '' ? [] : text.split(':'));
  const after = words(tail ?? '');
  const before = words(head);
  const zeros = tail === undefined ? [] : Array<string>(8 - before.length - after.length).fill('0');
  return [...before, ...zeros, ...after].reduce((sum, word) => (sum << 16n) | BigInt(`0x${word}`), 0n);
}

function writeAddress(number: bigint, family: Family): string {
  const part = (bits: number, count: number) =>
    Array.from({ length: count }, (_, i) => (number >> BigInt(bits * (count - 1 - i))) & ((1n << BigInt(bits)) - 1n));
  if (family === 'ipv4') return part(8, 4).join('.');
  const text = part(16, 8)
    .map((word) => word.toString(16))
    .join(':');
  return new URL(`http://[${text}]/`).hostname.slice(1, -1);
}

/** Of IPv6: every adapter has one of these. */
export const isLinkLocal = (address: string): boolean => isIP(address) === 6 && /^fe[89ab]/i.test(address);

/** What an adapter is reached by, link-local addresses left out. */
export function addressesOf({ device, spec }: Vnic): KernelAddress[] {
  const own = spec.ipRouteSpec?.ipRouteConfig;
  const gateway = {
    ...(isSet(own?.defaultGateway) ? { ipv4: own?.defaultGateway ?? '' } : {}),
    ...(isSet(own?.ipV6DefaultGateway) ? { ipv6: own?.ipV6DefaultGateway ?? '' } : {}),
  };
  const common = { device, stack: spec.netStackInstanceKey ?? DEFAULT_STACK, mtu: spec.mtu ?? DEFAULT_MTU, gateway };
  const { ipAddress = '', subnetMask = '', ipV6Config } = spec.ip ?? {};
  const v4 = isIP(ipAddress) === 4 ? [{ ...common, address: ipAddress, prefixLength: prefixOfMask(subnetMask) }] : [];
  const v6 = (ipV6Config?.ipV6Address ?? [])
    .filter(({ ipAddress: address }) => isIP(address) === 6 && !isLinkLocal(address))
    .map(({ ipAddress: address, prefixLength }) => ({ ...common, address, prefixLength }));
  return [...v4, ...v6];
}

/** vSphere says "none" by leaving it out, by an empty text or by the unspecified address. */
const isSet = (gateway: string | undefined): boolean =>
  gateway !== undefined && gateway !== '' && gateway !== '0.0.0.0' && gateway !== '::';

/** Static routes of a stack that lead to a gateway. */
export function routesOf(stack: NetStack | undefined): StaticRoute[] {
  const { ipRoute = [], ipv6Route = [] } = stack?.routeTableConfig ?? {};
  return [...ipRoute, ...ipv6Route]
    .map(({ route: { network, prefixLength, gateway } }) => ({ network, prefixLength, gateway }))
    .filter(({ network, prefixLength, gateway }) => isSet(gateway) && isIP(network) !== 0 && prefixLength > 0);
}

/**
 * - `link`: the peer is in the adapter's own network; packets to it pass no gateway.
 * - `route`, `default`: by way of that gateway.
 * - `none`: there is no way.
 */
export type NextHop =
  | { readonly kind: 'link' | 'none' }
  | { readonly kind: 'route'; readonly gateway: string; readonly route: StaticRoute }
  | { readonly kind: 'default'; readonly gateway: string };

/** The longest prefix decides; the default gateway of the adapter comes before the stack's. */
export function nextHop(from: KernelAddress, stack: NetStack | undefined, peer: string): NextHop {
  if (contains({ network: from.address, prefixLength: from.prefixLength }, peer)) return { kind: 'link' };
  const [route] = routesOf(stack)
    .filter((each) => contains(each, peer))
    .toSorted((one, other) => other.prefixLength - one.prefixLength);
  if (route !== undefined) return { kind: 'route', gateway: route.gateway, route };
  const gateway = defaultGateway(from, stack, familyOf(peer));
  return gateway === undefined ? { kind: 'none' } : { kind: 'default', gateway };
}

export function defaultGateway(from: KernelAddress, stack: NetStack | undefined, family: Family): string | undefined {
  const config = stack?.ipRouteConfig;
  const gateway = from.gateway[family] ?? (family === 'ipv6' ? config?.ipV6DefaultGateway : config?.defaultGateway);
  return isSet(gateway) ? gateway : undefined;
}
