/**
 * `event.from`: all there is for a new reader, then what has changed since, as soon as something has. As XAPI tells it, once for each object,
 * whatever happened to it in between, and with how many there are of each class, so that a reader notices what was lost.
 */
import { CLASS_NAMES, type ClassName, type Database, type XapiRecord } from './database.ts';
import type { XapiPool } from './pool.ts';

export async function eventFrom(
  { database }: XapiPool,
  classes: readonly string[],
  token: string,
  timeoutS: number,
): Promise<object> {
  const wanted = (kind: string, ref: string): boolean =>
    classes.some(
      (one) => one === '*' || one.toLowerCase() === kind.toLowerCase() || one === `${kind.toLowerCase()}/${ref}`,
    );
  const answer = (events: readonly object[]) => ({
    ...{ events, token: String(database.generation), valid_ref_counts: validRefCounts(database) },
  });
  if (token === '') {
    return answer(
      CLASS_NAMES.flatMap((kind) =>
        [...database.table(kind)]
          .filter(([ref]) => wanted(kind, ref))
          .map(([ref, snapshot]) => eventOf(kind, ref, 'add', snapshot)),
      ),
    );
  }
  const since = Number(token);
  const deadline = performance.now() + timeoutS * 1_000;
  for (;;) {
    const events = eventsSince(database, since, wanted);
    const left = deadline - performance.now();
    if (events.length > 0 || left <= 0) return answer(events);
    await database.changed(Math.min(left, 1_000));
  }
}

function eventsSince(database: Database, since: number, wanted: (kind: string, ref: string) => boolean): object[] {
  const changes = database.changesSince(since).filter(({ kind, ref }) => wanted(kind, ref));
  const objects = new Map(changes.map((change) => [`${change.kind}/${change.ref}`, change]));
  return [...objects.values()].flatMap(({ kind, ref }) => {
    const snapshot = database.get(kind, ref);
    const isNew = changes.some((change) => change.ref === ref && change.operation === 'add');
    if (snapshot !== undefined) return [eventOf(kind, ref, isNew ? 'add' : 'mod', snapshot)];
    return isNew ? [] : [eventOf(kind, ref, 'del')];
  });
}

const validRefCounts = (database: Database): Record<string, number> =>
  Object.fromEntries(CLASS_NAMES.map((kind) => [kind.toLowerCase(), database.table(kind).size]));

const eventOf = (kind: ClassName, ref: string, operation: string, snapshot?: XapiRecord) => ({
  id: '0',
  timestamp: '0.0',
  class: kind.toLowerCase(),
  operation,
  ref,
  ...(snapshot === undefined ? {} : { snapshot }),
});
