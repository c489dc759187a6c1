/**
 * The migrations of a run: each is ordered under an id made from its purpose and behind the run's fence, and looked up by
 * that id. It owns nothing.
 */
import { pluginErrorCode } from '@lmas/plugin-api';
import type { Scope } from '../access/scope.ts';
import { withSession } from '../endpoints/questions.ts';
import { describeError, errorCode, LmasError } from '../errors.ts';
import { isOutcome } from '../migrations/phases.ts';
import { isUndecided, type Migration, type MigrationInput } from '../migrations/record.ts';
import type { Fence } from '../redis/versioned-table.ts';
import { MAX_KEEP_MS } from '../schemas/drill.ts';
import { inTurns } from './in-turns.ts';
import { isLive, type MigrationFacts } from './item-step.ts';
import { type Held, QUEUE_FULL } from './queue-full.ts';
import { isLost, type PlanItem, type PlanRun } from './record.ts';
import { reverseOf } from './reverse.ts';

const AT_ONCE = 8;
const ASK_MS = 20_000;

/** What the checks and the real thing are asked for. */
export function requestFor(
  { definition, id, mode }: Pick<PlanRun, 'definition' | 'id' | 'mode'>,
  item: PlanItem,
): MigrationInput {
  const common = { ...definition.migration, correlationId: definition.migration.correlationId ?? id };
  if (mode === 'drill') {
    return {
      ...common,
      ...{ vm: item.vm.id, source: item.source.endpoint, destination: item.destination.endpoint },
      ...{ networkMap: definition.drill.networks, diskMap: item.diskMap, mayReplace: [] },
      // The run ends it; should nobody look after the run any more, it ends by itself.
      drill: { keepMs: MAX_KEEP_MS },
      powerState: 'running',
    };
  }
  const back = item.state === 'moving-back';
  const reverse = back ? reverseOf(item) : item;
  if ('reason' in reverse)
    throw new LmasError('INTERNAL', `Nobody orders a way back that is not known: ${reverse.reason}`);
  const [source, destination] = back ? [item.destination, item.source] : [item.source, item.destination];
  return {
    ...common,
    // A wave that is rolled back leaves things as they were.
    allowCordoned: back || common.allowCordoned,
    drill: null,
    powerState: item.powerState,
    ...{ vm: item.vm.id, source: source.endpoint, destination: destination.endpoint },
    ...{ networkMap: reverse.networkMap, diskMap: reverse.diskMap, mayReplace: item.keptDisks },
  };
}

/** What is known of the newest migration of each VM that moves; those that are missing have none yet. */
export async function factsOf(
  run: PlanRun,
  { migrations, questions }: Pick<Scope, 'migrations' | 'questions'>,
  { signal }: { signal: AbortSignal },
): Promise<Map<string, MigrationFacts>> {
  const facts = new Map<string, MigrationFacts>();
  const moving = run.items.filter((item) => isLive(item) || item.state === 'copied');
  await inTurns(moving, AT_ONCE, async (item) => {
    const id = item.migrations.at(-1) ?? '';
    const migration = await find(migrations, id);
    if (migration === undefined) return;
    const { phase } = migration;
    const outcome = isOutcome(phase) ? phase : null;
    const endedAtMs = migration.endedAt === null ? null : Date.parse(migration.endedAt);
    if (migration.purpose === 'drill') {
      const rehearsal = rehearsalOf(migration);
      facts.set(id, { outcome, endedAtMs, vacated: null, keptDisks: [], ...lossOf(migration), rehearsal });
      return;
    }
    const left = item.state === 'moving-back' ? item.destination : item.source;
    const vacated = outcome === 'succeeded' ? await lookBack(questions, left.endpoint, item.vm.id, signal) : null;
    facts.set(id, { outcome, endedAtMs, vacated, keptDisks: keptIn(migration), ...lossOf(migration), rehearsal: null });
  });
  return facts;
}

/** The disks that it left where the VM was. */
export const keptIn = ({ report }: Migration): string[] =>
  (report?.keptAtSource ?? []).flatMap(({ kind, id }) => (kind === 'disk' ? [id] : []));

function rehearsalOf({ drill, leftovers }: Migration): PlanItem['rehearsal'] {
  if (drill === null) return null;
  const { copy, upAfterMs } = drill;
  return { copy: copy.vm.name, networks: copy.networks, upAt: copy.startedAt, upAfterMs, leftovers };
}

/**
 * What a migration that did not succeed left behind. What only a person can do is the remedy, also where it is clear where the VM is: it may
 * stand paused there, or have left a definition at the other end. One that was cancelled has no error of its own to say that with.
 */
function lossOf({ where, byHand, error, phase }: Migration): Pick<MigrationFacts, 'leftAt' | 'error' | 'byHand'> {
  const isClear = !isUndecided({ where, byHand });
  const leftAt = isClear && where === 'unknown' ? null : where;
  const cause = error ?? (byHand !== null && phase === 'cancelled' ? LEFT_BY_CANCEL : null);
  const remedy = byHand ?? error?.remedy ?? null;
  return { leftAt, byHand, error: cause && { code: cause.code, message: cause.message, remedy } };
}

const LEFT_BY_CANCEL = {
  code: 'CANCELLED',
  message: 'Its migration was cancelled, and left something to be done by hand.',
};

/** Of each VM that did not move, or not back: its newest migration, by id. */
export async function newestOfLost(
  { items }: Pick<PlanRun, 'items'>,
  migrations: Pick<Scope['migrations'], 'get'>,
): Promise<Map<string, Migration>> {
  const newest = new Map<string, Migration>();
  await inTurns(items.filter(isLost), AT_ONCE, async ({ migrations: [...ids] }) => {
    const id = ids.at(-1);
    const migration = id === undefined ? undefined : await find(migrations, id);
    if (migration !== undefined) newest.set(migration.id, migration);
  });
  return newest;
}

async function find(migrations: Pick<Scope['migrations'], 'get'>, id: string): Promise<Migration | undefined> {
  try {
    return await migrations.get(id);
  } catch (error) {
    if (errorCode(error) === 'MIGRATION_NOT_FOUND') return undefined;
    throw error;
  }
}

/** Whether what has moved still stands where it was. Silence is an answer of its own: nobody there could be asked. */
async function lookBack(questions: Scope['questions'], endpoint: string, vm: string, signal: AbortSignal) {
  const limited = AbortSignal.any([signal, AbortSignal.timeout(ASK_MS)]);
  try {
    const options = { signal: limited };
    const find = async () => await withSession(questions, endpoint, options, (session) => session.findVm(vm, options));
    const { presence } = await find();
    if (presence === 'running' || presence === 'unreachable') return presence;
    // It executes nothing now, and somebody can let it go on.
    return presence === 'paused' || presence === 'incoming' ? ('paused' as const) : presence;
  } catch (error) {
    signal.throwIfAborted();
    return pluginErrorCode(error) === 'VM_NOT_FOUND' ? ('absent' as const) : ('unreachable' as const);
  }
}

export interface Ordered {
  /** What was refused, by item. */
  readonly refused: ReadonlyMap<string, PlanItem['error']>;
  /** What has to wait with its order; it is tried again with the next look. */
  readonly held: Held | undefined;
}

/** Orders what the record says is ordered and is not there. */
export async function orderMissing(
  run: PlanRun,
  facts: ReadonlyMap<string, MigrationFacts>,
  { migrations }: Pick<Scope, 'migrations'>,
  fence: Fence,
): Promise<Ordered> {
  const refused = new Map<string, PlanItem['error']>();
  const missing = run.items.flatMap((item) => {
    const id = item.migrations.at(-1);
    return !isLive(item) || id === undefined || facts.has(id) ? [] : [{ item, id }];
  });
  for (const [index, { item, id }] of missing.entries()) {
    try {
      await migrations.create(requestFor(run, item), { order: { id, fence } });
    } catch (error) {
      const { code, message, remedy } = describeError(error);
      // Withdrawn: the record says otherwise by now, and is read again. A defect, or no Redis: another time.
      if (!(error instanceof LmasError) || ['WITHDRAWN', 'INTERNAL', 'UNAVAILABLE'].includes(code)) throw error;
      if (code === QUEUE_FULL) {
        const keys = new Set(missing.slice(index).map(({ item: { key } }) => key));
        return { refused, held: { error: { code, message, remedy }, keys } };
      }
      refused.set(item.key, { code, message, remedy });
    }
  }
  return { refused, held: undefined };
}
