/**
 * The way back: of one VM, for a wave that is rolled back, and of a whole run, as a plan of its own. Pure.
 */
import type { z } from 'zod';
import { type Issue, LmasError } from '../errors.ts';
import { inShort } from '../in-short.ts';
import type { failBackInputSchema } from '../schemas/plan-run.ts';
import { isUnclear, type PlanBody, type PlanItem, type PlanRun } from './record.ts';

export type Reverse =
  | { readonly networkMap: Record<string, string>; readonly diskMap: Record<string, string> }
  /** Why there is none. */
  | { readonly reason: string };

export function reverseOf({ vm, networkMap, diskMap, disks }: PlanItem): Reverse {
  const networks = Object.entries(networkMap).map(([source, destination]) => [destination, source] as const);
  const twice = networks.find(([name], index) => networks.findIndex(([other]) => other === name) !== index);
  if (twice !== undefined) {
    return {
      reason: `${vm.name}: several of its networks became ${twice[0]}; which is which on the way back, nobody can tell`,
    };
  }
  const locations = Object.keys(diskMap).map(
    (name) => [name, disks.find((disk) => disk.name === name)?.location ?? null] as const,
  );
  const lost = locations.find(([, location]) => location === null);
  if (lost !== undefined) return { reason: `${vm.name}: where its disk ${lost[0]} was is not known` };
  return { networkMap: Object.fromEntries(networks), diskMap: Object.fromEntries(locations) as Record<string, string> };
}

/** What somebody who takes a run back leaves as it is. */
export type LeftOut = z.output<typeof failBackInputSchema>;

/**
 * The plan that takes a run back: the same waves in the same order, since what others need comes first on the way back as
 * well; each VM from where the run brought it to where it was.
 * @throws LmasError INVALID_PLAN with every reason why not
 */
export function reversePlan(run: PlanRun, { except, poweredOff }: LeftOut = { except: [] }): PlanBody {
  const { definition } = run;
  const stays = new Set(except);
  const isExcepted = ({ vm }: PlanItem) => stays.has(vm.id) || stays.has(vm.name);
  const arrived = run.items.filter(({ state }) => state === 'moved' || state === 'stuck');
  const reverses = arrived
    .filter((item) => !isExcepted(item))
    .map((item) => ({ item, reverse: isUnclear(item) ? unclear(item) : reverseOf(item) }));
  const lost = run.items.filter((item) => !arrived.includes(item) && isUnclear(item) && !isExcepted(item));
  const issues = [
    ...unknownNames(run, except),
    ...lost.map((item) => ({ path: item.key, message: unclear(item).reason })),
    ...reverses.flatMap(({ item, reverse }) =>
      'reason' in reverse ? [{ path: item.key, message: reverse.reason }] : [],
    ),
  ];
  if (reverses.length === 0) {
    issues.push({
      path: 'items',
      message: `nothing ${arrived.length > 0 ? 'else ' : ''}of it runs at its destination`,
    });
  }
  if (issues.length > 0) {
    throw new LmasError('INVALID_PLAN', issues.map(({ message }) => message).join('; '), { issues });
  }
  const waves = definition.waves.flatMap(({ name, concurrency, onFailure }, wave) => {
    const vms = reverses.flatMap(({ item, reverse }) => {
      if (item.wave !== wave || 'reason' in reverse) return [];
      const [source, destination] = [{ endpoint: item.destination.endpoint }, { endpoint: item.source.endpoint }];
      return [{ kind: 'vm' as const, vm: item.vm.id, source, destination, ...reverse, mayReplace: item.keptDisks }];
    });
    const afterwards = { pauseMs: 0, approval: false, approveWithinMs: null, checks: [] };
    return vms.length === 0 ? [] : [{ name, vms, concurrency, onFailure, afterwards }];
  });
  const without = [
    ...(except.length === 0 ? [] : [`without ${inShort(except)}`]),
    ...(poweredOff === 'leave' ? ['what is powered off is left'] : []),
  ];
  return {
    ...definition,
    waves,
    mappings: [],
    after: [],
    poweredOff: poweredOff ?? definition.poweredOff,
    description: `${['Back', ...without].join(', ')}: ${definition.description}`.slice(0, 2_000),
  };
}

const unclear = ({ vm }: PlanItem): { reason: string } => ({
  reason: `where ${vm.name} runs is not clear: settle that by hand, or leave it out (--except)`,
});

/** A name that is mistyped would bring back what was to stay. */
const unknownNames = ({ items }: PlanRun, except: readonly string[]): Issue[] =>
  except
    .filter((name) => items.every(({ vm }) => vm.id !== name && vm.name !== name))
    .map((name) => ({ path: 'except', message: `the run has no ${name} to except` }));
