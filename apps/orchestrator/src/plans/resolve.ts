/**
 * Makes a plan into VMs: each with where it runs, where it goes, and what its networks and disks are mapped to; and every
 * reason why that cannot be done, all at once. Pure: what the endpoints have comes from a survey.
 */
import type { VmSummary } from '@lmas/plugin-api';
import type { Issue } from '../errors.ts';
import { withMemoryFindings } from './memory.ts';
import { Placement, type PlacementIssue } from './placement.ts';
import { restOf } from './powered-off.ts';
import { ENDPOINT_SILENT, type PlanBody, type PlanItem, type PlanRun, type VmSelector } from './record.ts';
import { type Complain, type Found, select } from './select.ts';
import { hasAnswered, type Survey } from './survey.ts';

/** More would make a record that nobody can read, and that is written again with each step. */
export const MAX_VMS = 500;

export interface PlanIssue extends Issue {
  /** Nobody could be asked: another time it may be no reason any more. */
  readonly passes?: boolean;
  /** It is about an endpoint, told once, and no VM that is left out changes it. */
  readonly ofEndpoint?: boolean;
}

export interface Resolution {
  readonly items: readonly PlanItem[];
  readonly issues: readonly PlanIssue[];
  /** Endpoints that do not answer, which the plan leaves with what they have. */
  readonly silent: PlanRun['reasons'];
}

export function resolve(definition: PlanBody, survey: Survey): Resolution {
  const issues: PlanIssue[] = [];
  const silent: PlanRun['reasons'] = [];
  const items: PlanItem[] = [];
  const placement = new Placement(survey, definition.migration);
  const taken = new Map<string, string>();
  for (const [wave, { vms }] of definition.waves.entries()) {
    for (const [index, selector] of vms.entries()) {
      const path = `waves.${wave}.vms.${index}`;
      const complain = (message: string, at = '', passes = false) =>
        void issues.push({ path: `${path}${at}`, message, ...(passes ? { passes } : {}) });
      const refusePlace = ({ message, passes, ofEndpoint = false }: PlacementIssue): void => {
        if (!ofEndpoint) complain(message, '.destination', passes);
        else if (issues.every((issue) => issue.message !== message))
          issues.push({ path: `${path}.destination`, message, passes, ofEndpoint });
      };
      const leave = (endpoint: string, why: string) =>
        void silent.push({
          ...{ path: `${path}.source`, code: ENDPOINT_SILENT, endpoint },
          message: `${endpoint} cannot be asked: ${why}. What it has is left.`,
        });
      if (leadsBack(selector, survey)) {
        complain(`site ${selector.source} cannot be emptied into itself`, '.destination');
        continue;
      }
      for (const found of select(selector, { silent: definition.silent, survey, complain, leave })) {
        const { id, name } = found.vm;
        const former = taken.get(id);
        if (former !== undefined) {
          if (former === path) complain(`${name} runs at ${found.endpoint} as well; each VM moves once`, '', true);
          else complain(`${name} is in ${former} already; each VM moves once`);
          continue;
        }
        taken.set(id, path);
        const item = itemFor({ definition, survey, placement, complain, refusePlace }, wave, selector, found);
        if (item !== undefined) items.push(item);
      }
    }
  }
  if (items.length > MAX_VMS)
    issues.push({ path: 'waves', message: `name ${items.length} VMs; at most ${MAX_VMS} fit into one plan` });
  return { items: withMemoryFindings(items, definition, survey), issues, silent };
}

/** All of a site, sent to the site that they are at: they would only change places. */
function leadsBack(selector: VmSelector, { endpoints }: Survey): selector is Extract<VmSelector, { kind: 'site' }> {
  if (selector.kind !== 'site') return false;
  const { destination, source } = selector;
  return ('site' in destination ? destination.site : endpoints.get(destination.endpoint)?.site) === source;
}

interface Context {
  readonly definition: PlanBody;
  readonly survey: Survey;
  readonly placement: Placement;
  readonly complain: Complain;
  readonly refusePlace: (issue: PlacementIssue) => void;
}

function itemFor(context: Context, wave: number, selector: VmSelector, { endpoint, vm }: Found): PlanItem | undefined {
  const { definition, survey, placement, complain, refusePlace } = context;
  const source = survey.endpoints.get(endpoint);
  if (source === undefined) return undefined;
  const rest = restOf(vm, source, definition, survey);
  if (rest?.refusal !== undefined) {
    complain(rest.refusal);
    return undefined;
  }
  const stays = rest?.moves === false;
  // One that is off takes no memory there.
  const needs = rest === undefined ? vm : { ...vm, memoryBytes: 0 };
  const placed = stays ? { endpoint, issue: undefined } : placement.place(needs, source, selector.destination);
  if (placed.issue !== undefined) refusePlace(placed.issue);
  const destination = placed.endpoint === undefined ? undefined : survey.endpoints.get(placed.endpoint);
  if (destination === undefined) return undefined;
  const sites = { source: source.site, destination: destination.site };
  const disks = vm.disks.map(({ name, location }) => ({ name, location }));
  return {
    key: `${wave}/${vm.id}`,
    wave,
    vm: { id: vm.id, name: vm.name },
    source: { endpoint, site: source.site },
    destination: { endpoint: destination.id, site: destination.site },
    plugin: source.plugin,
    networkMap: stays ? {} : networksOf(context, selector, vm, { ...sites, endpoint: destination.id }),
    diskMap: stays ? {} : disksOf(definition, selector, disks, sites),
    keptDisks: selector.kind === 'vm' ? selector.mayReplace : [],
    disks,
    memoryBytes: vm.memoryBytes,
    powerState: rest?.moves === true ? 'off' : 'running',
    state: stays ? 'left' : 'waiting',
    migrations: [],
    findings: rest?.finding === undefined ? [] : [rest.finding],
    ...{
      checkedAt: null,
      prediction: null,
      sourceAfter: null,
      leftAt: null,
      rehearsal: null,
      error: null,
      startedAt: null,
      endedAt: null,
    },
  };
}

interface Way {
  readonly source: string;
  readonly destination: string;
}

/**
 * A plan that maps networks between two sites has to map all of them, or keep those that the destination has by that name. Those
 * that are kept stand in the map as well: the way back has to know them from those that became one with them.
 */
function networksOf(
  { definition, survey, complain }: Context,
  selector: VmSelector,
  vm: VmSummary,
  way: Way & { endpoint: string },
) {
  const own = selector.kind === 'vm' ? selector.networkMap : {};
  const mapping = definition.mappings.find(
    ({ source, destination }) => source === way.source && destination === way.destination,
  );
  const names = { ...mapping?.networks, ...own };
  const isMapped = Object.keys(names).length > 0;
  const there = survey.inventories.get(way.endpoint);
  const known = hasAnswered(there) ? there.networks : [];
  const missing = vm.networks.filter((name) => isMapped && names[name] === undefined && !known.includes(name));
  if (missing.length > 0) {
    complain(
      `the mapping from ${way.source} to ${way.destination} misses ${missing.join(', ')} of ${vm.name}`,
      '',
      !hasAnswered(there),
    );
  }
  const changes = vm.networks.some((name) => names[name] !== undefined);
  return changes ? Object.fromEntries(vm.networks.map((name) => [name, names[name] ?? name])) : {};
}

function disksOf(
  { mappings }: PlanBody,
  selector: VmSelector,
  disks: PlanItem['disks'],
  way: Way,
): Record<string, string> {
  const mapping = mappings.find(({ source, destination }) => source === way.source && destination === way.destination);
  const beginnings = Object.entries(mapping?.storage ?? {}).sort(([a], [b]) => b.length - a.length);
  const mapped = disks.flatMap(({ name, location }) => {
    const found = location === null ? undefined : beginnings.find(([beginning]) => location.startsWith(beginning));
    return found === undefined || location === null
      ? []
      : [[name, found[1] + location.slice(found[0].length)] as const];
  });
  return { ...Object.fromEntries(mapped), ...(selector.kind === 'vm' ? selector.diskMap : {}) };
}
