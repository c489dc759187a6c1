/**
 * The `gateway` step of a vCenter's verification: how each host's vMotion traffic would leave it. What no migration could use is
 * told in the words of a migration's check; which of several routes is the right one only that check knows. Pure.
 */
import type { VmwareConfig } from '../config.ts';
import { listed } from '../in-words.ts';
import { type KernelNetwork, stackOf } from '../routes/host-network.ts';
import { defaultGateway, familyOf, type KernelAddress, routesOf, sameAddress } from '../routes/reckoning.ts';
import { canReachGateway } from '../routes/ways.ts';
import { failed, namesOf } from './outcome.ts';
import { adapterInWords, gatewayNotInNetwork } from './routes.ts';

export function gateway(config: VmwareConfig, networks: readonly KernelNetwork[]) {
  const unreadable = networks.filter(
    ({ record, networkSystem }) =>
      record['config.network.netStackInstance'].length === 0 || networkSystem === undefined,
  );
  if (unreadable.length > 0) {
    return failed(
      `The TCP/IP stacks of ${listed(namesOf(unreadable), ', ')} cannot be read.`,
      'Let the login read the hosts’ configuration.',
    );
  }
  const told = `${listed(networks.map(routesInWords), '. ')}. Routes are ${config.routes}.`;
  const troubles = networks.flatMap((network) =>
    network.addresses.vmotion.flatMap((from) => troubleOf(config, network, from) ?? []),
  );
  if (troubles.length === 0) return told;
  const remedies = [...new Set(troubles.map(({ remedy }) => remedy))];
  return failed(
    `${listed(
      troubles.map(({ seen }) => seen),
      ' ',
    )} ${told}`,
    remedies.join(' '),
  );
}

/** As they are. */
function routesInWords(network: KernelNetwork): string {
  const stacks = [...new Set(network.addresses.vmotion.map(({ stack }) => stack))];
  const ways = stacks.map((key) => {
    const stack = stackOf(network, key);
    const routes = routesOf(stack).map(
      ({ network: to, prefixLength, gateway: via }) => `${to}/${prefixLength} via ${via}`,
    );
    return `${key}: ${[...routes, ...defaultsOf(network, key)].join(', ')}`;
  });
  return `${network.host.record.name} ${ways.join('; ')}`;
}

/** Of each family in which the stack has an address; an adapter's own comes before the stack's. */
function defaultsOf(network: KernelNetwork, key: string): string[] {
  const own = network.addresses.vmotion.filter(({ stack }) => stack === key);
  const told = own.map((from) => {
    const family = familyOf(from.address);
    const name = family === 'ipv6' ? 'IPv6 default' : 'default';
    return `${name} ${defaultGateway(from, stackOf(network, key), family) ?? 'none'}`;
  });
  return [...new Set(told)];
}

/** What stands against every migration over this adapter's address. */
function troubleOf(config: VmwareConfig, network: KernelNetwork, from: KernelAddress) {
  const where = adapterInWords(network.host.record.name, 'vmotion', from);
  const family = familyOf(from.address);
  const told = config.vmotionGateway;
  const own = told !== undefined && familyOf(told) === family ? told : undefined;
  if (own !== undefined && !canReachGateway({ from, gateway: own }, network)) {
    const [seen, remedy] = gatewayNotInNetwork(own, where, 'vmotion');
    return { seen, remedy };
  }
  // The plugin sets them itself; and the gateway of a family that the endpoint does not name the site may know.
  if (config.routes === 'temporary') return undefined;
  const gateways = gatewaysOf(network, from);
  if (own === undefined ? gateways.length > 0 : gateways.some((each) => sameAddress(each, own))) return undefined;
  const name = family === 'ipv6' ? 'IPv6' : 'IPv4';
  if (gateways.length === 0) {
    const nobody =
      told === undefined || own !== undefined
        ? ''
        : ` Nobody has said at which address of ${name} the gateway is there.`;
    return {
      seen: `At ${where} the route to the other site is missing: ${name} has neither a default gateway nor a static route.${nobody}`,
      remedy: `On that host: ${routeCommand(from, own)} — then refresh the host in the vSphere Client; or set routes=temporary of the endpoint.${nobody === '' ? '' : ' And set hypervisorAddress of the site to the gateway’s address of that family.'}`,
    };
  }
  return {
    seen: `At ${where} every route leads to ${gateways.join(', ')}, not to the gateway ${own}.`,
    remedy: `On that host: ${routeCommand(from, own)} — then refresh the host in the vSphere Client; or set routes=temporary of the endpoint.`,
  };
}

/** Of the address's family: where its static routes and its default lead. */
function gatewaysOf(network: KernelNetwork, from: KernelAddress): string[] {
  const stack = stackOf(network, from.stack);
  const family = familyOf(from.address);
  const routes = routesOf(stack).filter((route) => familyOf(route.network) === family);
  const byDefault = defaultGateway(from, stack, family);
  return [...new Set([...routes.map((route) => route.gateway), ...(byDefault === undefined ? [] : [byDefault])])];
}

const routeCommand = (from: KernelAddress, own: string | undefined): string =>
  `esxcli network ip route ${familyOf(from.address)} add --netstack=${from.stack} --network=NETWORK-OF-THE-OTHER-SITE --gateway=${own ?? 'THE-GATEWAY'}`;
