/**
 * Everything that is wrong with a policy, all at once, before it is stored. Pure; what exists is told by the caller.
 */
import type { VmSummary } from '@lmas/plugin-api';
import type { Issue } from '../errors.ts';
import { openingComplaints, periodComplaints } from '../time/period-complaints.ts';
import { isPattern, namedIn } from './rules.ts';
import type { BalancingPolicy, BalancingSettings } from './types.ts';
import { RESOURCES } from './types.ts';

export interface Known {
  /** Endpoint → its plugin, of those that are registered. */
  readonly plugins: ReadonlyMap<string, string>;
  /** The other policies. */
  readonly others: readonly Pick<BalancingPolicy, 'id' | 'mode' | 'endpoints'>[];
  /** All VMs of its endpoints; undefined: one of these does not answer. */
  readonly vms: readonly Pick<VmSummary, 'id' | 'name'>[] | undefined;
  /** What it was before: names in its rules were right when they were written. */
  readonly before?: Pick<BalancingSettings, 'rules'> | undefined;
  readonly nowMs: number;
}

const complaint = (path: string, message: string): Issue => ({ path, message });

export function complaintsAbout(settings: BalancingSettings, known: Known): Issue[] {
  return [
    ...aboutEndpoints(settings, known.plugins),
    ...aboutOthers(settings, known),
    ...aboutResources(settings),
    ...aboutLimits(settings),
    ...aboutRules(settings),
    ...aboutCrowds(settings),
    ...aboutNames(settings, known),
    ...aboutWindows(settings, known.nowMs),
  ];
}

/** Names in its rules that mean one VM each, and were not there before. */
export function newNamesIn({ rules }: BalancingSettings, before: Known['before']): { path: string; pattern: string }[] {
  const former = new Set(before === undefined ? [] : namedIn(before.rules).map(({ pattern }) => pattern));
  return namedIn(rules).filter(({ pattern }) => !isPattern(pattern) && !former.has(pattern));
}

function aboutNames(settings: BalancingSettings, { vms, before }: Known): Issue[] {
  if (vms === undefined) return [];
  const has = (name: string): boolean => vms.some((vm) => vm.id === name || vm.name === name);
  return newNamesIn(settings, before)
    .filter(({ pattern }) => !has(pattern))
    .map(({ path, pattern }) => complaint(path, `None of the endpoints has a VM ${pattern}.`));
}

/** Two that move VMs between the same hosts would undo what the other one does. */
function aboutOthers({ mode, endpoints }: BalancingSettings, { others }: Known): Issue[] {
  if (mode === 'explain') return [];
  const moving = others.filter((other) => other.mode !== 'explain');
  return [...new Set(endpoints)].flatMap((endpoint) => {
    const other = moving.find((each) => each.endpoints.includes(endpoint));
    return other === undefined ? [] : [complaint('endpoints', `${endpoint} is balanced by ${other.id} already.`)];
  });
}

function aboutWindows(settings: BalancingSettings, nowMs: number): Issue[] {
  const { passes, windows, blackouts } = settings;
  if (passes === 'asked' && windows.length + blackouts.length > 0)
    return [
      complaint('windows', 'Its passes are made when somebody asks: give the windows to the schedule that does.'),
    ];
  return [...periodComplaints(settings), ...openingComplaints(settings, nowMs)];
}

function aboutEndpoints({ endpoints }: BalancingSettings, plugins: ReadonlyMap<string, string>): Issue[] {
  const found: Issue[] = [];
  for (const id of new Set(endpoints)) {
    if (!plugins.has(id)) found.push(complaint('endpoints', `There is no endpoint ${id}.`));
  }
  for (const id of repeated(endpoints)) found.push(complaint('endpoints', `${id} is named twice.`));
  if (new Set(endpoints).size < 2)
    found.push(complaint('endpoints', 'Between fewer than two nothing can be balanced.'));
  const known = [...new Set(endpoints)].filter((id) => plugins.has(id));
  for (const id of known) {
    const isAlone = known.every((other) => other === id || plugins.get(other) !== plugins.get(id));
    if (isAlone && known.length > 1) {
      found.push(complaint('endpoints', `${id} is the only one of plugin ${plugins.get(id)}: its VMs can go nowhere.`));
    }
  }
  return found;
}

function aboutResources(settings: BalancingSettings): Issue[] {
  const found: Issue[] = [];
  for (const resource of RESOURCES) {
    const { high, low } = settings[resource];
    if (low >= high) found.push(complaint(`${resource}.low`, `low (${low}) has to be below high (${high}).`));
  }
  if (RESOURCES.every((resource) => settings[resource].weight === 0)) {
    found.push(complaint('cpu.weight', 'One of cpu, memory and network has to count for something.'));
  }
  const { networkCapacityBytesPerSec: capacities, endpoints } = settings;
  for (const id of Object.keys(capacities)) {
    if (!endpoints.includes(id)) {
      found.push(complaint(`networkCapacityBytesPerSec.${id}`, 'This is not one of the endpoints.'));
    }
  }
  const without = endpoints.filter((id) => settings.network.weight > 0 && capacities[id] === undefined);
  for (const id of new Set(without)) {
    found.push(complaint(`networkCapacityBytesPerSec.${id}`, 'The network counts, so what it carries has to be said.'));
  }
  return found;
}

function aboutLimits({ maxConcurrent, maxMovesPerHour, intervalMs, measureMs }: BalancingSettings): Issue[] {
  return [
    ...(maxConcurrent > maxMovesPerHour
      ? [complaint('maxConcurrent', `More at once (${maxConcurrent}) than in an hour (${maxMovesPerHour}).`)]
      : []),
    ...(measureMs > intervalMs ? [complaint('measureMs', 'It is longer than from one pass to the next.')] : []),
  ];
}

/** Of VMs that are named outright; what a pattern means is known only when there are VMs. */
function aboutRules({ rules, endpoints }: BalancingSettings): Issue[] {
  const found: Issue[] = [];
  const { pinned, ignored, affinity, antiAffinity } = rules;
  for (const vm of pinned.filter((each) => ignored.includes(each))) {
    found.push(complaint('rules.ignored', `${vm} is pinned and ignored.`));
  }
  const hosts = new Set(endpoints).size;
  for (const [index, { vms }] of antiAffinity.entries()) {
    const path = `rules.antiAffinity.${index}`;
    for (const vm of repeated(vms)) found.push(complaint(path, `${vm} cannot run on another host than itself.`));
    const named = new Set(vms.filter((vm) => !isPattern(vm)));
    if (named.size > hosts) {
      found.push(complaint(path, `${named.size} VMs cannot run on different ones of ${hosts} hosts.`));
    }
    if (vms.length < 2 && named.size === vms.length) found.push(complaint(path, 'One VM alone is no group.'));
  }
  for (const [index, { vms }] of affinity.entries()) {
    const path = `rules.affinity.${index}`;
    for (const vm of repeated(vms)) found.push(complaint(path, `${vm} is named twice.`));
    if (vms.length < 2 && !vms.some(isPattern)) found.push(complaint(path, 'One VM alone is no group.'));
  }
  for (const vm of new Set([...affinity, ...antiAffinity].flatMap(({ vms }) => vms))) {
    if (ignored.includes(vm)) found.push(complaint('rules.ignored', `${vm} is ignored, and a group names it.`));
  }
  return [...found, ...contradictions(rules)];
}

/** Who moves together has to fit into the limits, or none of them would ever move. */
function aboutCrowds({ rules: { affinity }, maxConcurrent, maxMovesPerHour }: BalancingSettings): Issue[] {
  const leaderOf = leadersIn(affinity);
  const named = new Set(affinity.flatMap(({ vms }) => vms.filter((vm) => !isPattern(vm))));
  return Object.values(Object.groupBy(named, leaderOf)).flatMap((crowd = []) => {
    const path = `rules.affinity.${affinity.findIndex(({ vms }) => crowd.some((vm) => vms.includes(vm)))}`;
    const told = (limit: string) => complaint(path, `${crowd.length} VMs that move together need ${limit}.`);
    return [
      ...(crowd.length > maxConcurrent ? [told(`maxConcurrent of as many (${maxConcurrent})`)] : []),
      ...(crowd.length > maxMovesPerHour ? [told(`maxMovesPerHour of as many (${maxMovesPerHour})`)] : []),
    ];
  });
}

/** One of each who belong together, directly or through others, to know them by. */
function leadersIn(affinity: BalancingSettings['rules']['affinity']): (vm: string) => string {
  const leaders = new Map<string, string>();
  const leaderOf = (vm: string): string => {
    let leader = vm;
    for (let above = leaders.get(leader); above !== undefined; above = leaders.get(leader)) leader = above;
    if (leader !== vm) leaders.set(vm, leader);
    return leader;
  };
  for (const { vms } of affinity) {
    const [first, ...others] = vms.map(leaderOf);
    for (const leader of others) {
      const [a, b] = [leaderOf(first ?? leader), leaderOf(leader)];
      if (a !== b) leaders.set(b, a);
    }
  }
  return leaderOf;
}

/** Who belongs together and apart as well. */
function contradictions({ affinity, antiAffinity }: BalancingSettings['rules']): Issue[] {
  const leaderOf = leadersIn(affinity);
  return antiAffinity.flatMap(({ vms }, index) => {
    const together = Object.values(Object.groupBy(new Set(vms), leaderOf));
    return together.flatMap((group = []) => {
      const [last, ...others] = group.toReversed();
      if (others.length === 0) return [];
      const names = `${others.reverse().join(', ')} and ${last}`;
      return [complaint(`rules.antiAffinity.${index}`, `${names} belong together by rules.affinity.`)];
    });
  });
}

function repeated(items: readonly string[]): Set<string> {
  const once = new Set<string>();
  return new Set(items.filter((item) => once.size === once.add(item).size));
}
