/**
 * The nftables table of one gateway, as text for `nft -f -` (nft(8)). Pure: the same routes give the same table, which is always written whole and
 * swapped in at once. What is in no set is not touched, and neither is anything for this machine itself.
 *
 *   intercept   a connection request (SYN) of the set goes to our listener by TPROXY; when nobody listens the expression fails, the rest of
 *               the rule, the mark, is not done, and the packet is forwarded. So the mark must come after `tproxy`: the order is what fails open.
 *               What follows on a connection that we took goes to its socket; on one that we did not, it is forwarded, so that a connection
 *               which was there before the gateway lives on.
 *   dial        what comes back for a socket of ours that is bound to the source's address goes to it; everything else is forwarded.
 *   output      no ICMP redirects to the hosts of the route: the kernel would tell them a shorter way than through us.
 */
import { type AddressSet, type Family, networkText, portsText, type Triple } from './address-set.ts';

export interface RuledRoute {
  readonly id: string;
  readonly end: 'intercept' | 'dial';
  readonly set: AddressSet;
  /** Where our listeners wait, on loopback. Of an `intercept` end. */
  readonly listenerPorts: Readonly<Partial<Record<Family, number>>>;
  /** What is not taken is refused, under this name (barrier.ts). */
  readonly barrier?: string | undefined;
}

export const keyword = { 4: 'ip', 6: 'ip6' } as const;
const loopback = { 4: '127.0.0.1', 6: '[::1]' } as const;
const redirect = { 4: 'icmp type redirect', 6: 'icmpv6 type nd-redirect' } as const;

export const setName = (end: RuledRoute['end'], family: Family, route: string): string => `${end}_${family}_${route}`;
const setPattern = /^(intercept|dial)_([46])_([a-z0-9][a-z0-9-]{0,62})$/;
/** Whose set it is, from its name; null for another's. */
export function parseSetName(name: string): { end: RuledRoute['end']; family: Family; route: string } | null {
  const [, end, family, route] = setPattern.exec(name) ?? [];
  if ((end !== 'intercept' && end !== 'dial') || route === undefined) return null;
  return { end, family: family === '4' ? 4 : 6, route };
}

interface Part {
  readonly route: RuledRoute;
  readonly family: Family;
}

/** Replaces the table, or makes it. Without `active` it holds the sets alone, which say to other gateways what is taken, and touches no packet. */
export function renderTable(table: string, mark: number, routes: readonly RuledRoute[], active: boolean): string {
  const parts = routes.flatMap((route) => route.set.families().map((family) => ({ route, family })));
  const sets = parts.map(({ route, family }) => renderSet(route, family)).join('');
  return `table inet ${table}
delete table inet ${table}
table inet ${table} {
${sets}${active ? renderChains(parts, mark) : ''}}
`;
}

const renderChains = (parts: readonly Part[], mark: number): string => `  chain prerouting {
    type filter hook prerouting priority mangle; policy accept;
    fib daddr type local accept
${parts.flatMap(({ route, family }) => rules(route, family, mark)).join('')}  }
  chain output {
    type filter hook output priority filter; policy accept;
${parts.flatMap(({ route, family }) => noRedirects(route, family)).join('')}  }
`;

const renderSet = ({ id, end, set }: RuledRoute, family: Family): string =>
  renderConnections(setName(end, family, id), set, family);

/** A named set of connections, as their source sees them. */
export function renderConnections(name: string, set: AddressSet, family: Family): string {
  const ip = keyword[family];
  const elements = set.ofFamily(family).map(element);
  return `  set ${name} {
    typeof ${ip} saddr . ${ip} daddr . tcp dport
    flags interval
    elements = { ${elements.join(', ')} }
  }
`;
}

const element = ({ source, destination, ports }: Triple): string =>
  `${networkText(source)} . ${networkText(destination)} . ${portsText(ports)}`;

function rules({ id, end, listenerPorts }: RuledRoute, family: Family, mark: number): string[] {
  const ip = keyword[family];
  const set = setName(end, family, id);
  const ours = `socket transparent 1 meta mark set ${mark} accept`;
  // The set holds connections as their source sees them; what comes back has everything turned round.
  if (end === 'dial') return [`    ${ip} daddr . ${ip} saddr . tcp sport @${set} ${ours}\n`];
  const port = listenerPorts[family];
  if (port === undefined) throw new RangeError(`No listener for IPv${family} of ${id}.`);
  const toUs = `tproxy ${ip} to ${loopback[family]}:${port} meta mark set ${mark} accept`;
  return [
    `    ${ip} saddr . ${ip} daddr . tcp dport @${set} tcp flags & (fin | syn | rst | ack) == syn ${toUs}\n`,
    `    ${ip} saddr . ${ip} daddr . tcp dport @${set} ${ours}\n`,
  ];
}

/** The hosts beside us are the sources at the intercepting end, the destinations at the dialling one. */
function noRedirects({ end, set }: RuledRoute, family: Family): string[] {
  const hosts = set
    .ofFamily(family)
    .map((triple) => networkText(end === 'intercept' ? triple.source : triple.destination));
  return [...new Set(hosts)].map((host) => `    ${keyword[family]} daddr ${host} ${redirect[family]} drop\n`);
}
