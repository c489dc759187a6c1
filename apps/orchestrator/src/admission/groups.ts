/**
 * What a migration needs a place in: its project, if it has one, its two endpoints, its two sites, the link between them, and perhaps its
 * pair of hosts, or addresses of the gateway machine beside its source. Pure.
 *
 * A group is written `kind:id`. All migrations that need the same groups form one lane of the queue, named by them: if
 * its first one cannot start, none of the others can, so admission looks at the head of each lane and at no more.
 */
import type { Migration } from '../migrations/record.ts';

/** The whole installation: every migration needs a place in it, so it is in no lane's name. */
export const TOTAL = 'total';

export const projectGroup = (project: string): string => `project:${project}`;
export const siteGroup = (site: string): string => `site:${site}`;
export const endpointGroup = (endpoint: string): string => `endpoint:${endpoint}`;
export const linkGroup = (link: string): string => `link:${link}`;

export const pairOf = (a: string, b: string): string => [a, b].sort().join('~');

/** The link between two sites has one name, whoever is first. */
export const linkId = (site: string, other: string): string => pairOf(site, other);

export type GroupKind = 'total' | 'project' | 'site' | 'link' | 'endpoint' | 'host-pair' | 'gateway-address';

/**
 * A pair of hosts whose traffic can be intercepted. Through gateways a migration has it for itself, because two could not be told apart;
 * direct ones share it with each other, and wait for one that is intercepted as it does for them.
 */
const PAIR_ALONE = 'host-pair';
const PAIR_SHARED = 'host-pair-direct';

/** Hosts are named by plugins, in any characters; a group's name has no blank, colon or bar. */
export const hostPairOf = (a: string, b: string): string => pairOf(encodeURIComponent(a), encodeURIComponent(b));

export function parseGroup(group: string): { readonly kind: GroupKind; readonly id: string | null } {
  const [kind = TOTAL, id = null] = group.split(':');
  if (id === null) return { kind: kind as GroupKind, id };
  return { kind: kind === PAIR_SHARED ? PAIR_ALONE : (kind as GroupKind), id: decodeURIComponent(id) };
}

/** The groups that must be empty for a migration to take its place in this one, where there are such. */
export function excludedBy(group: string): string[] {
  const [kind, pair] = group.split(':');
  if (kind === PAIR_ALONE) return [group, `${PAIR_SHARED}:${pair}`];
  return kind === PAIR_SHARED ? [`${PAIR_ALONE}:${pair}`] : [];
}

/**
 * Addresses of a site's gateway machine: a hypervisor that fixes its ports has each of its own for itself. It is one place for each
 * address, so the lane of a migration that takes two names the group twice.
 */
export const addressGroup = (site: string): string => `gateway-address:${site}`;

/**
 * What only its check finds that a migration needs, as text: a pair of hosts (`hostPairOf`), or so many addresses. No pair has a colon.
 */
export type Need = string;
export const addressesNeed = (count: number): Need => `addresses:${count}`;
const ADDRESSES = /^addresses:(\d+)$/;

type Ends = Pick<Migration, 'project' | 'source' | 'destination'>;

/**
 * The lane of a migration. With `transparent`, its endpoints are hosts whose traffic gateways intercept; `need`: what its check has
 * found besides. `direct`: this one goes past the gateways. The project comes first: what waits of one stands together (`entriesOf`).
 */
export function laneOf(
  { project, source, destination }: Ends,
  { transparent, direct = false, need = null }: { transparent: boolean; direct?: boolean; need?: Need | null },
): string {
  const groups = new Set([endpointGroup(source.endpoint), endpointGroup(destination.endpoint)]);
  groups.add(siteGroup(source.site)).add(siteGroup(destination.site));
  if (source.site !== destination.site) groups.add(linkGroup(linkId(source.site, destination.site)));
  const count = Number(ADDRESSES.exec(need ?? '')?.[1] ?? 0);
  const pair = transparent ? pairOf(source.endpoint, destination.endpoint) : count > 0 ? null : need;
  if (pair !== null) groups.add(`${direct ? PAIR_SHARED : PAIR_ALONE}:${pair}`);
  const addresses = Array.from({ length: count }, () => addressGroup(source.site));
  const owner = project === null ? [] : [projectGroup(project)];
  return [...owner, ...[...groups, ...addresses].sort()].join(' ');
}

export const groupsOf = (lane: string): string[] => [TOTAL, ...lane.split(' ')];

export const MAX_PRIORITY = 100;
/** Longer than any clock: milliseconds since 1970 until the year 2248. A hundred of them fit a double exactly. */
const AGES = 2 ** 43;

/** Place in the order, as a number that sorts: the higher priority first, then the older. */
export function orderOf({ createdAt, request }: Pick<Migration, 'createdAt' | 'request'>): number {
  return (MAX_PRIORITY - request.priority) * AGES + Date.parse(createdAt);
}

const ORDER_DIGITS = 16;
const orderText = (order: number): string => String(order).padStart(ORDER_DIGITS, '0');

/** How an id stands among all that wait, as text that sorts. */
export const rankOf = (order: number, id: string): string => orderText(order) + id;

/** How an id stands among those of its lane; the text sorts as `order` does. `|` is in no group's name. */
export const laneEntry = (lane: string, order: number, id: string): string => `${lane}|${orderText(order)}|${id}`;

/** Between which two texts, both excluded, the entries of a project stand: its lanes name it first, and `!` comes next after the blank. */
export const entriesOf = (project: string): readonly [from: string, to: string] => {
  const group = projectGroup(project);
  return [`(${group} `, `(${group}!`];
};
