/** The static routes of one migration: which are missing, and that they are set where the endpoint wants them set. */
import { type MigrationContext, PluginError, type PluginResource } from '@lmas/plugin-api';
import type { Options } from '../client.ts';
import type { Ends, Plan } from '../migration/plan.ts';
import { contains, networkOf, type StaticRoute } from './reckoning.ts';
import { joinRoute, routeResource, setRoute } from './static-routes.ts';
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
  for (const { own, other } of temporaryRoutes(ends, plan)) {
    await context.assertCurrent();
    const { client } = ends[own.end];
    if (other !== undefined && (await joinRoute(client, other, context, options))) continue;
    await setRoute(client, own, context, options);
  }
}

interface Wanted {
  /** As the endpoint wants it. */
  readonly own: PluginResource;
  /** One of another width that leads there now: another migration's, with which it will go, or somebody's for good. */
  readonly other: PluginResource | undefined;
}

/** A way that leads to the gateway by a static route may do so only as long as another migration holds that route. */
function temporaryRoutes(ends: Ends, plan: Plan): Wanted[] {
  const wanted = new Map<string, Wanted>();
  for (const way of waysOfPlan(ends, plan)) {
    const { config, client } = ends[way.end];
    const host = plan.networks?.[way.end].host;
    const route = routeFor(way, config);
    if (config.routes !== 'temporary' || route === undefined || host === undefined || way.now.kind === 'link') continue;
    if (leadsToGateway(way) && way.now.kind === 'default') continue; // which no migration sets
    const { about } = client.content;
    const at = { stack: route.stack, host: host.ref, hostName: host.record.name };
    const leadsToBarrier = plan.request.options.encryption === 'disable';
    const resourceOf = (each: StaticRoute): PluginResource =>
      routeResource(way.end, about.instanceUuid ?? about.fullName, { ...each, ...at }, { leadsToBarrier });
    const own = resourceOf(route);
    const led = routeOfAnotherWidth(way, route);
    const other = led === undefined ? undefined : resourceOf(led);
    wanted.set(`${way.end} ${own.id} ${other?.id}`, { own, other });
  }
  return [...wanted.values()];
}

/** As whoever has set it names its network. */
function routeOfAnotherWidth(way: Way, { network, prefixLength }: StaticRoute): StaticRoute | undefined {
  if (!leadsToGateway(way) || way.now.kind !== 'route') return undefined;
  const { route } = way.now;
  if (route.prefixLength === prefixLength && contains(route, network)) return undefined;
  return { ...route, network: networkOf(way.peer, route.prefixLength) };
}

export const missingWays = (ways: readonly Way[]): readonly Way[] => ways.filter((way) => !leadsToGateway(way));
