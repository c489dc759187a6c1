/**
 * The way back: of one VM, for a wave that is rolled back, and of a whole run, as a plan of its own. Pure.
 */
import { LmasError } from '../errors.ts';
import type { PlanBody, PlanItem, PlanRun } from './record.ts';

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

/**
 * The plan that takes a run back: the same waves in the same order, since what others need comes first on the way back as
 * well; each VM from where the run brought it to where it was.
 * @throws LmasError INVALID_PLAN with every reason why not
 */
export function reversePlan({ definition, items }: PlanRun): PlanBody {
  const arrived = items.filter(({ state }) => state === 'moved' || state === 'stuck');
  const reverses = arrived.map((item) => ({ item, reverse: reverseOf(item) }));
  const issues = reverses.flatMap(({ item, reverse }) =>
    'reason' in reverse ? [{ path: item.key, message: reverse.reason }] : [],
  );
  if (arrived.length === 0) issues.push({ path: 'items', message: 'nothing of it runs at its destination' });
  if (issues.length > 0) {
    throw new LmasError('INVALID_PLAN', issues.map(({ message }) => message).join('; '), { issues });
  }
  const waves = definition.waves.flatMap(({ name, concurrency, onFailure }, wave) => {
    const vms = reverses.flatMap(({ item, reverse }) => {
      if (item.wave !== wave || 'reason' in reverse) return [];
      const [source, destination] = [{ endpoint: item.destination.endpoint }, { endpoint: item.source.endpoint }];
      return [{ kind: 'vm' as const, vm: item.vm.id, source, destination, ...reverse, mayReplace: item.keptDisks }];
    });
    const afterwards = { pauseMs: 0, approval: false, checks: [] };
    return vms.length === 0 ? [] : [{ name, vms, concurrency, onFailure, afterwards }];
  });
  return {
    ...definition,
    waves,
    mappings: [],
    after: [],
    description: `Back: ${definition.description}`.slice(0, 2_000),
  };
}
