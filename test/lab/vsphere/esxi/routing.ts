/** Where a TCP/IP stack of a host sends a packet: its own networks, then its longest matching route, then its default gateway. */
import { BlockList, isIPv4 } from 'node:net';
import type { HostSpec } from '../inventory/spec.ts';
import type { StackRoutes } from './agent.ts';

/** @returns the gateway, `undefined` when the address is in a network of the stack. @throws when there is no way */
export function nextHop(host: HostSpec, stack: StackRoutes | undefined, address: string): string | undefined {
  if (stack === undefined) throw new Error(`${host.name} has no such TCP/IP stack`);
  const own = host.vmkernels.filter(({ stack: key }) => key === stack.key);
  if (own.some((nic) => contains(nic.address, nic.prefixLength, address))) return undefined;
  const [route] = stack.routes
    .filter(({ network, prefixLength }) => contains(network, prefixLength, address))
    .toSorted((one, other) => other.prefixLength - one.prefixLength);
  const gateway = route?.gateway ?? stack.defaultGateway;
  if (gateway === undefined)
    throw new Error(`network is unreachable: the stack ${stack.key} has no route to ${address}`);
  return gateway;
}

export function contains(network: string, prefixLength: number, address: string): boolean {
  const family = isIPv4(network) ? 'ipv4' : 'ipv6';
  const list = new BlockList();
  list.addSubnet(network, prefixLength, family);
  return list.check(address, isIPv4(address) ? 'ipv4' : 'ipv6');
}
