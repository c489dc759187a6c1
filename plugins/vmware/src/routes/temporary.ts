/** The static routes of one migration: which are missing, and that they are set where the endpoint wants them set. */
import { type MigrationContext, PluginError, type PluginResource } from '@lmas/plugin-api';
import type { Options } from '../client.ts';
import type { Ends, Plan } from '../migration/plan.ts';
import { contains } from './reckoning.ts';
import { routeResource, setRoute } from './static-routes.ts';
import { gatewayAddresses, leadsToGateway, routeFor, type Way, waysOf } from './ways.ts';

/** What every way of the migration's connections looks like now. Only for what goes through the tunnel. */
export function waysOfPlan({ source, destination }: Ends, { networks, request, disks }: Plan): Way[] {
  if (networks === undefined || !request.tunnelled) return [];
  const configs = { source: source.config, destination: destination.config };
  const ways = waysOf(networks, gatewayAddresses(configs, request.tunnel));
  // Where no disk is copied, nothing goes over the provisioning network.
  return disks.some(({ copied }) => copied) ? ways : ways.filter(({ service }) => service === 'vmotion');
}

/** @throws PluginError INCOMPATIBLE where a way leads elsewhere and may not be changed */
export async function setTemporaryRoutes(
  ends: Ends,
  plan: Plan,
  context: MigrationContext,
  options: Options,
): Promise<void> {
  for (const way of missingWays(waysOfPlan(ends, plan))) {
    if (ends[way.end].config.routes !== 'temporary') {
      throw new PluginError('INCOMPATIBLE', `At the ${way.end}, packets to ${way.peer} do not pass the gateway.`, {
        remedy: 'Check the migration to see which route is missing.',
      });
    }
  }
  for (const resource of temporaryRoutes(ends, plan)) {
    await context.assertCurrent();
    await setRoute(ends[resource.end].client, resource, context, options);
  }
}

/** A way that leads to the gateway by a static route may do so only as long as another migration holds that route. */
function temporaryRoutes(ends: Ends, plan: Plan): PluginResource[] {
  const wanted = new Map<string, PluginResource>();
  for (const way of waysOfPlan(ends, plan)) {
    const { config, client } = ends[way.end];
    const host = plan.networks?.[way.end].host;
    const route = routeFor(way, config);
    if (config.routes !== 'temporary' || route === undefined || host === undefined || way.now.kind === 'link') continue;
    if (leadsToGateway(way) && !isThatRoute(way, route)) continue; // a wider one, or the default gateway, leads there for good
    const { about } = client.content;
    const hostRoute = { ...route, host: host.ref, hostName: host.record.name };
    const leadsToBarrier = plan.request.options.encryption === 'disable';
    const resource = routeResource(way.end, about.instanceUuid ?? about.fullName, hostRoute, { leadsToBarrier });
    wanted.set(`${resource.end} ${resource.id}`, resource);
  }
  return [...wanted.values()];
}

const isThatRoute = ({ now }: Way, { network, prefixLength }: { network: string; prefixLength: number }): boolean =>
  now.kind === 'route' && now.route.prefixLength === prefixLength && contains(now.route, network);

export const missingWays = (ways: readonly Way[]): readonly Way[] => ways.filter((way) => !leadsToGateway(way));
