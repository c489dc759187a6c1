/**
 * The plan of an evacuation: everything that runs at a place, in one wave; and which others would move the same VMs. Pure.
 */
import type { z } from 'zod';
import type { evacuationInputSchema } from '../schemas/plan.ts';
import type { Endpoint } from '../sites/sites.ts';
import type { PlanBody, VmSelector } from './record.ts';

export function evacuationPlan(input: z.output<typeof evacuationInputSchema>): PlanBody {
  const { source, destination, except, first, order, concurrency, onFailure, mappings } = input;
  const { poweredOff, silent, memory, migration } = input;
  const which = { destination, except, first, order };
  const selector: VmSelector =
    'endpoint' in source
      ? { kind: 'host', source: source.endpoint, ...which }
      : { kind: 'site', source: source.site, ...which };
  const afterwards = { pauseMs: 0, approval: false, approveWithinMs: null, checks: [] };
  return {
    description: `Evacuation of ${'endpoint' in source ? source.endpoint : `site ${source.site}`}`,
    waves: [{ name: '', vms: [selector], concurrency, onFailure, afterwards }],
    ...{ mappings, poweredOff, silent, memory, migration, after: [], rtoMs: null },
    drill: { networks: {}, keepMs: 0 },
  };
}

type Place = { readonly endpoint: string } | { readonly site: string };
type AtSite = Pick<Endpoint, 'id' | 'site'>;

/** The endpoints of a place. */
export function endpointsAt(place: Place, endpoints: readonly AtSite[]): string[] {
  if ('endpoint' in place) return [place.endpoint];
  return endpoints.filter(({ site }) => site === place.site).map(({ id }) => id);
}

/** Of whoever empties a place, and brings back what was there: one at a time. No plan and no run is called that. */
export const seatOfPlace = (place: Place): string =>
  'endpoint' in place ? `endpoint/${place.endpoint}` : `site/${place.site}`;

/** Of those who empty a part of it, or what it is a part of. */
export function seatsAround(place: Place, endpoints: readonly AtSite[]): string[] {
  const around: Place[] =
    'endpoint' in place
      ? endpoints.filter(({ id }) => id === place.endpoint).map(({ site }) => ({ site }))
      : endpointsAt(place, endpoints).map((endpoint) => ({ endpoint }));
  return around.map(seatOfPlace);
}
