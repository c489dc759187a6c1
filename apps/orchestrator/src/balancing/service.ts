/**
 * Balancing as the rest of the house sees it: policies, passes on demand and by interval, proposals and their answers. Whoever
 * does anything for a policy holds its lease, so that of any number of processes one does it. It owns the passes under way;
 * `stop` ends them.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { describeError, LmasError } from '../errors.ts';
import { inShort } from '../in-short.ts';
import type { Logger } from '../log.ts';
import { now } from '../migrations/record.ts';
import type { EndpointStore, Expectation } from '../sites/sites.ts';
import { isOpen } from '../time/periods.ts';
import { complaintsAbout, newNamesIn } from './complaints.ts';
import type { Moves } from './moves.ts';
import type { Observer } from './observe.ts';
import { expired, type PassParts, takePass } from './pass.ts';
import type { BalancingStore, Lease, PassOrder } from './store.ts';
import { companionsOf, isBegun, isToCome } from './together.ts';
import type {
  BalancingMove,
  BalancingPass,
  BalancingPolicy,
  BalancingPolicyInput,
  BalancingSettings,
} from './types.ts';

export interface BalancingService {
  /** @throws LmasError ALREADY_EXISTS, INVALID_BALANCING_POLICY with every complaint */
  create(input: BalancingPolicyInput): Promise<BalancingPolicy>;
  list(): Promise<BalancingPolicy[]>;
  /** Those with a proposal that waits for an answer. */
  unanswered(): Promise<BalancingPolicy[]>;
  /** @throws LmasError BALANCING_POLICY_NOT_FOUND, as all that follow */
  get(id: string): Promise<BalancingPolicy>;
  /** All settings anew. @throws LmasError INVALID_BALANCING_POLICY with every complaint, and what `expect` throws */
  replace(id: string, settings: BalancingSettings, expect: Expectation<BalancingPolicy>): Promise<BalancingPolicy>;
  /** What runs goes on, and is not followed any more. @throws LmasError IN_USE when schedules order its passes */
  remove(id: string): Promise<void>;
  /** What was not begun is withdrawn; what runs goes on. Idempotent. */
  pause(id: string): Promise<BalancingPolicy>;
  resume(id: string): Promise<BalancingPolicy>;
  /**
   * A pass now, or the one that was made for the same order before. Its moves are carried out after the answer.
   * @throws LmasError BALANCING_PAUSED, BALANCING_BUSY, WITHDRAWN
   */
  run(id: string, options: { signal: AbortSignal; order?: PassOrder }): Promise<BalancingPass>;
  /** Newest first. */
  passes(id: string, limit: number): Promise<BalancingPass[]>;
  /** Newest first. */
  moves(id: string): Promise<BalancingMove[]>;
  /** Looks once more and submits it, and those that a rule lets go only with it. @throws LmasError MOVE_ANSWERED, MOVE_OUTDATED, BALANCING_PAUSED, BALANCING_BUSY */
  approve(id: string, move: string, options: { by: string; signal: AbortSignal }): Promise<BalancingMove>;
  /** It, and those that a rule lets go only with it. @throws LmasError MOVE_ANSWERED, BALANCING_BUSY */
  reject(id: string, move: string, options: { by: string; signal: AbortSignal }): Promise<BalancingMove>;
  /** What is due for a policy, if nobody else is at it: a pass, or what a crash left. */
  tend(policy: BalancingPolicy, options: { signal: AbortSignal }): Promise<void>;
  stop(): Promise<void>;
}

export interface BalancingParts {
  readonly store: BalancingStore;
  readonly endpoints: Pick<EndpointStore, 'list'>;
  readonly observer: Observer;
  readonly moves: Moves;
  /** In words, each. */
  readonly schedulesNaming: (policy: string) => Promise<string[]>;
  readonly leaseMs: number;
  readonly onPass: PassParts['onPass'];
  readonly onMove: (state: BalancingMove['state']) => void;
  readonly log: Logger;
}

/** How long somebody who asks waits for one who is at it. */
const PATIENCE_MS = 10_000;
const LOOK_MS = 100;
const RENEWALS = 4;
/** What was decided and not begun is of the newest pass: each begins with taking up what is left. */
const PASSES_TO_TAKE_UP = 10;

export function createBalancingService(parts: BalancingParts): BalancingService {
  const { store, endpoints, observer, moves, leaseMs, log } = parts;
  const stopping = new AbortController();
  const underWay = new Set<Promise<unknown>>();

  const acquire = async (policy: string, patienceMs: number, signal: AbortSignal): Promise<Lease> => {
    const deadline = performance.now() + patienceMs;
    for (;;) {
      const lease = await store.lease(policy, leaseMs);
      if (lease !== undefined) return lease;
      if (performance.now() >= deadline) throw new LmasError('BALANCING_BUSY');
      await sleep(LOOK_MS, undefined, { signal });
    }
  };
  /**
   * Holds the lease for as long as `act` takes. `lasting` aborts when the lease is lost or the process ends, `signal` also
   * when whoever asked has gone.
   */
  const holding = async <T>(
    policy: string,
    { signal, patienceMs = PATIENCE_MS }: { signal: AbortSignal; patienceMs?: number },
    act: (lease: Lease, signals: { signal: AbortSignal; lasting: AbortSignal }) => Promise<T>,
  ): Promise<T> => {
    const lease = await acquire(policy, patienceMs, signal);
    const lost = new AbortController();
    const renewal = setInterval(() => {
      const giveUp = () => lost.abort(new LmasError('BALANCING_BUSY', 'Somebody else has taken this policy over.'));
      lease.renew().then((isOurs) => isOurs || giveUp(), giveUp);
    }, leaseMs / RENEWALS);
    const lasting = AbortSignal.any([lost.signal, stopping.signal]);
    const acting = act(lease, { signal: AbortSignal.any([signal, lasting]), lasting });
    underWay.add(acting);
    try {
      return await acting;
    } finally {
      clearInterval(renewal);
      underWay.delete(acting);
      await lease.release();
    }
  };
  const workable = async (id: string): Promise<BalancingPolicy> => {
    const policy = await store.policies.get(id);
    if (policy.pausedAt !== null) throw new LmasError('BALANCING_PAUSED', `The policy ${id} is paused.`);
    return policy;
  };
  const requireSense = async (id: string, settings: BalancingSettings, before?: BalancingPolicy): Promise<void> => {
    const plugins = new Map((await endpoints.list()).map((endpoint) => [endpoint.id, endpoint.plugin]));
    const others = (await store.policies.list()).filter((other) => other.id !== id);
    const isAsked = newNamesIn(settings, before).length > 0 && settings.endpoints.every((each) => plugins.has(each));
    const vms = isAsked
      ? await observer.vmsAt([...new Set(settings.endpoints)], { signal: stopping.signal })
      : undefined;
    const issues = complaintsAbout(settings, { plugins, others, vms, before, nowMs: Date.now() });
    if (issues.length > 0) throw new LmasError('INVALID_BALANCING_POLICY', undefined, { issues });
  };
  const withdraw = async ({ policy, id, state }: BalancingMove, outcome: string): Promise<void> => {
    await store.changeMove(policy, id, (move) =>
      move.state === state ? { ...move, state: 'withdrawn', outcome, endedAt: now() } : undefined,
    );
  };
  /** By the policy as it is when the turn of each has come: somebody may have paused or changed it since. */
  const carryOut = async (
    id: string,
    decided: readonly BalancingMove[],
    signal: AbortSignal,
    isAsked: (move: BalancingMove) => boolean,
  ) => {
    for (const move of decided) {
      signal.throwIfAborted();
      const policy = await store.policies.get(id);
      if (policy.pausedAt !== null) return; // whoever paused it withdraws them
      if (policy.mode !== 'automatic') await withdraw(move, 'The policy is not automatic any more.');
      // Who asks for a pass, a person or a schedule, has said that now is the time.
      else if (!isAsked(move) && !mayBegin(policy)) await withdraw(move, 'The window of the policy has closed.');
      else parts.onMove((await moves.carryOut(policy, move, { signal })).state);
    }
  };
  /** What was decided and not begun, or begun and not known to be submitted. */
  const takeUp = async (policy: string, signal: AbortSignal): Promise<void> => {
    const all = await store.moves(policy);
    for (const move of all.filter(({ state }) => state === 'submitting'))
      parts.onMove((await moves.resume(move)).state);
    const decided = all.filter(({ state }) => state === 'decided');
    if (decided.length === 0) return;
    const passes = await store.passes(policy, PASSES_TO_TAKE_UP);
    const asked = new Set(passes.filter((pass) => pass.asked).map(({ number }) => number));
    await carryOut(policy, decided, signal, ({ pass }) => asked.has(pass));
  };
  const withdrawOpen = async (policy: string, outcome: string): Promise<void> => {
    for (const move of await store.moves(policy)) {
      if (move.state === 'proposed' || move.state === 'decided') await withdraw(move, outcome);
    }
  };
  /** A policy whose passes are asked for, or whose window is closed, may have none for long: nobody is left to wait for an answer that counts no more. */
  const expireUnanswered = async (policy: string, signal: AbortSignal): Promise<void> => {
    if (!(await store.moves(policy)).some(isExpired)) return;
    // Not while somebody answers.
    await holding(policy, { signal, patienceMs: 0 }, async () => {
      for (const { id } of (await store.moves(policy)).filter(isExpired)) {
        const { isChanged, move } = await store.changeMove(policy, id, (current) =>
          isExpired(current) ? expired(current) : undefined,
        );
        if (isChanged) parts.onMove(move.state);
      }
    });
  };
  /** The pass is handed over as soon as it is written; what it decided is carried out after that. */
  const pass = async (
    id: string,
    { order, isAsked, ...options }: { signal: AbortSignal; patienceMs?: number; order?: PassOrder; isAsked: boolean },
  ): Promise<BalancingPass> => {
    const { promise: written, resolve, reject } = Promise.withResolvers<BalancingPass>();
    const whole = holding(id, options, async (lease, { signal, lasting }) => {
      await takeUp(id, signal);
      const made = order && (await store.passFor(id, order));
      if (made !== undefined) return resolve(made);
      const taken = await takePass(await workable(id), lease, parts, { signal, order, isAsked });
      resolve(taken.pass);
      // Whoever asked for the pass may be gone by now: what was decided is carried out all the same.
      await carryOut(id, taken.decided, lasting, () => isAsked);
    });
    whole.catch((error: unknown) => {
      reject(error);
      if (!stopping.signal.aborted)
        log.warn({ policy: id, err: describeError(error).message }, 'a balancing pass broke off');
    });
    return await written;
  };
  /** The proposal, if it still waits. @throws LmasError MOVE_ANSWERED */
  const waiting = async (id: string, moveId: string): Promise<BalancingMove> => {
    const move = await store.move(id, moveId);
    if (move.state !== 'proposed') throw new LmasError('MOVE_ANSWERED', `The move ${moveId} is ${move.state}.`);
    if (move.expiresAt === null || Date.parse(move.expiresAt) > Date.now()) return move;
    throw new LmasError('MOVE_ANSWERED', `The proposal ${moveId} has expired at ${move.expiresAt}.`);
  };
  const rejectCompanions = async (rejected: BalancingMove, by: string): Promise<void> => {
    const outcome = `${by} said no to ${rejected.vm.name}, with which it was to go.`;
    for (const { id } of companionsOf(rejected, await store.moves(rejected.policy))) {
      const { isChanged, move } = await store.changeMove(rejected.policy, id, (before) =>
        isToCome(before) ? { ...before, state: 'rejected', outcome, answeredBy: by, endedAt: now() } : undefined,
      );
      if (isChanged) parts.onMove(move.state);
    }
  };
  const setPaused = (id: string, pausedAt: string | null) =>
    store.policies.change(id, async (policy) =>
      (policy.pausedAt === null) === (pausedAt === null) ? policy : { ...policy, pausedAt },
    );

  return {
    list: () => store.policies.list(),
    async unanswered() {
      const asks = async ({ id }: BalancingPolicy) =>
        (await store.moves(id)).some((move) => move.state === 'proposed' && !isExpired(move));
      const policies = await store.policies.list();
      const asking = await Promise.all(policies.map(asks));
      return policies.filter((_, at) => asking[at]);
    },
    get: (id) => store.policies.get(id),
    async create({ id, ...settings }) {
      await requireSense(id, settings);
      const policy = { id, ...settings, pausedAt: null, createdAt: now() };
      await store.policies.add(policy, []);
      return policy;
    },
    replace: (id, settings, expect) =>
      store.policies.change(id, async (policy) => {
        expect(policy);
        await requireSense(id, settings, policy);
        const { pausedAt, createdAt } = policy;
        return { id, ...settings, pausedAt, createdAt };
      }),
    async remove(id) {
      await store.policies.get(id);
      const users = await parts.schedulesNaming(id);
      if (users.length > 0) throw new LmasError('IN_USE', `Passes of ${id} are ordered by ${inShort(users)}.`);
      await store.remove(id);
    },
    async pause(id) {
      const policy = await setPaused(id, now());
      await withdrawOpen(id, 'The policy was paused.');
      return policy;
    },
    resume: (id) => setPaused(id, null),
    run: (id, options) => pass(id, { ...options, isAsked: true }),
    async passes(id, limit) {
      await store.policies.get(id);
      return await store.passes(id, limit);
    },
    async moves(id) {
      await store.policies.get(id);
      return await store.moves(id);
    },
    approve: (id, moveId, { by, signal }) =>
      holding(id, { signal }, async (_, { signal: held, lasting }) => {
        const policy = await workable(id);
        const move = await waiting(id, moveId);
        const after = await moves.carryOut(policy, move, { signal: held, by });
        parts.onMove(after.state);
        if (isBegun(after)) {
          // Whoever approved it may be gone by now: what belongs together goes together all the same.
          for (const companion of companionsOf(after, await store.moves(id)).filter(isToCome))
            parts.onMove((await moves.carryOut(policy, companion, { signal: lasting, by })).state);
          return after;
        }
        throw new LmasError('MOVE_OUTDATED', after.outcome ?? undefined, {
          remedy: 'It is not proposed again while the VM cools down.',
        });
      }),
    reject: (id, moveId, { by, signal }) =>
      holding(id, { signal }, async () => {
        const { state } = await waiting(id, moveId);
        const { move } = await store.changeMove(id, moveId, (before) =>
          before.state === state
            ? { ...before, state: 'rejected', outcome: `${by} said no.`, answeredBy: by, endedAt: now() }
            : undefined,
        );
        parts.onMove(move.state);
        if (move.state === 'rejected') await rejectCompanions(move, by);
        return move;
      }),
    async tend(policy, { signal }) {
      const { lastPassAt } = await store.memory(policy.id);
      const isDue = isIntervalOver(policy, lastPassAt) && mayBegin(policy);
      try {
        if (policy.pausedAt === null && isDue)
          return void (await pass(policy.id, { signal, patienceMs: 0, isAsked: false }));
        await expireUnanswered(policy.id, signal);
        const open = (await store.moves(policy.id)).filter(
          ({ state }) => state === 'decided' || state === 'submitting',
        );
        if (open.length === 0) return;
        if (policy.pausedAt !== null) await withdrawOpen(policy.id, 'The policy is paused.');
        await holding(policy.id, { signal, patienceMs: 0 }, (_, { lasting }) => takeUp(policy.id, lasting));
      } catch (error) {
        if (describeError(error).code !== 'BALANCING_BUSY') throw error;
      }
    },
    async stop() {
      stopping.abort(new LmasError('UNAVAILABLE'));
      await Promise.allSettled(underWay);
    },
  };
}

const isExpired = ({ state, expiresAt }: BalancingMove): boolean =>
  state === 'proposed' && expiresAt !== null && Date.parse(expiresAt) <= Date.now();

/** Whether what it does by itself may begin now. */
const mayBegin = (policy: BalancingPolicy): boolean => policy.passes === 'asked' || isOpen(policy, Date.now());

/** A pass that lies further ahead than the next one should was dated by a clock that was wrong, and is not waited for. */
function isIntervalOver({ passes, intervalMs }: BalancingPolicy, lastPassAt: string | null): boolean {
  if (passes !== 'interval') return false;
  return lastPassAt === null || Math.abs(Date.now() - Date.parse(lastPassAt)) >= intervalMs;
}
