/**
 * What gateways have in the kernel for transparent routes: for each its nftables table, and the policy routing that brings marked packets to
 * a local socket (`fwmark → table → local default dev lo`, as the kernel's Documentation/networking/tproxy.rst has it). Found and removed by
 * name; every removal is idempotent.
 */
import { runTool } from '../../platform/network-tools.ts';
import type { Family } from './address-set.ts';
import { AddressSet, type PortRange, parseNetwork, type Triple } from './address-set.ts';
import { lifeOf, markOf, type Owner, ownerOfTable, pidOfMark, tableOf } from './owner.ts';
import { parseSetName } from './ruleset.ts';

/** Before everybody else's: their marks may be matched under a mask, ours never is. */
const RULE_PREFERENCE = 100;
const families = [4, 6] as const;
const anywhere = { 4: '0.0.0.0/0', 6: '::/0' } as const;

/** Makes the table's name ours before anything else is made: what a killed gateway left is found by it. */
export function claimTable(owner: Owner): void {
  runTool('nft', ['-f', '-'], `add table inet ${tableOf(owner)}\n`);
}

export function loadTable(text: string): void {
  runTool('nft', ['-f', '-'], text);
}

/** The rule first: by it a route without an owner is found. @throws ToolError when somebody else has our mark */
export function addPolicyRouting(pid: number, family: Family): void {
  runTool('ip', [`-${family}`, 'rule', 'add', ...ruleOf(pid)]);
  runTool('ip', [`-${family}`, 'route', 'replace', 'local', anywhere[family], 'dev', 'lo', 'table', tableNumber(pid)]);
}

/** Everything of one owner; what is not there is done. */
export function removeAll(owner: Owner): void {
  const table = tableOf(owner);
  attempt(() => runTool('nft', ['-f', '-'], `table inet ${table}\ndelete table inet ${table}\n`));
  for (const family of families) removePolicyRouting(owner.pid, family);
}

function removePolicyRouting(pid: number, family: Family): void {
  attempt(() => runTool('ip', [`-${family}`, 'route', 'del', 'local', anywhere[family], 'table', tableNumber(pid)]));
  attempt(() => runTool('ip', [`-${family}`, 'rule', 'del', ...ruleOf(pid)]));
}

const tableNumber = (pid: number): string => String(markOf(pid));
const ruleOf = (pid: number): string[] => [
  ...['pref', String(RULE_PREFERENCE), 'fwmark', `0x${markOf(pid).toString(16)}`, 'lookup', tableNumber(pid)],
];

function attempt(remove: () => unknown): void {
  try {
    remove();
  } catch {
    // Not there, or not to be had: the next sweep looks again.
  }
}

interface Listing {
  nftables: readonly { table?: { family: string; name: string }; set?: SetListing }[];
}
interface SetListing {
  name: string;
  elem?: readonly { concat: readonly unknown[] }[];
}

/** Whose tables there are. @throws ToolError */
export function owners(): Owner[] {
  const { nftables } = JSON.parse(runTool('nft', ['-j', 'list', 'tables', 'inet'])) as Listing;
  return nftables.flatMap(({ table }) => {
    const owner = table === undefined ? null : ownerOfTable(table.name);
    return owner === null ? [] : [owner];
  });
}

/** Of gateways that are no more. @throws ToolError */
export const deadOwners = (): Owner[] => owners().filter((one) => lifeOf(one) === 'dead');

/**
 * Removes what no living gateway owns; answers what it was. What cannot be looked at is left alone. A gateway makes its table
 * before its rule: so rules are looked at first, and one that was made meanwhile is nobody's to remove.
 */
export function sweepDead(): string[] {
  const removed: string[] = [];
  const ruled = families.map((family) => ({ family, pids: ruledPids(family) }));
  const present = owners();
  for (const owner of present.filter((one) => lifeOf(one) === 'dead')) {
    removeAll(owner);
    removed.push(`table inet ${tableOf(owner)}`);
  }
  const owned = new Set(present.map(({ pid }) => pid)); // the dead ones' are gone with their tables
  for (const { family, pids } of ruled) {
    for (const pid of pids) {
      if (owned.has(pid)) continue;
      removePolicyRouting(pid, family);
      removed.push(`IPv${family} rule for mark 0x${markOf(pid).toString(16)}`);
    }
  }
  return removed;
}

/** Pids in whose name there are policy-routing rules. */
function ruledPids(family: Family): number[] {
  let text = '[]';
  // A kernel without IPv6 has no rules of it either.
  attempt(() => {
    text = runTool('ip', [`-${family}`, '-j', 'rule', 'list']);
  });
  const rules = JSON.parse(text.trim() === '' ? '[]' : text) as readonly { fwmark?: string }[];
  return rules.flatMap(({ fwmark }) => {
    const pid = fwmark === undefined ? null : pidOfMark(Number(fwmark));
    return pid === null ? [] : [pid];
  });
}

/** What the other gateways of this machine have taken, an end's sets together. @throws ToolError */
export function takenByOthers(self: Owner): { owner: Owner; end: 'intercept' | 'dial'; set: AddressSet }[] {
  const others = owners().filter((owner) => tableOf(owner) !== tableOf(self) && lifeOf(owner) !== 'dead');
  return others.flatMap((owner) =>
    setsOf(owner).flatMap((listing) => {
      const end = parseSetName(listing.name)?.end;
      return end === undefined ? [] : [{ owner, end, set: new AddressSet((listing.elem ?? []).map(tripleOf)) }];
    }),
  );
}

function setsOf(owner: Owner): SetListing[] {
  let text = '{"nftables":[]}';
  // It may have ended since it was listed.
  attempt(() => {
    text = runTool('nft', ['-j', 'list', 'table', 'inet', tableOf(owner)]);
  });
  return (JSON.parse(text) as Listing).nftables.flatMap(({ set }) => (set === undefined ? [] : [set]));
}

/** An element as `nft -j` writes it (libnftables-json(5)): addresses or prefixes, and a port or a range. */
function tripleOf({ concat: [source, destination, ports] }: { concat: readonly unknown[] }): Triple {
  return { source: networkOf(source), destination: networkOf(destination), ports: rangeOf(ports) };
}

function networkOf(value: unknown): Triple['source'] {
  if (typeof value === 'string') return parseNetwork(value);
  const { prefix } = value as { prefix: { addr: string; len: number } };
  return parseNetwork(`${prefix.addr}/${prefix.len}`);
}

function rangeOf(value: unknown): PortRange {
  if (typeof value === 'number') return { from: value, to: value };
  const [from, to] = (value as { range: [number, number] }).range;
  return { from, to };
}
