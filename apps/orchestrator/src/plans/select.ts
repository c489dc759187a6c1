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
  const canLeave = selector.kind !== 'vm' && 'site' in sourceOf(selector);
  const way = canLeave ? ' (`silent: leave` goes on without what it has)' : '';
  const complainOfSilent = (): void => {
    for (const { endpoint, why } of silent) complain(`${endpoint} cannot be asked: ${why}${way}`, '.source', true);
  };
  if (selector.kind === 'vm') return selectOne(selector.vm, { found, endpoints, silent, complainOfSilent, complain });
  const isLeft = context.silent === 'leave' && canLeave;
  if (isLeft) for (const { endpoint, why } of silent) context.leave(endpoint, why);
  else complainOfSilent();
  const hosts = { isAny: endpoints.length > 0, isSilent: silent.length > 0 };
  return selectMany(selector, onePerVm(found), hosts, complain);
}

interface Places {
  readonly found: readonly Found[];
  readonly endpoints: readonly string[];
  readonly silent: readonly { readonly endpoint: string }[];
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
  if (only === undefined) {
    complainOfNone(name, { endpoints, silent, complain });
    return [];
  }
  const where = endpoints.join(', ');
  if (others.length > 0) complain(`there are several VMs ${name} at ${where}: name the endpoint, or the id`, '.vm');
  return others.length > 0 ? [] : [only];
}

/** Where some are silent, nobody can say that there is none; where all are, there is no more to say than that. */
function complainOfNone(
  name: string,
  { endpoints, silent, complain }: Pick<Places, 'endpoints' | 'silent' | 'complain'>,
): void {
  const heard = endpoints.filter((id) => silent.every(({ endpoint }) => endpoint !== id));
  if (heard.length === 0) return;
  const where = heard.join(', ');
  const message =
    silent.length === 0 ? `there is no VM ${name} at ${where}` : `${name} was not found at those that answer: ${where}`;
  complain(message, '.vm', silent.length > 0);
}

function selectMany(
  selector: ManySelector,
  all: readonly Found[],
  { isAny, isSilent }: { isAny: boolean; isSilent: boolean },
  complain: Complain,
): Found[] {
  const found =
    selector.kind === 'label' ? all.filter(({ vm: { labels = [] } }) => labels.includes(selector.label)) : all;
  if (selector.kind === 'label' && found.length === 0 && isAny)
    complain(`no VM bears the label ${selector.label}${whyNone(all)}`, '.label', isSilent);
  // What is not found may be at a host that does not answer.
  const mayBeThere = (name: string): boolean => isSilent || !isAny || found.some(({ vm }) => isCalled(vm, name));
  for (const name of selector.except) if (!mayBeThere(name)) complain(`there is no ${name} to except`, '.except');
  for (const name of selector.first) {
    if (selector.except.includes(name)) complain(`${name} cannot come first: it is excepted`, '.first');
    else if (!mayBeThere(name)) complain(`there is no ${name} to come first`, '.first');
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
