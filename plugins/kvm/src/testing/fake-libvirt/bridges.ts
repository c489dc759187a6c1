/** What `ip` of a scripted host answers about its bridges, as iproute2 6.1 writes it. */

export interface FakeBridge {
  /** Of the host in it; an address of the link alone is always there. */
  readonly addresses: string[];
  /** Name of a port → its kind, `undefined` for a card. */
  readonly ports: Map<string, string | undefined>;
}

const interfaceOf = (name: string, kind: string | undefined, addresses: readonly string[]) => ({
  ...{ ifname: name, flags: ['BROADCAST', 'MULTICAST', 'UP'], mtu: 1500, link_type: 'ether' },
  ...(kind === undefined ? { parentbus: 'pci' } : { linkinfo: { info_kind: kind } }),
  addr_info: [
    ...addresses.map((local) => ({ family: 'inet', local, prefixlen: 24, scope: 'global', label: name })),
    { family: 'inet6', local: 'fe80::5054:ff:fe00:1', prefixlen: 64, scope: 'link' },
  ],
});

/** @param command `ip … show dev NAME` or `ip … show master NAME`. @returns `null` where real `ip` exits with 1 */
export function answerIp(bridges: ReadonlyMap<string, FakeBridge>, command: readonly string[]): string | null {
  const [which, name = ''] = command.slice(-2);
  const bridge = bridges.get(name);
  if (bridge === undefined) return null;
  if (which === 'dev') return JSON.stringify([interfaceOf(name, 'bridge', bridge.addresses)]);
  return JSON.stringify([...bridge.ports].map(([port, kind]) => interfaceOf(port, kind, [])));
}
