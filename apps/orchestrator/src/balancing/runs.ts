/**
 * Passes that somebody else orders, a schedule above all: one record for each, from the order to the end of what was moved.
 *
 *     waiting ─(the pass is made)─▶ moving ─▶ succeeded, failed, cancelled
 *
 * The order stands in the record first, under an id made from its purpose, and the pass names it: whoever finds the record after a
 * crash finds the pass as well, or makes it, and nobody makes two. Any number may look; the policy's lease lets one of them act.
 * It owns what it has under way; `stop` lets go of it.
 */
import { describeError, errorCode, LmasError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { MigrationService } from '../migrations/service.ts';
import type { Fence, Versioned, VersionedTable } from '../redis/versioned-table.ts';
import { type BalancingRun, endOf, isOver, type MoveStand, newRun, runIdFor } from './run-record.ts';
import type { BalancingService } from './service.ts';
import type { BalancingStore } from './store.ts';
import type { BalancingMove } from './types.ts';
import { passInWords } from './words.ts';

export interface BalancingRuns {
  /**
   * Orders a pass, or answers with what was ordered for the same purpose before.
   * @throws LmasError BALANCING_POLICY_NOT_FOUND, BALANCING_PAUSED, WITHDRAWN when the fence is not met
   */
  order(policy: string, order: { purpose: string; fence: Fence }): Promise<BalancingRun>;
  /** What was ordered for a purpose, if anything was. */
  findFor(purpose: string): Promise<BalancingRun | undefined>;
  find(id: string): Promise<BalancingRun | undefined>;
  /** @throws LmasError BALANCING_RUN_NOT_FOUND */
  get(id: string): Promise<BalancingRun>;
  /** Withdraws what was not begun and cancels what moves; what is past its point of no return arrives. Idempotent. */
  cancel(id: string): Promise<void>;
  /** Takes a run as far as it goes now. Never rejects. */
  look(id: string): Promise<void>;
  /** Begins to look at all that have not ended. Never rejects. */
  lookAtDue(): Promise<void>;
  stop(): Promise<void>;
}

export interface BalancingRunParts {
  readonly table: VersionedTable<BalancingRun>;
  readonly service: Pick<BalancingService, 'get' | 'run'>;
  readonly store: Pick<BalancingStore, 'passFor' | 'moves' | 'changeMove'>;
  readonly migrations: Pick<MigrationService, 'get' | 'cancel'>;
  /** Lets whoever looks know that there is something to look at. */
  readonly announce: () => Promise<void>;
  readonly now: () => number;
  readonly log: Logger;
}

/** Of those that have ended. */
const MAX_KEPT = 1_000;
const SWEPT = 20;
/** Why there will be no pass, however often it is tried. */
const FINAL: readonly string[] = ['BALANCING_POLICY_NOT_FOUND', 'BALANCING_PAUSED'];

export function createBalancingRuns(parts: BalancingRunParts): BalancingRuns {
  const { table, service, store, announce, now, log } = parts;
  const stopping = new AbortController();
  const underWay = new Map<string, Promise<void>>();
  const at = (): string => new Date(now()).toISOString();
  const find = async (id: string) => (await table.find(id))?.value;

  const write = async (before: Versioned<BalancingRun>, change: Partial<BalancingRun>): Promise<void> => {
    const run = { ...before.value, ...change };
    const isWritten = await table.write(before, run, { lookAtMs: isOver(run) ? null : 0 });
    if (isWritten && isOver(run)) await sweep();
  };
  /** The oldest that nobody asks for any more. */
  const sweep = async (): Promise<void> => {
    const old = await table.getMany(await table.ids(MAX_KEPT, SWEPT));
    for (const run of old.filter(isOver)) await table.remove(run.id);
  };
  const makePass = async (stored: Versioned<BalancingRun>): Promise<void> => {
    const { id: run, policy, createdAt: since, cancelRequestedAt } = stored.value;
    const order = { run, since, fence: stored.fence };
    try {
      const isWanted = cancelRequestedAt === null;
      const pass = await (isWanted
        ? service.run(policy, { signal: stopping.signal, order })
        : store.passFor(policy, order));
      if (pass === undefined) {
        await write(stored, {
          phase: 'cancelled',
          endedAt: at(),
          message: 'It was cancelled before its pass was made.',
        });
      } else await write(stored, { phase: 'moving', pass: pass.number, moves: pass.moves, message: passInWords(pass) });
    } catch (error) {
      const { code, message } = describeError(error);
      if (code === 'WITHDRAWN') return; // the record says otherwise by now, and is read again
      if (!FINAL.includes(code)) throw error;
      await write(stored, { phase: 'failed', endedAt: at(), message, code });
    }
  };
  const follow = async (stored: Versioned<BalancingRun>): Promise<void> => {
    const run = stored.value;
    const all = await store.moves(run.policy);
    const own = all.filter(({ id }) => run.moves.includes(id));
    if (own.length < run.moves.length) {
      const message = `${run.message} The policy was removed since: what it moves goes on, and nobody follows it.`;
      return await write(stored, { phase: 'failed', endedAt: at(), message, code: 'BALANCING_POLICY_NOT_FOUND' });
    }
    if (run.cancelRequestedAt !== null) for (const move of own) await cancelMove(move, parts);
    const stands = await Promise.all(own.map((move) => standOf(move, parts)));
    const end = endOf(run, stands);
    if (end !== undefined) await write(stored, { ...end, endedAt: at() });
  };
  /** @returns whether there may be more to do at once */
  const step = async (id: string): Promise<boolean> => {
    const stored = await table.find(id);
    if (stored === undefined || isOver(stored.value)) return false;
    if (stored.value.pass !== null) {
      await follow(stored);
      return false;
    }
    await makePass(stored);
    return true;
  };
  const act = async (id: string): Promise<void> => {
    try {
      while (!stopping.signal.aborted && (await step(id)));
    } catch (error) {
      // Somebody else is at the policy: another time.
      if (stopping.signal.aborted || errorCode(error) === 'BALANCING_BUSY') return;
      log.warn({ err: error, run: id }, 'a scheduled balancing pass could not be taken further; it is tried again');
    }
  };
  const look = (id: string): Promise<void> => {
    const acting = underWay.get(id) ?? act(id).finally(() => underWay.delete(id));
    underWay.set(id, acting);
    return acting;
  };

  return {
    find,
    look,
    findFor: (purpose) => find(runIdFor(purpose)),
    async order(policyId, { purpose, fence }) {
      const id = runIdFor(purpose);
      const former = await find(id);
      if (former !== undefined) return former;
      const { pausedAt } = await service.get(policyId);
      if (pausedAt !== null) throw new LmasError('BALANCING_PAUSED', `The policy ${policyId} is paused.`);
      const run = newRun(id, policyId, at());
      // False: it was ordered for the same purpose in between.
      await table.add(run, { lookAtMs: 0, fence });
      await announce();
      return (await find(id)) ?? run;
    },
    async get(id) {
      const run = await find(id);
      if (run === undefined) throw new LmasError('BALANCING_RUN_NOT_FOUND', `There is no run ${id}.`);
      return run;
    },
    async cancel(id) {
      await table.change(id, (run) => {
        if (isOver(run) || run.cancelRequestedAt !== null) return undefined;
        return { value: { ...run, cancelRequestedAt: at() }, beside: { withdraw: true, lookAtMs: 0 } };
      });
      await announce();
    },
    async lookAtDue() {
      try {
        for (const id of await table.dueBy(now())) void look(id);
      } catch (error) {
        log.warn({ err: error }, 'scheduled balancing passes could not be looked at; tried again');
      }
    },
    async stop() {
      stopping.abort(new LmasError('UNAVAILABLE'));
      await Promise.all(underWay.values());
    },
  };
}

type Reach = Pick<BalancingRunParts, 'store' | 'migrations'>;

async function cancelMove(move: BalancingMove, { store, migrations }: Reach): Promise<void> {
  if (move.state === 'decided') {
    const [outcome, endedAt] = ['The run that it is part of was cancelled.', new Date().toISOString()];
    await store.changeMove(move.policy, move.id, (current) =>
      current.state === 'decided' ? { ...current, state: 'withdrawn', outcome, endedAt } : undefined,
    );
  } else if (move.state === 'submitted' && move.migration !== null) {
    await migrations.cancel(move.migration).catch((error: unknown) => {
      const code = errorCode(error) ?? '';
      if (!['ALREADY_ENDED', 'PAST_POINT_OF_NO_RETURN', 'MIGRATION_NOT_FOUND'].includes(code)) throw error;
    });
  }
}

/** How far a move is, by its migration where it has one. */
async function standOf(move: BalancingMove, { migrations }: Reach): Promise<MoveStand> {
  if (move.migration === null) return { move, migration: null };
  try {
    return { move, migration: await migrations.get(move.migration) };
  } catch (error) {
    if (errorCode(error) === 'MIGRATION_NOT_FOUND') return { move, migration: null };
    throw error;
  }
}
