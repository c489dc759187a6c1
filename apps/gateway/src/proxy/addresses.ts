/** Which addresses a gateway dials and accepts. A name is resolved first: what counts is where the connection goes. */
import { lookup } from 'node:dns/promises';
import net from 'node:net';
import { GatewayError } from '../errors.ts';

const special = new net.BlockList();
special.addSubnet('0.0.0.0', 8);
special.addSubnet('127.0.0.0', 8);
special.addSubnet('169.254.0.0', 16); // Link-local; the metadata services of clouds live here.
special.addSubnet('224.0.0.0', 3); // Multicast, reserved, broadcast.
special.addAddress('100.100.100.200'); // Metadata service of Alibaba Cloud.
special.addAddress('192.0.0.192'); // Metadata service of Oracle Cloud, old address.
special.addAddress('::', 'ipv6');
special.addAddress('::1', 'ipv6');
special.addSubnet('fe80::', 10, 'ipv6');
special.addSubnet('ff00::', 8, 'ipv6');
special.addAddress('fd00:ec2::254', 'ipv6'); // Metadata service of Amazon.

/** `::ffff:192.0.2.1` is 192.0.2.1. */
export function plainAddress(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  return mapped?.[1] ?? address;
}

const familyOf = (address: string): net.IPVersion => (net.isIPv6(address) ? 'ipv6' : 'ipv4');

/** Loopback, link-local, multicast, metadata. */
export function isSpecialAddress(address: string): boolean {
  const plain = plainAddress(address);
  return special.check(plain, familyOf(plain));
}

/** The numeric address to dial; ADDRESS_FORBIDDEN when it is special and that was not meant, DIAL_FAILED for an unknown name. */
export async function resolveDialAddress(host: string, allowSpecial: boolean): Promise<string> {
  const unknown = (cause: unknown) => new GatewayError('DIAL_FAILED', `(${host} does not resolve)`, { cause });
  const address = net.isIP(host) !== 0 ? host : await resolveName(host, unknown);
  if (!allowSpecial && isSpecialAddress(address)) {
    throw new GatewayError(
      'ADDRESS_FORBIDDEN',
      `(${address}; where that is meant, the route says "allowSpecialAddress": true)`,
    );
  }
  return address;
}

async function resolveName(host: string, unknown: (cause: unknown) => GatewayError): Promise<string> {
  try {
    return (await lookup(host)).address;
  } catch (cause) {
    throw unknown(cause);
  }
}

/** The numeric address to listen on; LISTEN_FAILED for an unknown name. */
export function resolveListenAddress(host: string): Promise<string> {
  const unknown = (cause: unknown) => new GatewayError('LISTEN_FAILED', `(${host} does not resolve)`, { cause });
  return net.isIP(host) !== 0 ? Promise.resolve(host) : resolveName(host, unknown);
}

/** Whether an allow list lets an address in: its addresses and networks, and what its names resolve to now; LISTEN_FAILED for an unknown one. */
export async function resolveAllowed(hosts: readonly string[]): Promise<(address: string) => boolean> {
  const [addresses, networks] = [new Set<string>(), new net.BlockList()];
  for (const host of hosts) {
    const [base = '', prefix] = host.split('/');
    if (prefix !== undefined) {
      networks.addSubnet(base, Number(prefix), familyOf(base));
      continue;
    }
    const unknown = (cause: unknown) =>
      new GatewayError('LISTEN_FAILED', `(allowFrom: ${host} does not resolve)`, { cause });
    addresses.add(plainAddress(net.isIP(host) !== 0 ? host : await resolveName(host, unknown)));
  }
  return (address) => {
    const [unscoped = ''] = address.split('%');
    return addresses.has(address) || networks.check(unscoped, familyOf(unscoped));
  };
}
