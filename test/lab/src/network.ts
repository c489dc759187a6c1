// The lab's network: namespaces, bridges and veth pairs, made by `ip -batch`. Owns nothing but names: what it makes goes with the
// namespaces, save the management bridge and its ports in the root namespace, which removeNetwork takes away one by one.
//
//   root ── lmlabN ──┬── mgmt@host-a   mgmt@gw-a   mgmt@host-b   mgmt@gw-b          (SSH; no delay, but see management-delay.ts)
//   data@host-a, data@gw-a ── site@rtr-a ── wan ═══ a [lab-NAME-wan] b ═══ wan ── site@rtr-b ── data@host-b, data@gw-b

import { readdirSync } from 'node:fs';
import { type CommandResult, run } from './command.ts';
import {
  type Addresses,
  isHost,
  MACHINES,
  type MachineName,
  managementBridge,
  managementPort,
  NETNS_PARTS,
  netnsOf,
  SITES,
  siteOf,
} from './names.ts';

/** What distributions ship: the machines of the lab must not inherit the tuning of the machine below. */
const HOST_SYSCTLS = [
  'net.ipv4.tcp_rmem=4096 131072 6291456',
  'net.ipv4.tcp_wmem=4096 16384 4194304',
  'net.ipv4.tcp_slow_start_after_idle=1',
];
/**
 * Cubic likewise. A kernel whose default is another may refuse the setting in a namespace, so the routes say it too; unlike a locked
 * metric, that leaves a program its own choice (TCP_CONGESTION).
 */
export const CONGESTION_CONTROL = 'cubic';
/** The routers are also where the line is checked from (check.ts), by one stream that has to fill it. */
const ROUTER_SYSCTLS = [
  'net.ipv4.ip_forward=1',
  'net.ipv4.tcp_rmem=4096 131072 67108864',
  'net.ipv4.tcp_wmem=4096 16384 67108864',
];

/** Several commands of `ip`, in a namespace or in the root one. */
export async function ip(lines: string[], netns?: string): Promise<CommandResult> {
  return run('ip', [...(netns ? ['-n', netns] : []), '-batch', '-'], { input: `${lines.join('\n')}\n` });
}

async function sysctl(netns: string, settings: string[]): Promise<void> {
  await run('ip', ['netns', 'exec', netns, 'sysctl', '-q', '-w', ...settings]);
}

export async function createNetwork(name: string, index: number, addresses: Addresses): Promise<void> {
  const ns = (part: string) => netnsOf(name, part);
  const bridge = managementBridge(index);
  await ip([
    ...NETNS_PARTS.map((part) => `netns add ${ns(part)}`),
    `link add ${bridge} type bridge forward_delay 0`,
    `link set dev ${bridge} alias lmas-lab:${name}`,
    `address add ${addresses.managementGateway}/26 dev ${bridge}`,
    `link set dev ${bridge} up`,
    ...MACHINES.flatMap((machine) => [
      `link add ${managementPort(index, machine)} type veth peer name mgmt netns ${ns(machine)}`,
      `link set dev ${managementPort(index, machine)} alias lmas-lab:${name} master ${bridge} up`,
    ]),
  ]);
  await Promise.all(SITES.map((site) => createRouter(name, site, addresses)));
  await Promise.all(MACHINES.map((machine) => createMachineNetwork(name, machine, addresses)));
  await ip(['link set dev lo up', 'link set dev a up', 'link set dev b up'], ns('wan'));
}

async function createRouter(name: string, site: 'a' | 'b', addresses: Addresses): Promise<void> {
  const ns = (part: string) => netnsOf(name, part);
  const mine = addresses.router[site];
  const other = addresses.router[site === 'a' ? 'b' : 'a'];
  const otherNetwork = addresses.siteNetwork[site === 'a' ? 'b' : 'a'];
  await ip(
    [
      'link set dev lo up',
      'link add site type bridge forward_delay 0',
      `address add ${mine.site}/26 dev site`,
      'link set dev site up',
      ...(['host', 'gw'] as const).flatMap((kind) => [
        `link add ${kind} type veth peer name data netns ${ns(`${kind}-${site}`)}`,
        `link set dev ${kind} master site up`,
      ]),
      `link add wan address ${mine.wanMac} type veth peer name ${site} netns ${ns('wan')}`,
      `address add ${mine.wan}/30 dev wan`,
      'link set dev wan up',
      // Asking for the other router's address over a line of 100 ms would cost the first packet a round trip.
      `neighbour add ${other.wan} lladdr ${other.wanMac} dev wan nud permanent`,
      `route add ${otherNetwork} via ${other.wan}`,
    ],
    ns(`rtr-${site}`),
  );
  await sysctl(ns(`rtr-${site}`), ROUTER_SYSCTLS);
}

async function createMachineNetwork(name: string, machine: MachineName, addresses: Addresses): Promise<void> {
  const netns = netnsOf(name, machine);
  const site = siteOf(machine);
  // Guests plug into br-lab, the same name at both hosts, or into br-a / br-b, where a migration has to map one to the other.
  const bridges = isHost(machine) ? ['br-lab', `br-${site}`] : [];
  await ip(
    [
      'link set dev lo up',
      `address add ${addresses.machine[machine].management}/26 dev mgmt`,
      'link set dev mgmt up',
      `address add ${addresses.machine[machine].data}/26 dev data`,
      'link set dev data up',
      ...dataRoutes(machine, addresses),
      ...bridges.flatMap((bridge) => [`link add ${bridge} type bridge forward_delay 0`, `link set dev ${bridge} up`]),
    ],
    netns,
  );
  await sysctl(netns, HOST_SYSCTLS);
  await run(
    'ip',
    ['netns', 'exec', netns, 'sysctl', '-q', '-w', `net.ipv4.tcp_congestion_control=${CONGESTION_CONTROL}`],
    { allowFailure: true },
  );
}

/** A machine's routes over its site's network, for `ip -batch`; they go when the link goes down. */
export function dataRoutes(machine: MachineName, addresses: Addresses): string[] {
  const site = siteOf(machine);
  return [
    `route replace ${addresses.siteNetwork[site]} dev data src ${addresses.machine[machine].data} congctl ${CONGESTION_CONTROL}`,
    `route replace default via ${addresses.router[site].site} congctl ${CONGESTION_CONTROL}`,
  ];
}

/** Removes every namespace and interface that bears this lab's name; returns what would not go. */
export async function removeNetwork(name: string): Promise<string[]> {
  for (const link of await rootLinks(name)) await run('ip', ['link', 'delete', link], { allowFailure: true });
  for (const netns of labNamespaces(name)) await run('ip', ['netns', 'delete', netns], { allowFailure: true });
  return [
    ...(await rootLinks(name)).map((link) => `interface ${link}`),
    ...labNamespaces(name).map((netns) => `network namespace ${netns}`),
  ];
}

export function labNamespaces(name: string): string[] {
  try {
    return readdirSync('/run/netns').filter((netns) => NETNS_PARTS.some((part) => netns === netnsOf(name, part)));
  } catch {
    return []; // nobody has made a namespace yet
  }
}

/** Interfaces of the lab in the root namespace, known by their alias, the bridge last (its ports may be gone with it). */
export async function rootLinks(name: string): Promise<string[]> {
  const { stdout } = await run('ip', ['-json', 'link', 'show']);
  const links = JSON.parse(stdout) as { ifname: string; ifalias?: string }[];
  return links
    .filter((link) => link.ifalias === `lmas-lab:${name}`)
    .map((link) => link.ifname)
    .reverse();
}

/** Pids of all processes in the lab's namespaces. */
export async function processesIn(name: string): Promise<number[]> {
  const found = await Promise.all(
    labNamespaces(name).map((netns) => run('ip', ['netns', 'pids', netns], { allowFailure: true })),
  );
  return found.flatMap(({ stdout }) => stdout.split('\n').filter(Boolean).map(Number));
}
