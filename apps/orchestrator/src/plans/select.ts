/**
 * The VMs that a selector means, in the order in which they move, or why that cannot be told. Pure: what the endpoints have comes
 * from a survey.
 */
import type { VmSummary } from '@lmas/plugin-api';
import { type PlanBody, sourceOf, type VmSelector } from './record.ts';
import { hasAnswered, type Survey } from './survey.ts';

export interface Found {
  readonly endpoint: string;
  readonly vm: VmSummary;
}

export type Complain = (message: string, at?: string, passes?: boolean) => void;

interface Context extends Pick<PlanBody, 'silent'> {
  readonly survey: Survey;
  readonly complain: Complain;
  /** What an endpoint has that does not answer stays out of it, as the plan says. */
  readonly leave: (endpoint: string, why: string) => void;
}

type ManySelector = Exclude<VmSelector, { kind: 'vm' }>;

export function select(selector: VmSelector, context: Context): Found[] {
  const { survey, complain } = context;
  const endpoints = endpointsOf(sourceOf(selector), survey, complain);
  const silent: { endpoint: string; why: string }[] = [];
  const found: Found[] = [];
  for (const endpoint of endpoints) {
    const inventory = survey.inventories.get(endpoint);
    if (hasAnswered(inventory)) found.push(...inventory.vms.map((vm) => ({ endpoint, vm })));
    else silent.push({ endpoint, why: inventory?.unanswered ?? 'it was not' });
  }
  const complainOfSilent = (): void => {
    for (const { endpoint, why } of silent) complain(`${endpoint} cannot be asked: ${why}`, '.source', true);
  };
  if (selector.kind === 'vm') return selectOne(selector.vm, { found, endpoints, silent, complainOfSilent, complain });
  const isLeft = context.silent === 'leave' && 'site' in sourceOf(selector);
  if (isLeft) for (const { endpoint, why } of silent) context.leave(endpoint, why);
  else complainOfSilent();
  const hosts = { isAny: endpoints.length > 0, isSilent: silent.length > 0, isLeft };
  return selectMany(selector, onePerVm(found), hosts, complain);
}

interface Places {
  readonly found: readonly Found[];
  readonly endpoints: readonly string[];
  readonly silent: readonly unknown[];
  readonly complainOfSilent: () => void;
  readonly complain: Complain;
}

function selectOne(name: string, { found, endpoints, silent, complainOfSilent, complain }: Places): Found[] {
  const called = found.filter(({ vm }) => isCalled(vm, name));
  // One that is defined at several hosts of a cluster runs at one of them.
  const running = called.filter(isRunning);
  // Who sees it run knows what the silent ones could have told.
  if (running.length === 0) complainOfSilent();
  const [only, ...others] = running.length > 0 ? running : called;
  const where = endpoints.join(', ');
  if (only === undefined) {
    if (endpoints.length > 0) complain(`there is no VM ${name} at ${where}`, '.vm', silent.length > 0);
    return [];
  }
  if (others.length > 0) complain(`there are several VMs ${name} at ${where}: name the endpoint, or the id`, '.vm');
  return others.length > 0 ? [] : [only];
}

function selectMany(
  selector: ManySelector,
  all: readonly Found[],
  { isAny, isSilent, isLeft }: { isAny: boolean; isSilent: boolean; isLeft: boolean },
  complain: Complain,
): Found[] {
  const found =
    selector.kind === 'label' ? all.filter(({ vm: { labels = [] } }) => labels.includes(selector.label)) : all;
  if (selector.kind === 'label' && found.length === 0 && isAny)
    complain(`no VM bears the label ${selector.label}${whyNone(all)}`, '.label', isSilent);
  // What is not found may be at a host that does not answer, and is left with it.
  const isThere = (name: string): boolean => (isSilent && isLeft) || found.some(({ vm }) => isCalled(vm, name));
  for (const name of selector.except) if (!isThere(name)) complain(`there is no ${name} to except`, '.except', true);
  for (const name of selector.first) {
    if (selector.except.includes(name)) complain(`${name} cannot come first: it is excepted`, '.first');
    else if (!isThere(name)) complain(`there is no ${name} to come first`, '.first', true);
  }
  const stays = new Set(selector.except);
  return inOrder(
    selector,
    found.filter(({ vm: { id, name } }) => !stays.has(id) && !stays.has(name)),
  );
}

/** As people count: web-2 before web-10. */
const byName = new Intl.Collator('en', { numeric: true });

function inOrder({ first, order }: Pick<ManySelector, 'first' | 'order'>, found: readonly Found[]): Found[] {
  const place = ({ vm }: Found): number => {
    const at = first.findIndex((name) => isCalled(vm, name));
    return at < 0 ? first.length : at;
  };
  const sign = { name: 0, smallest: 1, largest: -1 }[order];
  return [...found].sort(
    (a, b) =>
      place(a) - place(b) ||
      sign * (a.vm.memoryBytes - b.vm.memoryBytes) ||
      byName.compare(a.vm.name, b.vm.name) ||
      byName.compare(a.vm.id, b.vm.id),
  );
}

/** A VM that several hosts of a cluster define is the one that runs; several that run are all told of. */
function onePerVm(found: readonly Found[]): Found[] {
  return [...Map.groupBy(found, ({ vm }) => vm.id).values()].flatMap((copies) => {
    const running = copies.filter(isRunning);
    return running.length > 0 ? running : copies.slice(0, 1);
  });
}

const isRunning = ({ vm }: Found): boolean => vm.presence === 'running';

/** Where VMs have no such thing, waiting for one that bears it is in vain. */
const whyNone = (found: readonly Found[]): string =>
  found.length > 0 && found.every(({ vm }) => vm.labels === undefined)
    ? ': the VMs of that hypervisor have none; choose them by name, host or site'
    : '';

const isCalled = ({ id, name }: VmSummary, text: string): boolean => id === text || name === text;

function endpointsOf(place: { endpoint: string } | { site: string }, survey: Survey, complain: Complain): string[] {
  if ('endpoint' in place) {
    if (survey.endpoints.has(place.endpoint)) return [place.endpoint];
    complain(`there is no endpoint ${place.endpoint}`, '.source');
    return [];
  }
  if (!survey.sites.has(place.site)) complain(`there is no site ${place.site}`, '.source');
  return [...survey.endpoints.values()].filter(({ site }) => site === place.site).map(({ id }) => id);
}
