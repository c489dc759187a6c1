/** What `ip` of a scripted host answers about its bridges, as iproute2 6.1 writes it. */

export interface FakeBridge {
  /** Of the host in it; an address of the link alone is always there. */
  readonly addresses: string[];
  /** Name of a port → its kind, `undefined` for a card. */
  readonly ports: Map<string, string | undefined>;
  /** Name of what stands on it, `br0.100` → its kind. */
  readonly onTop?: Map<string, string>;
}

const interfaceOf = (
  name: string,
  kind: string | undefined,
  { addresses = [], ...place }: { addresses?: readonly string[]; master?: string; link?: string },
) => ({
  ...{ ifname: name, flags: ['BROADCAST', 'MULTICAST', 'UP'], mtu: 1500, link_type: 'ether', ...place },
  ...(kind === undefined ? { parentbus: 'pci' } : { linkinfo: { info_kind: kind } }),
  addr_info: [
    ...addresses.map((local) => ({ family: 'inet', local, prefixlen: 24, scope: 'global', label: name })),
    { family: 'inet6', local: 'fe80::5054:ff:fe00:1', prefixlen: 64, scope: 'link' },
  ],
});

/** `ip -json -details address show` */
export function answerIp(bridges: ReadonlyMap<string, FakeBridge>): string {
  const interfaces = [...bridges].flatMap(([bridge, { addresses, ports, onTop = new Map<string, string>() }]) => [
    interfaceOf(bridge, 'bridge', { addresses }),
    ...[...ports].map(([port, kind]) => interfaceOf(port, kind, { master: bridge })),
    ...[...onTop].map(([name, kind]) => interfaceOf(name, kind, { link: bridge })),
  ]);
  return JSON.stringify([interfaceOf('eth9', undefined, { addresses: ['192.0.2.9'] }), ...interfaces]);
}
