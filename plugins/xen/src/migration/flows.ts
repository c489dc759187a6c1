/** What the source will send, from where and to where. Pure. */
import type { Flow, MigrationRequest, Prepared, TransparentFlow } from '@lmas/plugin-api';
import { canonical } from '../addresses.ts';
import type { XenOptions } from '../config.ts';
import { addressesOf } from '../pool.ts';
import type { Plan } from './plan.ts';
import { FLOW, HTTP_PORT, HTTPS_PORT } from './receive-map.ts';

/** xapi opens a few connections for each disk, and xenopsd three for the guest; retries come on top. */
const MAX_STREAMS = 64;

/** @param address of the host that receives; @param coordinator the other one's, where it is to be relayed */
export function trafficOf(
  plan: Plan,
  { address, coordinator }: { readonly address: string; readonly coordinator: string | null },
  { options }: Pick<MigrationRequest<XenOptions>, 'options'>,
): Pick<Prepared, 'flows' | 'transparentFlows' | 'sourceAddresses'> {
  const sourceAddresses = senders(plan);
  if (options.route === 'redirected') return { flows: redirected(address, coordinator), sourceAddresses };
  const receiver = plan.host === undefined ? [] : addressesOf(plan.destinationPool, plan.host.record);
  const others = sourceAddresses.filter((source) => !receiver.includes(source));
  return { flows: [], transparentFlows: [intercepted(others, address)], sourceAddresses };
}

/** Where the source's calls to the coordinator shall be relayed, and another member receives: that one's address. */
export function relayedCoordinator(
  { destinationPool: { hosts, pool } }: Plan,
  address: string,
  { options }: Pick<MigrationRequest<XenOptions>, 'options'>,
): string | null {
  const coordinator = canonical(hosts.get(pool.master)?.address ?? '');
  const isRelayed = options.route === 'redirected' && options.relayCoordinator;
  return isRelayed && coordinator !== '' && coordinator !== address ? coordinator : null;
}

function redirected(address: string, coordinator: string | null): readonly Flow[] {
  const common = { maxStreams: MAX_STREAMS, priority: 'bulk', addressGroup: 'host' } as const;
  const flows: Flow[] = [
    { id: FLOW.hostTls, host: address, port: HTTPS_PORT, ...common },
    { id: FLOW.hostPlain, host: address, port: HTTP_PORT, ...common },
  ];
  if (coordinator === null) return flows;
  const small = { maxStreams: MAX_STREAMS, priority: 'interactive', addressGroup: 'coordinator' } as const;
  flows.push({ id: FLOW.coordinatorTls, host: coordinator, port: HTTPS_PORT, ...small });
  flows.push({ id: FLOW.coordinatorPlain, host: coordinator, port: HTTP_PORT, ...small });
  return flows;
}

/** All that the source sends to the receiving host, from whichever of its addresses; inside one pool that may be the coordinator itself. */
function intercepted(sourceAddresses: readonly string[], destination: string): TransparentFlow {
  const isSameFamily = (address: string): boolean => address.includes(':') === destination.includes(':');
  const pairs = sourceAddresses.filter(isSameFamily).map((source) => ({ source, destination }));
  return { id: FLOW.host, pairs, ports: [HTTPS_PORT, HTTP_PORT], maxStreams: MAX_STREAMS, priority: 'bulk' };
}

/** The hosts that open connections: the one that runs the guest, and the coordinator that works for it. */
function senders({ sourcePool, vm }: Plan): readonly string[] {
  const hosts = [vm.record.resident_on, sourcePool.pool.master].flatMap((ref) => sourcePool.hosts.get(ref) ?? []);
  return [...new Set(hosts.flatMap((host) => addressesOf(sourcePool, host)))];
}
