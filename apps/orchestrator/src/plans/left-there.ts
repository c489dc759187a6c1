/**
 * Disks that an earlier move of a VM has left where it goes now: a fail-back keeps them at the other site, and the next fail-over may copy
 * over those and nothing else. Read from the migrations themselves, whoever ordered them, so that it is the same for a plan that was
 * changed, a new run in place of a retry, and an evacuation. That no other VM uses one is looked at by the plugin besides.
 */
import type { Scope } from '../access/scope.ts';
import { isOutcome } from '../migrations/phases.ts';
import type { Migration } from '../migrations/record.ts';
import { inTurns } from './in-turns.ts';
import { keptIn } from './ordered-migrations.ts';
import type { PlanItem } from './record.ts';

type Reads = Pick<Scope['migrations'], 'list'>;

const AT_ONCE = 8;
/** Of one VM from or to one endpoint, the newest first: older ones say nothing any more. */
const LOOKED_THROUGH = 50;

/** What is to move, with what it may copy over there beside what its plan names. */
export async function withLeftThere(items: readonly PlanItem[], migrations: Reads): Promise<PlanItem[]> {
  const found = new Map<string, readonly string[]>();
  const moving = items.filter(({ state }) => state === 'waiting');
  await inTurns(moving, AT_ONCE, async ({ key, vm, destination: { endpoint } }) => {
    const { items: newest } = await migrations.list({ vm: vm.id, endpoint, limit: LOOKED_THROUGH });
    found.set(key, leftAt(endpoint, vm.id, newest));
  });
  return items.map((item) => {
    const keptDisks = [...new Set([...item.keptDisks, ...(found.get(item.key) ?? [])])];
    return { ...item, keptDisks };
  });
}

/**
 * Pure. Only what the newest move that came or went says counts: after one that brought the VM there, whatever lies there was used since,
 * and who has taken it from there left the disks as somebody else's.
 * @param newest of its migrations from or to the endpoint, the newest first
 */
export function leftAt(endpoint: string, vm: string, newest: readonly Migration[]): readonly string[] {
  for (const migration of newest) {
    const { purpose, phase, where, source } = migration;
    if (purpose === 'drill' || migration.vm.id !== vm) continue;
    if (!isOutcome(phase)) return [];
    if (migration.startedAt === null) continue;
    // It has moved nothing. One that was to leave here has found the VM here, which whoever brought it back may have run since.
    if (where === 'source' && source.endpoint === endpoint) return [];
    if (where === 'source') continue;
    return where === 'destination' && source.endpoint === endpoint ? keptIn(migration) : [];
  }
  return [];
}
