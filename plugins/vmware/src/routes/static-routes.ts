/**
 * Static routes in a host's TCP/IP stacks, for the time of a migration. Several migrations may need the same one: it is journalled
 * as shared, so that only the last of them takes it away. A route that was there before is somebody else's and is never taken;
 * nor is one that does not look any more as it was set. The default gateway is never touched. A route that was asked for and never
 * answered is looked for until it can come no more (migration/asked.ts).
 */
import { type MigrationContext, PluginError, type PluginResource } from '@lmas/plugin-api';
import { z } from 'zod';
import type { Options, VimClient } from '../client.ts';
import { isFault } from '../errors.ts';
import { ask, takeBack } from '../migration/asked.ts';
import { readObject } from '../properties.ts';
import { hostNetworkSchema, nothingSchema } from '../records.ts';
import { data, type Ref } from '../wire/data-objects.ts';
import { contains, familyOf, routesOf, type StaticRoute, sameAddress } from './reckoning.ts';
import type { End } from './ways.ts';

export interface HostRoute extends StaticRoute {
  readonly host: Ref;
  readonly hostName: string;
  readonly stack: string;
}

export const ROUTE = 'route';
const dataSchema = z.object({
  host: z.string(),
  hostName: z.string(),
  stack: z.string(),
  network: z.string(),
  prefixLength: z.int().positive(),
  gateway: z.string(),
});
const routeTableSchema = hostNetworkSchema.pick({
  'config.network.netStackInstance': true,
  'configManager.networkSystem': true,
});

/** Unique among all vCenters: a host may be registered at several sites. */
export function routeResource(
  end: End,
  vCenter: string,
  route: HostRoute,
  { leadsToBarrier }: { readonly leadsToBarrier: boolean },
): PluginResource {
  const { host, hostName, stack, network, prefixLength, gateway } = route;
  return {
    kind: ROUTE,
    id: `${vCenter}/${host.value}/${stack}/${network}/${prefixLength}`,
    end,
    data: { host: host.value, hostName, stack, network, prefixLength, gateway },
    lifetime: 'migration',
    shared: true,
    ...(leadsToBarrier && { leadsToBarrier }),
    byHand: `Where no other migration uses it, at ${hostName}: ${removeCommand(route)}`,
  };
}

/** As ESXi's own shell takes it. */
const removeCommand = ({ stack, network, prefixLength, gateway }: HostRoute): string =>
  `esxcli network ip route ${familyOf(network)} remove --netstack=${stack} --network=${network}/${prefixLength} --gateway=${gateway}`;

export function routeOf(resource: PluginResource): HostRoute {
  const { host, ...route } = dataSchema.parse(resource.data);
  return { ...route, host: { type: 'HostSystem', value: host } };
}

/** How often a route may vanish between two looks before that is an error. */
const LOOKS = 5;

/** @throws PluginError INCOMPATIBLE when the same network is led elsewhere by somebody */
export async function setRoute(
  client: VimClient,
  resource: PluginResource,
  context: MigrationContext,
  options: Options,
): Promise<void> {
  const route = routeOf(resource);
  for (let look = 0; look < LOOKS; look += 1) {
    const there = await findRoute(client, route, options);
    if (there === undefined) {
      if (await isAdded(client, route, resource, context)) return options.signal.throwIfAborted();
      continue; // somebody was faster: what they have set is looked at like any other
    }
    const isAsWanted = sameAddress(there.gateway, route.gateway);
    // Made by another migration, or for good by a person. Of a migration's, that may just be taking it away, we hold a share.
    if (isAsWanted && (await context.joinHolders?.(resource)) === true) return;
    if (!isAsWanted) throw elsewhere(route, there);
    if ((await findRoute(client, route, options)) !== undefined) return;
  }
  throw new PluginError('BUSY', `The route to ${route.network} at ${route.hostName} comes and goes.`);
}

/**
 * Takes a share of a route that another migration has set, so that it stays for as long as we need it.
 * @returns whether it is there: also where nobody holds it, who has set it for good
 */
export async function joinRoute(
  client: VimClient,
  resource: PluginResource,
  context: MigrationContext,
  options: Options,
): Promise<boolean> {
  if (!(await leadsThere(client, resource, options))) return false;
  return (await context.joinHolders?.(resource)) === true || (await leadsThere(client, resource, options));
}

async function leadsThere(client: VimClient, resource: PluginResource, options: Options): Promise<boolean> {
  const route = routeOf(resource);
  const there = await findRoute(client, route, options);
  return there !== undefined && sameAddress(there.gateway, route.gateway);
}

/** Of these the vCenter does not know itself what its host has done. */
const HOST_IS_SILENT = ['HostCommunication', 'HostNotConnected', 'HostNotReachable', 'Timedout'] as const;

/** A call for one route that is refused has made none; one that is there then is somebody else's. */
const isRefusal = (error: unknown): boolean => isFault(error) && !isFault(error, ...HOST_IS_SILENT);

/** @returns false when there is one already, whose ever it is */
async function isAdded(
  client: VimClient,
  route: HostRoute,
  resource: PluginResource,
  context: MigrationContext,
): Promise<boolean> {
  try {
    await ask(resource, context, () => changeRoute(client, route, 'add'), isRefusal);
    return true;
  } catch (error) {
    if (isRefusal(error)) await context.withdrawIntent?.(resource);
    if (!isFault(error, 'AlreadyExists')) throw error;
    return false;
  }
}

/** "Not there" is done, once it can come no more, and "cannot be seen" is not; one that is not ours any more is left. */
export async function removeRoute(
  client: VimClient,
  resource: PluginResource,
  options: Options & { readonly unansweredMs: number },
): Promise<void> {
  const route = routeOf(resource);
  const look = async (): Promise<boolean> => {
    const there = await findRoute(client, route, options);
    if (there === undefined) return false;
    if (sameAddress(there.gateway, route.gateway)) await changeRoute(client, { ...route, ...there }, 'remove');
    return true;
  };
  await takeBack(resource, look, options);
}

/** @throws PluginError where the stacks cannot be read: what nobody could see may be there all the same */
async function findRoute(client: VimClient, route: HostRoute, options: Options): Promise<StaticRoute | undefined> {
  const record = await readObject(client, route.host, routeTableSchema, options);
  if (record === null) throw notInInventory(route);
  const stacks = record['config.network.netStackInstance'];
  if (stacks.length === 0) throw unreadable(route); // every host has some
  const stack = stacks.find(({ key }) => key === route.stack); // one that was taken away took its routes along
  return routesOf(stack).find((each) => each.prefixLength === route.prefixLength && contains(each, route.network));
}

/** To the code of a machine that does not answer: it may be gone for good, and whoever knows can give it up. */
const notInInventory = (route: HostRoute): PluginError =>
  new PluginError(
    'UNREACHABLE',
    `The host ${route.hostName} is not in the inventory of its vCenter any more; nobody can say what routes it has. If it still runs somewhere: ${removeCommand(route)}`,
    { remedy: 'Take the route away there by hand, and say so (lmas give-up).' },
  );

const unreadable = ({ hostName }: HostRoute): PluginError =>
  new PluginError('HYPERVISOR_FAULT', `The TCP/IP stacks of ${hostName} cannot be read, so nobody knows its routes.`, {
    remedy: 'See that the login has System.View and System.Read on the host, and that its vCenter is connected to it.',
  });

/** Never given up half-way: a route that a host sets after we have looked away is in nobody's journal any more. */
async function changeRoute(client: VimClient, route: HostRoute, changeOperation: 'add' | 'remove'): Promise<void> {
  const { network, prefixLength, gateway, stack } = route;
  const options = { signal: client.closed };
  const record = await readObject(client, route.host, routeTableSchema, options);
  if (record === null) throw notInInventory(route);
  const networkSystem = record['configManager.networkSystem'];
  if (networkSystem === undefined) {
    throw new PluginError('INCOMPATIBLE', `The network of ${route.hostName} cannot be configured.`);
  }
  const entry = data('HostIpRouteOp', {
    changeOperation,
    route: data('HostIpRouteEntry', { network, prefixLength, gateway }),
  });
  const table = familyOf(network) === 'ipv6' ? { ipv6Route: [entry] } : { ipRoute: [entry] };
  const netStackInstance = data('HostNetStackInstance', {
    key: stack,
    routeTableConfig: data('HostIpRouteTableConfig', table),
  });
  const config = data('HostNetworkConfig', {
    netStackSpec: [data('HostNetworkConfigNetStackSpec', { netStackInstance, operation: 'edit' })],
  });
  const params = { config, changeMode: 'modify' };
  try {
    await client.call(networkSystem, 'UpdateNetworkConfig', params, nothingSchema, options);
  } catch (error) {
    if (changeOperation !== 'remove' || !isFault(error, 'NotFound')) throw error;
  }
}

const elsewhere = ({ network, prefixLength, hostName, gateway }: HostRoute, there: StaticRoute): PluginError =>
  new PluginError(
    'INCOMPATIBLE',
    `${hostName} has a route of its own for ${network}/${prefixLength}, by way of ${there.gateway} and not of ${gateway}.`,
    { remedy: 'Lead that route to the gateway, or take it away.' },
  );
