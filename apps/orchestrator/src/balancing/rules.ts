/**
 * Who may run where: pinned and ignored VMs, those that belong together and those that belong apart. Pure.
 */
import type { Projection } from './projection.ts';
import type { BalancingSettings, ObservedVm } from './types.ts';

export type Rules = BalancingSettings['rules'];
type Named = Pick<ObservedVm, 'id' | 'name' | 'labels'>;

/** What begins an entry that means all VMs that bear a label. */
const LABEL = 'label:';

/** Whether it may mean several VMs: who they are is known only when there are VMs. */
export const isPattern = (text: string): boolean => text.startsWith(LABEL) || text.includes('*');

/** @param pattern an id, a name, a name with `*` for anything, or `label:` and a label in the same way */
export function matches(pattern: string, { id, name, labels }: Named): boolean {
  if (pattern === id || pattern === name) return true;
  if (!pattern.startsWith(LABEL)) return isLike(pattern, name);
  return labels.some((label) => isLike(pattern.slice(LABEL.length), label));
}

/** Part by part, each as far to the left as it can be: a regular expression would try every other place as well. */
function isLike(pattern: string, text: string): boolean {
  const [first = '', ...parts] = pattern.split('*');
  const last = parts.pop();
  if (last === undefined) return pattern === text;
  const end = text.length - last.length;
  if (!text.startsWith(first) || !text.endsWith(last) || end < first.length) return false;
  let at = first.length;
  for (const part of parts) {
    const found = text.indexOf(part, at);
    if (found < 0 || found + part.length > end) return false;
    at = found + part.length;
  }
  return true;
}

/** Every entry, with where it stands. */
export function namedIn({ pinned, ignored, affinity, antiAffinity }: Rules): { path: string; pattern: string }[] {
  const lists: [string, readonly string[]][] = [
    ['rules.pinned', pinned],
    ['rules.ignored', ignored],
    ...affinity.map(({ vms }, index): [string, readonly string[]] => [`rules.affinity.${index}`, vms]),
    ...antiAffinity.map(({ vms }, index): [string, readonly string[]] => [`rules.antiAffinity.${index}`, vms]),
  ];
  return lists.flatMap(([path, patterns]) => [...new Set(patterns)].map((pattern) => ({ path, pattern })));
}

export const matchesAny = (patterns: readonly string[], vm: Named): boolean =>
  patterns.some((pattern) => matches(pattern, vm));

export const isIgnored = (rules: Rules, vm: Named): boolean => matchesAny(rules.ignored, vm);

const isMember = (rules: Rules, group: { readonly vms: readonly string[] }, vm: Named): boolean =>
  !isIgnored(rules, vm) && matchesAny(group.vms, vm);

/** The VM and everybody on the same host who has to come with it. */
export function unitOf(vm: ObservedVm, neighbours: readonly ObservedVm[], rules: Rules): ObservedVm[] {
  const unit = new Map([[vm.id, vm]]);
  for (const member of unit.values()) {
    for (const group of rules.affinity) {
      if (!isMember(rules, group, member)) continue;
      for (const other of neighbours) if (isMember(rules, group, other)) unit.set(other.id, other);
    }
  }
  return [...unit.values()];
}

/** How many pairs of VMs are not where their rules want them. */
export function violations(projection: Projection, rules: Rules): number {
  const members = (group: { readonly vms: readonly string[] }): number[] =>
    projection.endpoints.map((endpoint) => projection.vms(endpoint).filter((vm) => isMember(rules, group, vm)).length);
  const pairs = (n: number): number => (n * (n - 1)) / 2;
  const together = (counts: readonly number[]): number => counts.reduce((sum, n) => sum + pairs(n), 0);
  const all = (counts: readonly number[]): number => pairs(counts.reduce((sum, n) => sum + n, 0));
  const apart = rules.affinity.map(members).reduce((sum, counts) => sum + all(counts) - together(counts), 0);
  return rules.antiAffinity.map(members).reduce((sum, counts) => sum + together(counts), apart);
}

/** VMs that break a rule where they are now. */
export function offenders(
  projection: Projection,
  rules: Rules,
): { readonly vm: ObservedVm; readonly endpoint: string }[] {
  const placed = projection.endpoints.flatMap((endpoint) => projection.vms(endpoint).map((vm) => ({ vm, endpoint })));
  const found = new Map<string, { vm: ObservedVm; endpoint: string }>();
  for (const [kind, groups] of [['affinity', rules.affinity] as const, ['antiAffinity', rules.antiAffinity] as const]) {
    for (const group of groups) {
      const members = placed.filter(({ vm }) => isMember(rules, group, vm));
      for (const member of members) {
        const others = members.filter(({ vm }) => vm.id !== member.vm.id);
        const isWrong = others.some(({ endpoint }) => (endpoint === member.endpoint) === (kind === 'antiAffinity'));
        if (isWrong) found.set(member.vm.id, member);
      }
    }
  }
  return [...found.values()];
}
