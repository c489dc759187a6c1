/** The routes that a transparent move needs at the hosts themselves. XAPI does not tell them, so they are named. Pure. */
import { isIP } from 'node:net';
import { type Finding, note } from '@lmas/plugin-api';
import { isRedirected } from '../migration/call.ts';
import { trafficOf } from '../migration/flows.ts';
import type { CheckContext } from './types.ts';

export function checkRoutes({ plan, request }: CheckContext): Finding[] {
  if (!request.tunnelled || isRedirected(request) || plan.address === undefined) return [];
  const { transparentFlows = [] } = trafficOf(plan, { address: plan.address, coordinator: null }, request);
  const pairs = transparentFlows.flatMap(({ pairs: some }) => some);
  if (pairs.length === 0) return [];
  const via = (end: 'source' | 'destination', family: 4 | 6): string => {
    const known = request.tunnel?.nextHops[end] ?? '';
    return isIP(known) === family ? known : 'GATEWAY';
  };
  const commands = (to: readonly string[], end: 'source' | 'destination'): string =>
    [...new Set(to)].map((address) => routeCommand(address, (family) => via(end, family))).join('; ');
  const there = commands(
    pairs.map(({ destination }) => destination),
    'source',
  );
  const back = commands(
    pairs.map(({ source }) => source),
    'destination',
  );
  return [
    note(
      'HOST_ROUTES_NEEDED',
      'The transparent route needs host routes by way of the gateway machines; XAPI does not tell whether they are there.',
      `At the source’s host and coordinator: ${there}. At the receiving host: ${back}. Or take route=redirected, which needs none.`,
    ),
  ];
}

function routeCommand(address: string, via: (family: 4 | 6) => string): string {
  return isIP(address) === 6
    ? `ip -6 route add ${address}/128 via ${via(6)}`
    : `ip route add ${address}/32 via ${via(4)}`;
}
