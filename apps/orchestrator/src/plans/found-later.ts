/**
 * A run ends, and of some of its VMs nobody knows where they run: their migrations look on (workflow/settle-late.ts). What those say by now
 * counts before anything is tried again or taken back: a VM that has arrived after all is not looked for at its source, and goes back with the
 * others. Pure.
 */
import { isOutcome } from '../migrations/phases.ts';
import { isUndecided, type Migration } from '../migrations/record.ts';
import { keptIn } from './ordered-migrations.ts';
import { isLost, isUnclear, type PlanItem, type PlanRun, type RunEntry } from './record.ts';

export interface FoundLater {
  readonly run: PlanRun;
  /** None: nothing is known that was not known before. */
  readonly entries: readonly Omit<RunEntry, 'at'>[];
}

/** @param newest of each VM that did not move, its newest migration, by id */
export function foundLater(run: PlanRun, newest: ReadonlyMap<string, Migration>): FoundLater {
  const entries: Omit<RunEntry, 'at'>[] = [];
  const items = run.items.map((item) => {
    const migration = newest.get(item.migrations.at(-1) ?? '');
    const found = migration === undefined ? undefined : lookedUp(item, migration);
    if (found === undefined) return item;
    const endpoint = found.leftAt === 'source' || found.state === 'moved-back' ? item.source : item.destination;
    entries.push({ message: `It was found at ${endpoint.endpoint} later.`, vm: item.vm.name, code: null });
    return found;
  });
  return { run: { ...run, items }, entries };
}

/** `undefined`: it is as it was. */
function lookedUp(item: PlanItem, migration: Migration): PlanItem | undefined {
  const { phase, where, byHand } = migration;
  // One that succeeded was looked after when it did: two copies that were seen then are for a person.
  if (!isLost(item) || !isOutcome(phase) || phase === 'succeeded') return undefined;
  const back = item.state === 'stuck';
  const goesBack = migration.source.endpoint === item.destination.endpoint;
  if (back !== goesBack) return undefined;
  if (where === 'destination' && byHand === null) {
    const arrived = { leftAt: null, error: null, keptDisks: keptIn(migration) };
    return { ...item, ...arrived, state: back ? 'moved-back' : 'moved' };
  }
  if (!isUnclear(item) || where !== 'source' || isUndecided(migration)) return undefined;
  return { ...item, leftAt: back ? 'destination' : 'source', error: stayed(item, migration) };
}

/** What stood there said that nobody knows where it is. */
function stayed({ error, vm }: PlanItem, { source, byHand }: Migration): PlanItem['error'] {
  const message = `${vm.name} did not move: it was found at ${source.endpoint} later.`;
  return error && { code: error.code, message, remedy: byHand };
}
