/**
 * What a migration needs a place in: its two endpoints, its two sites, the link between them. Pure.
 *
 * A group is written `kind:id`. All migrations that need the same groups form one lane of the queue, named by them: if
 * its first one cannot start, none of the others can, so admission looks at the head of each lane and at no more.
 */
import type { Migration } from '../migrations/record.ts';

/** The whole installation: every migration needs a place in it, so it is in no lane's name. */
export const TOTAL = 'total';

export const siteGroup = (site: string): string => `site:${site}`;
export const endpointGroup = (endpoint: string): string => `endpoint:${endpoint}`;
export const linkGroup = (link: string): string => `link:${link}`;

const pairOf = (a: string, b: string): string => [a, b].sort().join('~');

/** The link between two sites has one name, whoever is first. */
export const linkId = (site: string, other: string): string => pairOf(site, other);

export type GroupKind = 'total' | 'site' | 'link' | 'endpoint' | 'host-pair';

export function parseGroup(group: string): { readonly kind: GroupKind; readonly id: string | null } {
  const [kind = TOTAL, id = null] = group.split(':');
  return { kind: kind as GroupKind, id };
}

type Ends = Pick<Migration, 'source' | 'destination'>;

/**
 * The lane of a migration. With `transparent`, the gateways intercept by address, and two migrations between the same two
 * hosts could not be told apart: the pair of hosts is a group of its own, with one place, always.
 */
export function laneOf({ source, destination }: Ends, { transparent }: { transparent: boolean }): string {
  const groups = new Set([endpointGroup(source.endpoint), endpointGroup(destination.endpoint)]);
  groups.add(siteGroup(source.site)).add(siteGroup(destination.site));
  if (source.site !== destination.site) groups.add(linkGroup(linkId(source.site, destination.site)));
  if (transparent) groups.add(`host-pair:${pairOf(source.endpoint, destination.endpoint)}`);
  return [...groups].sort().join(' ');
}

export const groupsOf = (lane: string): string[] => [TOTAL, ...lane.split(' ')];

export const MAX_PRIORITY = 100;
/** Longer than any clock: milliseconds since 1970 until the year 2248. A hundred of them fit a double exactly. */
const AGES = 2 ** 43;

/** Place in the order, as a number that sorts: the higher priority first, then the older. */
export function orderOf({ createdAt, request }: Pick<Migration, 'createdAt' | 'request'>): number {
  return (MAX_PRIORITY - request.priority) * AGES + Date.parse(createdAt);
}

/** How an id stands among those of its lane; the text sorts as `order` does. `|` is in no group's name. */
export const laneEntry = (lane: string, order: number, id: string): string =>
  `${lane}|${String(order).padStart(16, '0')}|${id}`;
