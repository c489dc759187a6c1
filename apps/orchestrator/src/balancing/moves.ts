/**
 * What becomes of a move: looked at once more, submitted through the migration service, and followed to its end.
 *
 *     proposed ─(approved, looked at)─┐
 *     decided ──(looked at)───────────┴▶ submitting ─▶ submitted ─▶ ended
 *         └─▶ withdrawn, rejected, expired     └─▶ refused
 *
 * In `submitting` only one way is left: the migration is created, by the key that is the move's id, so that whoever finds it
 * there after a crash creates the same one and never a second. Everything before it may still be withdrawn.
 */
import { describeError, errorCode, LmasError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { MigrationChecker } from '../migrations/checks.ts';
import { isOutcome } from '../migrations/phases.ts';
import { type Migration, now } from '../migrations/record.ts';
import type { MigrationService } from '../migrations/service.ts';
import { costOf } from './cost.ts';
import { limitOf } from './judge.ts';
import { judgeAgain } from './judge-again.ts';
import { isFarAhead, type Observer, requestOf } from './observe.ts';
import { Projection } from './projection.ts';
import type { BalancingStore } from './store.ts';
import { companionsOf, isBegun, isLost, isToCome } from './together.ts';
import type { BalancingMove, BalancingPolicy, Observation, PastMove } from './types.ts';
import { outcomeInWords, points } from './words.ts';

export const POLICY_LABEL = 'lmas/balancing-policy';

export interface MoveParts {
  readonly store: BalancingStore;
  readonly observer: Pick<Observer, 'observe'>;
  readonly migrations: Pick<MigrationService, 'create' | 'get'>;
  readonly checker: MigrationChecker;
  readonly log: Logger;
}

export interface Moves {
  /**
   * Looks once more, and submits what is still right. Answers with what became of it: `submitted`, or `refused`
   * with the reason. @throws what makes looking impossible
   */
  carryOut(
    policy: BalancingPolicy,
    move: BalancingMove,
    options: { signal: AbortSignal; by?: string },
  ): Promise<BalancingMove>;
  /** Takes up what a crash left in between; without effect on everything else. */
  resume(move: BalancingMove): Promise<BalancingMove>;
  /** Those that were begun, as the engine wants them. */
  past(moves: readonly BalancingMove[]): Promise<PastMove[]>;
  /** Those whose migration was over when the observation began, with what came of them as it shows it. */
  conclude(moves: readonly BalancingMove[], observation: Observation): Promise<BalancingMove[]>;
}

function requestFor(policy: BalancingPolicy, move: BalancingMove, { hosts }: Observation) {
  const { vm, source, destination } = move;
  const observed = hosts.find(({ endpoint }) => endpoint === source)?.vms.find(({ id }) => id === vm.id);
  return requestOf(policy, { vm: vm.id, source, destination }, observed?.networks ?? []);
}

export function createMoves({ store, observer, migrations, checker, log }: MoveParts): Moves {
  const find = async (id: string | null): Promise<Migration | undefined> => {
    if (id === null) return undefined;
    return await migrations.get(id).catch((error: unknown) => {
      if (errorCode(error) === 'MIGRATION_NOT_FOUND') return undefined;
      throw error;
    });
  };
  const close = (move: BalancingMove, state: 'refused', outcome: string) =>
    store
      .changeMove(move.policy, move.id, (current) =>
        current.state === move.state ? { ...current, state, outcome, endedAt: now() } : undefined,
      )
      .then((changed) => changed.move);

  const submit = async (move: BalancingMove): Promise<BalancingMove> => {
    const { request } = move;
    if (request === null) return move;
    try {
      const { id } = await migrations.create(request, { idempotencyKey: `balancing:${move.id}`, project: null });
      const changed = await store.changeMove(move.policy, move.id, (current) =>
        current.state === 'submitting' ? { ...current, state: 'submitted', migration: id } : undefined,
      );
      if (changed.isChanged) log.info({ policy: move.policy, move: move.id, migration: id }, move.text);
      return changed.move;
    } catch (error) {
      if (!(error instanceof LmasError) || error.code === 'UNAVAILABLE') throw error; // it is tried again
      return await close({ ...move, state: 'submitting' }, 'refused', `It was not accepted: ${error.message}`);
    }
  };

  const past = async (moves: readonly BalancingMove[]): Promise<PastMove[]> =>
    await Promise.all(
      moves
        .filter(({ startedAt, state }) => startedAt !== null && state !== 'refused')
        .map(async ({ vm, source, destination, startedAt, endedAt, migration, state }) => {
          const found = state === 'submitted' ? await find(migration) : undefined;
          const over = endedAt ?? found?.endedAt ?? null;
          const nowMs = Date.now();
          return {
            ...{ vm: vm.id, source, destination, startedAtMs: Math.min(Date.parse(startedAt ?? ''), nowMs) },
            endedAtMs: over === null ? null : Math.min(Date.parse(over), nowMs),
          };
        }),
    );

  /** The migration that carries it out, or why it is no longer right. */
  const lookAgain = async (
    policy: BalancingPolicy,
    move: BalancingMove,
    signal: AbortSignal,
  ): Promise<{ readonly why: string } | { readonly request: ReturnType<typeof requestOf> }> => {
    const all = await store.moves(policy.id);
    const lost = companionsOf(move, all).find(isLost);
    if (lost !== undefined)
      return { why: `${lost.vm.name}, with which it was to go, stays: ${lost.outcome ?? lost.state}` };
    const observation = await observer.observe(policy, { signal });
    const why = await objection(policy, move, { all, observation, signal });
    return why === undefined ? { request: requestFor(policy, move, observation) } : { why };
  };

  const objection = async (
    policy: BalancingPolicy,
    move: BalancingMove,
    { all, observation, signal }: { all: readonly BalancingMove[]; observation: Observation; signal: AbortSignal },
  ): Promise<string | undefined> => {
    const companions = companionsOf(move, all);
    // Once one of a group has left, the others follow it: what it keeps is the rule, and the gain was that of all together.
    const isRepair = move.isRepair || companions.some(isBegun);
    // The first one begins only what all of them can do.
    const together = companions.some(isBegun) ? [move] : [move, ...companions.filter(isToCome)];
    const memory = await store.memory(policy.id);
    // Those of the same pass are part of the same decision: they neither forbid each other nor take each other's place.
    const begun = await past(all);
    const limit = limitOf({ policy, past: begun, nowMs: Date.now() }, { planned: 0, more: together.length });
    if (limit !== undefined) return limit.text;
    const others = await past(all.filter(({ pass }) => pass !== move.pass));
    const question = { policy, observation, memory, past: others, setBacks: [], nowMs: Date.now() };
    const verdict = judgeAgain(question, { ...move, isRepair });
    if (verdict !== undefined) return verdict;
    const checkOf = (each: BalancingMove) => checker.check(requestFor(policy, each, observation), { signal });
    const check = await checkOf(move);
    const blocker = blockerOf(check);
    if (blocker !== undefined) return blocker;
    for (const companion of together.slice(1)) {
      const its = blockerOf(await checkOf(companion));
      if (its !== undefined) return `${companion.vm.name}, with which it was to go, cannot: ${its}`;
    }
    const rateBytesPerSec = check.prediction.rateBytesPerSec;
    const facts = { ...check, dirtyRateBytesPerSec: check.prediction.dirtyRateBytesPerSec };
    const { cost, estimatedMs } = costOf(facts, { usable: true, rateBytesPerSec }, policy);
    if (estimatedMs === null) return 'its dirty rate exceeds what the link carries.';
    const net = move.gain - cost;
    if (isRepair || net >= policy.minGain) return undefined;
    return `with its disks it would cost ${points(cost)} and gain ${points(move.gain)}.`;
  };

  return {
    past,
    async carryOut(policy, move, { signal, by }) {
      const seen = await lookAgain(policy, move, signal).catch((error: unknown) => {
        signal.throwIfAborted();
        return { why: describeError(error).message };
      });
      if ('why' in seen) return await close(move, 'refused', `Looked at once more: ${seen.why}`);
      const request = {
        ...seen.request,
        labels: { [POLICY_LABEL]: move.policy },
        correlationId: move.id,
      };
      const begun = await store.changeMove(move.policy, move.id, (current) =>
        current.state === move.state
          ? { ...current, state: 'submitting', request, startedAt: now(), answeredBy: by ?? current.answeredBy }
          : undefined,
      );
      return begun.isChanged ? await submit(begun.move) : begun.move;
    },
    async resume(move) {
      return move.state === 'submitting' ? await submit(move) : move;
    },
    async conclude(moves, observation) {
      const projection = new Projection(observation.hosts);
      const usesOf = (endpoint: string) => (projection.host(endpoint) === undefined ? null : projection.uses(endpoint));
      const concluded = await Promise.all(
        moves.map(async (move): Promise<BalancingMove[]> => {
          if (move.state !== 'submitted') return [];
          const migration = await find(move.migration);
          if (migration !== undefined && !isOutcome(migration.phase)) return [];
          // Measured across its arrival, the VM uses an unknown part of either host: the next pass has looked at the whole.
          const endedMs = Date.parse(migration?.endedAt ?? '');
          if (endedMs > observation.beganAtMs && !isFarAhead(endedMs, Date.now())) return [];
          const actual = { source: usesOf(move.source), destination: usesOf(move.destination) };
          const endedAt = migration?.endedAt ?? now();
          return [{ ...move, state: 'ended', actual, endedAt, outcome: outcomeInWords(move, actual, migration) }];
        }),
      );
      return concluded.flat();
    },
  };
}

const blockerOf = ({ findings }: Awaited<ReturnType<MigrationChecker['check']>>): string | undefined =>
  findings.find(({ severity }) => severity === 'blocker')?.message;
