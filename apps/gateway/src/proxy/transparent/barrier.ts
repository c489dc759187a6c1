/**
 * Barriers: interception fails open, and what may never cross in the clear must not. A barrier is an nftables table of its own in the kernel's
 * forwarding path, where nothing comes by that a gateway has taken (that goes to a socket of this machine): so it refuses exactly what would be
 * forwarded past the tunnel, whether the gateway is dead, ended in order, hung or without its peer. With a reset: who sends is to notice, and not
 * to try again and again. Whoever of the two hosts connects, and at both ends: no connection past the tunnel comes about while either stands.
 *
 * Invariant: no gateway ever takes one away, nor does the sweep for what killed gateways left. Whoever has named it does, when what it was
 * raised for is over: it has no owner among the processes of this machine.
 */
import { runTool } from '../../platform/network-tools.ts';
import type { AddressSet, Family } from './address-set.ts';
import { loadTable } from './kernel-state.ts';
import { keyword, renderConnections } from './ruleset.ts';

const PREFIX = 'lmas_barrier_';
/** Neither names nor routes have a full stop. */
const pattern = /^lmas_barrier_([a-z0-9][a-z0-9_-]*)\.([a-z0-9][a-z0-9-]*)$/;

export const barrierTable = (name: string, route: string): string => `${PREFIX}${name}.${route}`;

/** Replaces it whole and at once, or makes it. Pure. */
export function renderBarrier(name: string, route: string, set: AddressSet): string {
  const table = barrierTable(name, route);
  const families = set.families();
  return `table inet ${table}
delete table inet ${table}
table inet ${table} {
  counter refused { }
${families.map((family) => renderConnections(connections(family), set, family)).join('')}  chain forward {
    type filter hook forward priority filter; policy accept;
${families.flatMap(refusals).join('')}  }
}
`;
}

const connections = (family: Family): string => `connections_${family}`;

/**
 * Of each connection what its opener sends and what is answered. The route's own come from its sources; nobody intercepts those that its
 * destinations open to the same ports, so they would go past the tunnel as well.
 */
function refusals(family: Family): string[] {
  const ip = keyword[family];
  const there = `${ip} saddr . ${ip} daddr`;
  const back = `${ip} daddr . ${ip} saddr`;
  const refuse = `@${connections(family)} counter name refused reject with tcp reset`;
  return [there, back].flatMap((hosts) => ['dport', 'sport'].map((port) => `    ${hosts} . tcp ${port} ${refuse}\n`));
}

/** @throws ToolError */
export function raiseBarrier(name: string, route: string, set: AddressSet): void {
  loadTable(renderBarrier(name, route, set));
}

export interface Barrier {
  readonly name: string;
  readonly route: string;
  /** Since it was raised. */
  readonly refusedPackets: number;
}

interface Listing {
  readonly nftables: readonly { readonly table?: { name: string }; readonly counter?: { packets: number } }[];
}

/** Those that stand at this machine, anybody's. @throws ToolError */
export function barriers(): Barrier[] {
  const { nftables } = JSON.parse(runTool('nft', ['-j', 'list', 'tables', 'inet'])) as Listing;
  return nftables.flatMap(({ table }) => {
    const [, name, route] = pattern.exec(table?.name ?? '') ?? [];
    if (table === undefined || name === undefined || route === undefined) return [];
    const inside = JSON.parse(runTool('nft', ['-j', 'list', 'table', 'inet', table.name])) as Listing;
    return [{ name, route, refusedPackets: inside.nftables.find(({ counter }) => counter)?.counter?.packets ?? 0 }];
  });
}

/** All of its routes; answers their tables. "Not there" is done. @throws ToolError */
export function removeBarrier(name: string): string[] {
  const tables = barriers().flatMap((one) => (one.name === name ? [barrierTable(name, one.route)] : []));
  for (const table of tables) runTool('nft', ['-f', '-'], `delete table inet ${table}\n`);
  return tables;
}
