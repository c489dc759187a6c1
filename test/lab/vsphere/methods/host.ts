/** Hosts: what their adapters are for, and the routes of their TCP/IP stacks, which really change. */
import { isIP } from 'node:net';
import type { Call, Methods } from '../endpoint.ts';
import type { Route, StackRoutes } from '../esxi/agent.ts';
import { contains } from '../esxi/routing.ts';
import { invalidArgument, notFound, VimFault } from '../fault.ts';
import { networkOf, nicManagerConfig } from '../inventory/network-config.ts';
import { setHostNetwork } from '../inventory/seed.ts';
import type { HostSpec } from '../inventory/spec.ts';
import { type DataObject, isObject, listOf, type MoRef, textOf, type Value } from '../schema/value.ts';

/** The host whose manager that is. */
function hostOf({ endpoint, target }: Call, manager: string): MoRef {
  const found = endpoint.objects.all('HostSystem').find(({ properties }) => {
    const managers = properties.get('configManager');
    return isObject(managers) && (managers[manager] as MoRef | undefined)?.value === target.value;
  });
  if (found === undefined) throw notFound(target);
  return found.ref;
}

const platformFault = (text: string): VimFault => new VimFault('PlatformConfigFault', { text }, text);

async function updateNetworkConfig(call: Call): Promise<DataObject> {
  const { endpoint, parameters } = call;
  const ref = hostOf(call, 'networkSystem');
  if (parameters.changeMode !== 'modify')
    throw new VimFault('NotSupported', {}, 'the lab replaces no whole network configuration');
  const { netStackSpec, _typeName, ...rest } = parameters.config as DataObject;
  const others = Object.keys(rest).filter((member) => rest[member] !== undefined);
  if (others.length > 0) throw new VimFault('NotSupported', {}, `the lab changes no ${others.join(', ')}`);
  const agent = endpoint.agentOf(ref);
  const host = endpoint.hostSpec(ref);
  const { stacks } = await agent.state();
  for (const spec of listOf(netStackSpec)) await agent.setStack(changedStack(host, stacks, spec));
  setHostNetwork(endpoint.objects, ref, host, (await agent.state()).stacks, endpoint.spec);
  return {};
}

/** What was changed at the host itself shows. */
async function refreshNetworkSystem(call: Call): Promise<undefined> {
  const { endpoint } = call;
  const ref = hostOf(call, 'networkSystem');
  const { stacks } = await endpoint.agentOf(ref).state();
  setHostNetwork(endpoint.objects, ref, endpoint.hostSpec(ref), stacks, endpoint.spec);
  return undefined;
}

function changedStack(host: HostSpec, stacks: readonly StackRoutes[], spec: DataObject): StackRoutes {
  const instance = spec.netStackInstance as DataObject;
  if (spec.operation !== undefined && spec.operation !== 'edit') throw invalidArgument('config.netStackSpec.operation');
  const stack = stacks.find(({ key }) => key === instance.key);
  if (stack === undefined) throw platformFault(`the TCP/IP stack ${instance.key} has no adapter on ${host.name}`);
  const config = isObject(instance.ipRouteConfig) ? instance.ipRouteConfig : {};
  const gateway = textOf(config.defaultGateway) ?? textOf(config.ipV6DefaultGateway);
  if (gateway !== undefined) assertOnLink(host, stack, gateway);
  const table = isObject(instance.routeTableConfig) ? instance.routeTableConfig : {};
  const of = (family: 4 | 6, operations: readonly DataObject[]) => {
    for (const { route } of operations) assertOfFamily(family, route as DataObject);
    return operations;
  };
  const routes = [...of(4, listOf(table.ipRoute)), ...of(6, listOf(table.ipv6Route))].reduce<readonly Route[]>(
    (all, operation) => changedRoutes(host, stack, all, operation),
    stack.routes,
  );
  return { ...stack, routes, ...(gateway === undefined ? {} : { defaultGateway: gateway }) };
}

/** Each table has routes of its own family. */
function assertOfFamily(family: 4 | 6, { network, gateway }: DataObject): void {
  for (const address of [network, gateway])
    if (isIP(String(address)) !== family) throw platformFault(`${address} is no address of IPv${family}`);
}

function changedRoutes(
  host: HostSpec,
  stack: StackRoutes,
  routes: readonly Route[],
  operation: DataObject,
): readonly Route[] {
  const route = routeOf(operation.route as DataObject);
  const same = (one: Route): boolean => one.network === route.network && one.prefixLength === route.prefixLength;
  switch (operation.changeOperation) {
    case 'add': {
      if (networkOf(route.network, route.prefixLength) !== route.network)
        throw platformFault(`${route.network}/${route.prefixLength} is no network`);
      if (routes.some(same)) throw new VimFault('AlreadyExists', { name: `${route.network}/${route.prefixLength}` });
      assertOnLink(host, stack, route.gateway);
      return [...routes, route];
    }
    case 'remove': {
      const left = routes.filter((one) => !(same(one) && one.gateway === route.gateway));
      if (left.length === routes.length)
        throw new VimFault('NotFound', {}, `no route to ${route.network}/${route.prefixLength}`);
      return left;
    }
    case 'ignore':
      return routes;
    default:
      throw invalidArgument('config.netStackSpec.routeTableConfig.ipRoute.changeOperation');
  }
}

function routeOf({ network, prefixLength, gateway, deviceName }: DataObject): Route {
  return {
    ...{ network: String(network), prefixLength: Number(prefixLength), gateway: String(gateway) },
    ...(deviceName === undefined ? {} : { device: String(deviceName) }),
  };
}

/** A gateway has to be in a network of the stack. */
function assertOnLink(host: HostSpec, stack: StackRoutes, gateway: string): void {
  const reachable = host.vmkernels.some(
    (nic) => nic.stack === stack.key && contains(networkOf(nic.address, nic.prefixLength), nic.prefixLength, gateway),
  );
  if (!reachable) throw platformFault(`${gateway} is in no network of the TCP/IP stack ${stack.key}`);
}

function queryNetConfig(call: Call): Value {
  const host = call.endpoint.hostSpec(hostOf(call, 'virtualNicManager'));
  const { nicType } = call.parameters;
  if (!['vmotion', 'management', 'vSphereProvisioning'].includes(String(nicType))) throw invalidArgument('nicType');
  return nicManagerConfig(host, String(nicType));
}

export const HOST_METHODS: Methods = {
  'HostNetworkSystem.RefreshNetworkSystem': refreshNetworkSystem,
  'HostNetworkSystem.UpdateNetworkConfig': updateNetworkConfig,
  'HostVirtualNicManager.QueryNetConfig': queryNetConfig,
};
