/** Whether what the hosts send to each other passes the gateways, in both directions; and if not, the command that makes it. */
import { blocker, type Finding, note, warning } from '@lmas/plugin-api';
import { listed } from '../in-words.ts';
import { isThereAlready } from '../migration/plan.ts';
import { SERVICES, type Service } from '../routes/host-network.ts';
import { familyOf, hostPrefix, type KernelAddress, type StaticRoute } from '../routes/reckoning.ts';
import { waysOfPlan } from '../routes/temporary.ts';
import { canReachGateway, leadsToGateway, routeFor, type Way } from '../routes/ways.ts';
import type { CheckContext } from './types.ts';

export function checkRoutes(context: CheckContext): Finding[] {
  const { plan } = context;
  // One that is there already goes nowhere.
  if (plan.networks === undefined || isThereAlready(context.ends, plan)) return [];
  const ways = waysOfPlan(context.ends, plan);
  const inOneNetwork = ways.filter(({ now }) => now.kind === 'link');
  const findings = [
    ...[...Map.groupBy(inOneNetwork, ({ service }) => service)].map(([service, those]) =>
      sameNetwork(context, service, those),
    ),
    ...ways.filter((way) => !inOneNetwork.includes(way)).flatMap((way) => checkWay(context, way)),
  ];
  if (plan.request.tunnelled) findings.push(...checkProvisioning(context));
  return findings;
}

const hostOf = ({ plan }: CheckContext, end: Way['end']): string => plan.networks?.[end].host.record.name ?? end;

/** Once for all adapters of a service: mostly both ends see each other in their own network, and what to do is one thing. */
function sameNetwork(context: CheckContext, service: Service, ways: readonly Way[]): Finding {
  const seen = ways.map(
    ({ end, from, peer }) => `${adapterInWords(hostOf(context, end), service, from)} has ${peer} in its own network`,
  );
  return blocker(
    'SAME_NETWORK',
    `What is sent there passes no gateway: ${listed(seen, ', ')}.`,
    `Give the two sites ${service} networks of their own, or move without the tunnel (transport direct).`,
  );
}

function checkWay(context: CheckContext, way: Way): Finding[] {
  const { ends, plan } = context;
  const { end, service, from, peer, gateway, now } = way;
  const host = hostOf(context, end);
  const where = adapterInWords(host, service, from);
  if (gateway === undefined) {
    return [
      blocker(
        'NO_GATEWAY_ADDRESS',
        `Nobody has said at which address of ${peer}'s family the gateway is in the ${service} network of ${host}.`,
        `Set ${service}Gateway of the endpoint, or hypervisorAddress of the site; where there are adapters of both families, one to each.`,
      ),
    ];
  }
  if (leadsToGateway(way)) return [];
  const network = plan.networks?.[end];
  if (network !== undefined && !canReachGateway(way, network)) {
    return [blocker('GATEWAY_NOT_IN_NETWORK', ...gatewayNotInNetwork(gateway, where, service))];
  }
  const route = routeFor(way, ends[end].config);
  if (ends[end].config.routes === 'temporary') {
    if (now.kind === 'route' && route !== undefined && now.route.prefixLength >= route.prefixLength) {
      return [elsewhere(where, way, now.route)];
    }
    return [
      note(
        'ROUTE_IS_SET',
        `For this migration ${where} gets a route to ${peer} by way of ${gateway}.`,
        'It is taken away afterwards.',
      ),
    ];
  }
  const seen = 'gateway' in now ? `leads to ${now.gateway}, not to the gateway ${gateway}` : 'is missing';
  return [
    blocker(
      'ROUTE_MISSING',
      `At ${where} the route to ${peer} ${seen}.`,
      `On that host: ${command(way, gateway)} — then refresh the host in the vSphere Client; or set routes=temporary of the endpoint.`,
    ),
  ];
}

export const adapterInWords = (host: string, service: Service, { device, stack }: KernelAddress): string =>
  `${host} (${service}, ${device}, stack ${stack})`;

/** What is seen, and what to do. */
export const gatewayNotInNetwork = (gateway: string, where: string, service: Service) =>
  [
    `The gateway ${gateway} is in no network of ${where}, so no route there can lead to it.`,
    `Set ${service}Gateway of the endpoint to the gateway machine’s address in that network; if it has none there, give it one.`,
  ] as const;

const elsewhere = (where: string, { peer, gateway, from }: Way, route: StaticRoute): Finding =>
  blocker(
    'ROUTE_ELSEWHERE',
    `${where} has a route of its own to ${peer}, by way of ${route.gateway} and not of the gateway ${gateway}.`,
    `If nobody needs it, on that host: ${routeCommand('remove', from.stack, route)} — then refresh the host in the vSphere Client; else lead it to the gateway.`,
  );

/** As ESXi's own shell takes it. */
export const command = ({ from, peer }: Way, gateway: string): string =>
  routeCommand('add', from.stack, { network: peer, prefixLength: hostPrefix(peer), gateway });

const routeCommand = (verb: 'add' | 'remove', stack: string, { network, prefixLength, gateway }: StaticRoute): string =>
  `esxcli network ip route ${familyOf(network)} ${verb} --netstack=${stack} --network=${network}/${prefixLength} --gateway=${gateway}`;

/** Cold data goes its own way; without adapters of its own it takes the management network's. */
function checkProvisioning({ plan }: CheckContext): Finding[] {
  const { networks } = plan;
  const copies = plan.disks.some(({ copied }) => copied);
  if (networks === undefined || !copies) return [];
  const lacking = [networks.source, networks.destination].filter(
    ({ addresses }) => addresses.provisioning.length === 0,
  );
  if (lacking.length === 0) return [];
  const names = lacking.map(({ host }) => host.record.name).join(' and ');
  const verb = lacking.length > 1 ? 'have' : 'has';
  return [
    (plan.vm.record.snapshot === undefined ? note : warning)(
      'NO_PROVISIONING_NETWORK',
      `${names} ${verb} no adapter for provisioning, so cold data (TCP ${SERVICES.provisioning.port}) goes over management, past the gateways.`,
      'Give it one on the provisioning TCP/IP stack, and a route to the other site’s by way of the gateway.',
    ),
  ];
}
