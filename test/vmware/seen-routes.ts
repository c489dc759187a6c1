/** The static routes of a host's vMotion stack, as its vCenter shows them. */
import assert from 'node:assert/strict';
import type { LocalVcenter } from '../lab/vsphere/vcenter.ts';

interface Route {
  readonly network: string;
  readonly prefixLength: number;
  readonly gateway: string;
}
interface Stack {
  readonly key: string;
  readonly ipRouteConfig?: { readonly defaultGateway?: string };
  readonly routeTableConfig?: Readonly<Partial<Record<'ipRoute' | 'ipv6Route', readonly { readonly route: Route }[]>>>;
}

/** `network/prefix via gateway`. */
export function routesAt({ endpoint }: LocalVcenter, host: string): string[] {
  const ref = endpoint.objects.byName('HostSystem', host);
  assert.ok(ref !== undefined);
  const stacks = endpoint.objects.at(ref, 'config.network.netStackInstance') as unknown as readonly Stack[];
  const { routeTableConfig } = stacks.find(({ key }) => key === 'vmotion') ?? { key: '' };
  const { ipRoute = [], ipv6Route = [] } = routeTableConfig ?? {};
  return [...ipRoute, ...ipv6Route]
    .filter(({ route }) => route.prefixLength > 0 && !['', '0.0.0.0', '::'].includes(route.gateway))
    .map(({ route: { network, prefixLength, gateway } }) => `${network}/${prefixLength} via ${gateway}`);
}
