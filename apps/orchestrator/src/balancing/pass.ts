/**
 * One pass over the endpoints of a policy: what came of earlier moves, what is there now, what is decided. Written in one
 * step, and only while the lease is held; nothing is begun before it is written.
 */
import { LmasError } from '../errors.ts';
import { now } from '../migrations/record.ts';
import { type Answer, decide } from './decide.ts';
import type { Moves } from './moves.ts';
import type { Observer } from './observe.ts';
import { type BalancingStore, type Lease, moveIdOf, type PassOrder } from './store.ts';
import type { BalancingMove, BalancingPass, BalancingPolicy, SetBack } from './types.ts';

export interface PassParts {
  readonly store: BalancingStore;
  readonly observer: Pick<Observer, 'observe'>;
  readonly moves: Moves;
  readonly onPass: (pass: BalancingPass) => void;
}

export interface TakenPass {
  readonly pass: BalancingPass;
  /** To be carried out now. */
  readonly decided: readonly BalancingMove[];
}

/**
 * @throws LmasError BALANCING_BUSY when somebody else has taken the policy over, BALANCING_PAUSED when it was paused meanwhile,
 * WITHDRAWN when it is not wanted any more: then nothing is written
 */
export async function takePass(
  policy: BalancingPolicy,
  lease: Lease,
  { store, observer, moves, onPass }: PassParts,
  { signal, order, isAsked }: { signal: AbortSignal; order?: PassOrder | undefined; isAsked: boolean },
): Promise<TakenPass> {
  const observation = await observer.observe(policy, { signal });
  const [before, memory] = [await store.moves(policy.id), await store.memory(policy.id)];
  const concluded = await moves.conclude(before, observation);
  const nowMs = Date.now();
  const known = before.map((move) => notAhead(concluded.find(({ id }) => id === move.id) ?? move, nowMs));
  const changed = known.filter((move) => !before.includes(move));
  const past = await moves.past(known);
  const answer = decide({ policy, observation, memory, past, setBacks: setBacksOf(known), nowMs });
  const at = new Date(nowMs).toISOString();
  const number = memory.passes + 1;
  const { wanted, stale } = toMoves(policy, answer, known, { number, at });
  const pass: BalancingPass = {
    ...{ policy: policy.id, number, mode: policy.mode, at, hosts: answer.hosts, spread: answer.spread },
    moves: wanted.map(({ id }) => id),
    decisions: [...answer.decisions],
    run: order?.run ?? null,
    asked: isAsked,
  };
  const remembered = { passes: number, lastPassAt: at, hosts: answer.memory.hosts };
  signal.throwIfAborted();
  if (!(await store.commit(lease, pass, remembered, [...changed, ...stale, ...wanted], order?.fence))) {
    throw new LmasError('BALANCING_BUSY', 'Somebody else has taken this policy over.');
  }
  onPass(pass);
  return { pass, decided: wanted.filter(({ state }) => state === 'decided') };
}

/** Times that lie ahead were written by a clock that was wrong: rests count from now, not from then. */
function notAhead(move: BalancingMove, nowMs: number): BalancingMove {
  const isAhead = (time: string | null): boolean => time !== null && Date.parse(time) > nowMs;
  const { startedAt, endedAt } = move;
  if (!isAhead(startedAt) && !isAhead(endedAt)) return move;
  const at = new Date(nowMs).toISOString();
  return { ...move, startedAt: isAhead(startedAt) ? at : startedAt, endedAt: isAhead(endedAt) ? at : endedAt };
}

/** The records of what was decided, and the proposals that it leaves without a reason. */
function toMoves(
  policy: BalancingPolicy,
  { moves }: Answer,
  known: readonly BalancingMove[],
  { number, at }: { number: number; at: string },
): { wanted: BalancingMove[]; stale: BalancingMove[] } {
  const open = known.filter(({ state }) => state === 'proposed');
  const isFresh = ({ expiresAt }: BalancingMove) => expiresAt === null || expiresAt > at;
  const wanted =
    policy.mode === 'explain'
      ? []
      : moves.map((move): BalancingMove => {
          const same = open.find(
            (each) =>
              isFresh(each) &&
              each.vm.id === move.vm.id &&
              each.source === move.source &&
              each.destination === move.destination,
          );
          const isProposal = policy.mode === 'propose';
          return {
            id:
              same !== undefined && isProposal
                ? same.id
                : moveIdOf(policy.id, number, move.vm.id, move.destination, policy.createdAt),
            ...{ policy: policy.id, pass: number, ...move },
            state: isProposal ? 'proposed' : 'decided',
            ...{
              actual: null,
              request: null,
              migration: null,
              outcome: null,
              answeredBy: null,
              startedAt: null,
              endedAt: null,
            },
            createdAt: same !== undefined && isProposal ? same.createdAt : at,
            expiresAt: isProposal
              ? (same?.expiresAt ?? new Date(Date.parse(at) + policy.proposalMs).toISOString())
              : null,
          };
        });
  const stale = open
    .filter(({ id }) => !wanted.some((move) => move.id === id))
    .map(
      (move): BalancingMove =>
        isFresh(move)
          ? { ...move, state: 'withdrawn', outcome: 'A later pass does not propose it any more.', endedAt: now() }
          : expired(move),
    );
  return { wanted, stale };
}

/** Nobody has answered. */
export const expired = (move: BalancingMove): BalancingMove => ({
  ...{ ...move, state: 'expired', outcome: `Nobody answered until ${move.expiresAt}.`, endedAt: now() },
});

const setBacksOf = (moves: readonly BalancingMove[]): SetBack[] =>
  moves.flatMap(({ state, vm, endedAt, outcome }) =>
    (state === 'refused' || state === 'rejected') && endedAt !== null
      ? [{ vm: vm.id, atMs: Date.parse(endedAt), why: outcome ?? '' }]
      : [],
  );
