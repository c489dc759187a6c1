/**
 * What the endpoints that a plan names have now: each is asked once, several at a time, and one that does not answer is
 * an answer, too. Where VMs that are off are moved, their neighbours are asked as well: what is off at one host may be what was
 * left over of a VM that runs at another.
 */
import type { HypervisorPlugin, Inventory } from '@lmas/plugin-api';
import { type Questions, withSession } from '../endpoints/questions.ts';
import { describeError } from '../errors.ts';
import type { Endpoint, EndpointStore, Site, SiteStore } from '../sites/sites.ts';
import { inTurns } from './in-turns.ts';
import { type PlanBody, sourceOf } from './record.ts';

export interface Survey {
  readonly endpoints: ReadonlyMap<string, Endpoint>;
  readonly sites: ReadonlySet<string>;
  /** By endpoint, for those that were asked. */
  readonly inventories: ReadonlyMap<string, Inventory | Unanswered>;
  /** Endpoints of those that have answered whose plugin moves VMs that are off; without it, none does. */
  readonly movesPoweredOff?: ReadonlySet<string>;
}
export interface Unanswered {
  readonly unanswered: string;
}
export const hasAnswered = (inventory: Inventory | Unanswered | undefined): inventory is Inventory =>
  inventory !== undefined && !('unanswered' in inventory);

/** What a survey needs of a caller's scope. */
export interface SurveyScope {
  readonly endpoints: Pick<EndpointStore, 'list'>;
  readonly sites: Pick<SiteStore, 'list'>;
  readonly questions: Questions;
}

const AT_ONCE = 8;
const EACH_MS = 20_000;

export async function survey(
  definition: Pick<PlanBody, 'waves' | 'poweredOff'>,
  { endpoints, sites, questions }: SurveyScope,
  { signal }: { signal: AbortSignal },
): Promise<Survey> {
  const [allEndpoints, allSites] = await Promise.all([endpoints.list(), sites.list()]);
  const known = new Map(allEndpoints.map((endpoint) => [endpoint.id, endpoint]));
  const asked = namedEndpoints(definition, allEndpoints).filter((id) => known.has(id));
  const inventories = new Map<string, Inventory | Unanswered>();
  const movesPoweredOff = new Set<string>();
  await inTurns(asked, AT_ONCE, async (id) => {
    const limited = AbortSignal.any([signal, AbortSignal.timeout(EACH_MS)]);
    const onPlugin = ({ capabilities }: HypervisorPlugin) => {
      if (capabilities.movesPoweredOff === true) movesPoweredOff.add(id);
    };
    inventories.set(id, await ask(questions, id, limited, onPlugin));
  });
  signal.throwIfAborted();
  return { endpoints: known, sites: new Set(allSites.map(({ id }: Site) => id)), inventories, movesPoweredOff };
}

/** Never throws: that nobody answers is worth knowing. */
export async function ask(
  questions: Questions,
  id: string,
  signal: AbortSignal,
  onPlugin: (plugin: HypervisorPlugin) => void = () => undefined,
): Promise<Inventory | Unanswered> {
  try {
    return await withSession(questions, id, { signal }, async (session, plugin) => {
      onPlugin(plugin);
      return await session.inventory({ signal });
    });
  } catch (error) {
    if (signal.aborted) return { unanswered: 'it does not answer in time' };
    return { unanswered: withoutName(describeError(error).message, id) };
  }
}

/** Of an error that names its endpoint in front: whoever tells of it has named it, and goes on behind it. */
const withoutName = (message: string, id: string): string =>
  (message.startsWith(`${id}: `) ? message.slice(id.length + 2) : message).replace(/\.$/, '');

function namedEndpoints(
  { waves, poweredOff }: Pick<PlanBody, 'waves' | 'poweredOff'>,
  endpoints: readonly Endpoint[],
): string[] {
  const ofSite = (site: string) => endpoints.filter((endpoint) => endpoint.site === site).map(({ id }) => id);
  const at = (place: { endpoint: string } | { site: string }) =>
    'endpoint' in place ? [place.endpoint] : ofSite(place.site);
  const neighbours = (id: string) => endpoints.filter((one) => one.id === id).flatMap(({ site }) => ofSite(site));
  const named = waves.flatMap(({ vms }) =>
    vms.flatMap((selector) => {
      const sources = at(sourceOf(selector));
      const beside = poweredOff === 'move' ? sources.flatMap(neighbours) : [];
      return [...sources, ...at(selector.destination), ...beside];
    }),
  );
  return [...new Set(named)];
}
