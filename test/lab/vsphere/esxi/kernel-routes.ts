/**
 * A host's TCP/IP stacks on the machine that stands in for it: a routing table for every adapter, which only what comes from the adapter's
 * address uses. It has the adapter's own network and the stack's routes, and nothing else leads anywhere.
 */
import { run } from '../../src/command.ts';
import { CONGESTION_CONTROL } from '../../src/network.ts';
import { networkOf } from '../inventory/network-config.ts';
import type { HostSpec, VmkernelSpec } from '../inventory/spec.ts';
import type { StackRoutes } from './agent.ts';

const RULE_PRIORITY = 500;
/** As on every route of the lab's machines. */
const METRICS = ['congctl', CONGESTION_CONTROL] as const;

/** Devices of a lab's machine: management, and the network of the site. */
export const deviceOf = ({ services }: VmkernelSpec): 'mgmt' | 'data' =>
  services.includes('management') ? 'mgmt' : 'data';

/** Unique on a machine, whose adapters' addresses end differently. */
const tableOf = ({ address }: VmkernelSpec): string => String(20_000 + Number(address.split('.').at(-1)));

/** The machine's own routes serve management: only the other stacks have tables. */
const apart = (host: HostSpec): VmkernelSpec[] => host.vmkernels.filter(({ stack }) => stack !== 'defaultTcpipStack');

/** Gives the machine the host's addresses and tables; again after a crash. */
export async function createStacks(host: HostSpec, netns: string): Promise<void> {
  await removeStacks(host, netns);
  for (const { address, prefixLength, ...nic } of host.vmkernels)
    await ip(
      netns,
      'address',
      'replace',
      `${address}/${prefixLength}`,
      'dev',
      deviceOf({ address, prefixLength, ...nic }),
    );
  for (const nic of apart(host)) {
    const table = tableOf(nic);
    const network = `${networkOf(nic.address, nic.prefixLength)}/${nic.prefixLength}`;
    await ip(netns, 'rule', 'add', 'from', nic.address, 'lookup', table, 'priority', String(RULE_PRIORITY));
    await ip(netns, 'route', 'replace', network, 'dev', deviceOf(nic), 'src', nic.address, 'table', table, ...METRICS);
    await ip(netns, 'route', 'replace', 'unreachable', 'default', 'table', table);
    const gateway = host.gateways?.[nic.stack];
    if (gateway !== undefined)
      await ip(netns, 'route', 'replace', 'default', 'via', gateway, 'table', table, ...METRICS);
  }
}

/** Idempotent. */
export async function removeStacks(host: HostSpec, netns: string): Promise<void> {
  for (const nic of apart(host)) {
    await ip(netns, 'rule', 'del', 'from', nic.address, 'lookup', tableOf(nic)).catch(() => undefined);
    await ip(netns, 'route', 'flush', 'table', tableOf(nic)).catch(() => undefined);
  }
  for (const nic of host.vmkernels)
    await ip(netns, 'address', 'del', `${nic.address}/${nic.prefixLength}`, 'dev', deviceOf(nic)).catch(
      () => undefined,
    );
}

/** From inside the machine's network namespace: takes away what the stack does not have any more, and gives it what is new. */
export async function applyStack(host: HostSpec, stack: StackRoutes, before: StackRoutes): Promise<void> {
  const target = (route: { network: string; prefixLength: number }): string => `${route.network}/${route.prefixLength}`;
  const kept = new Set(stack.routes.map((route) => `${target(route)} ${route.gateway}`));
  for (const nic of apart(host).filter(({ stack: key }) => key === stack.key)) {
    const table = tableOf(nic);
    for (const route of before.routes)
      if (!kept.has(`${target(route)} ${route.gateway}`))
        await run('ip', ['route', 'del', target(route), 'via', route.gateway, 'table', table]);
    for (const route of stack.routes)
      await run('ip', [
        'route',
        'replace',
        target(route),
        'via',
        route.gateway,
        'src',
        nic.address,
        'table',
        table,
        ...METRICS,
      ]);
    if (stack.defaultGateway !== before.defaultGateway && stack.defaultGateway !== undefined)
      await run('ip', ['route', 'replace', 'default', 'via', stack.defaultGateway, 'table', table, ...METRICS]);
  }
}

async function ip(netns: string, ...args: readonly string[]): Promise<void> {
  await run('ip', ['-n', netns, ...args]);
}
