/**
 * What schedules start, one entry for each kind: how it is checked before it is stored, started, followed and cancelled.
 * Whoever adds a kind of thing that can be scheduled adds its line to `scheduleActionSchema` and its entry here, and
 * nothing else of the room has to know.
 */

import type { ScopedMigrations } from '../access/scope.ts';
import type { BalancingRuns } from '../balancing/runs.ts';
import type { BalancingService } from '../balancing/service.ts';
import { type Questions, withSession } from '../endpoints/questions.ts';
import { describeError, errorCode, type Issue, LmasError } from '../errors.ts';
import { isOutcome } from '../migrations/phases.ts';
import { type MigrationInput, migrationIdFor } from '../migrations/record.ts';
import { hasRunEnded } from '../plans/record.ts';
import type { PlanRunService } from '../plans/runs.ts';
import type { PlanService } from '../plans/service.ts';
import type { Fence } from '../redis/versioned-table.ts';
import type { RunEnd } from './decide.ts';
import type { RunRef, ScheduleAction } from './record.ts';

export interface Order {
  /** The same for the same run of the same schedule. */
  readonly purpose: string;
  readonly project: string | null;
  readonly fence: Fence;
}

export interface ActionKind<Action extends ScheduleAction> {
  /** Everything that is wrong with what it names, as far as that is known now. */
  complaints(action: Action, project: string | null): Promise<Issue[]>;
  /**
   * Starts it, or answers with what was started for the same purpose before.
   * @throws LmasError WITHDRAWN when the fence is not met; whatever refuses it
   */
  start(action: Action, order: Order): Promise<RunRef>;
  /** What was started for a purpose, if anything was. */
  find(purpose: string): Promise<RunRef | undefined>;
  /** null while it goes on. */
  endOf(id: string): Promise<RunEnd | null>;
  /** Asks for a cancel. Idempotent; what can no longer be cancelled goes on. */
  cancel(id: string): Promise<void>;
}

export type Actions = { readonly [K in ScheduleAction['kind']]: ActionKind<Extract<ScheduleAction, { kind: K }>> };

/** @param seenBy as somebody of that project would act, so that a schedule may no more than whoever made it */
export function migrationAction(
  seenBy: (caller: { project: string | null }) => {
    readonly migrations: ScopedMigrations;
    readonly questions: Questions;
  },
): ActionKind<Extract<ScheduleAction, { kind: 'migration' }>> {
  const everything = () => seenBy({ project: null }).migrations;
  return {
    async complaints({ migration }, project) {
      const { migrations, questions } = seenBy({ project });
      try {
        // A cordon is of today: it is heeded when the time has come.
        await migrations.validate({ ...migration, allowCordoned: true });
        return await complaintsAboutVm(migration, questions);
      } catch (error) {
        const { code, message } = describeError(error);
        if (!(error instanceof LmasError) || code === 'INTERNAL') throw error;
        return [{ path: 'action.migration', message: `${message} (${code})` }, ...(error.issues ?? [])];
      }
    },
    async start({ migration }, { purpose, project, fence }) {
      const order = { id: migrationIdFor(purpose), fence };
      const { id } = await seenBy({ project }).migrations.create(migration, { order });
      return { kind: 'migration', id };
    },
    async find(purpose) {
      const id = migrationIdFor(purpose);
      try {
        await everything().get(id);
        return { kind: 'migration', id };
      } catch (error) {
        if (errorCode(error) === 'MIGRATION_NOT_FOUND') return undefined;
        throw error;
      }
    },
    async endOf(id) {
      const { phase, error, where } = await everything().get(id);
      if (!isOutcome(phase)) return null;
      const message = error === null ? `The migration has ${phase}.` : `The migration ${phase}: ${error.message}`;
      return { outcome: phase, code: error?.code ?? null, message: `${message} The VM: ${where}.` };
    },
    async cancel(id) {
      try {
        await everything().cancel(id);
      } catch (error) {
        if (errorCode(error) !== 'ALREADY_ENDED' && errorCode(error) !== 'PAST_POINT_OF_NO_RETURN') throw error;
      }
    },
  };
}

/** So long the ends are waited for: who says nothing until then may know the VM. */
const FIND_VM_MS = 20_000;

/** That nobody who could have it does: one that is at the destination now may be back when the time comes, by another schedule. */
async function complaintsAboutVm(
  { vm, source, destination, drill }: MigrationInput,
  questions: Questions,
): Promise<Issue[]> {
  const signal = AbortSignal.timeout(FIND_VM_MS);
  const isUnknownAt = async (endpoint: string): Promise<boolean> => {
    try {
      await withSession(questions, endpoint, { signal }, (session) => session.findVm(vm, { signal }));
      return false;
    } catch (error) {
      return describeError(error).code === 'VM_NOT_FOUND';
    }
  };
  const ends = drill === null ? [source, destination] : [source];
  const unknown = await Promise.all(ends.map(isUnknownAt));
  if (unknown.includes(false)) return [];
  return [{ path: 'action.migration.vm', message: `there is no VM ${vm} at ${ends.join(' or ')} (VM_NOT_FOUND)` }];
}

/** A plan's run; the plan is looked up when its time comes, so that it runs as it is then. */
export function planAction(
  plans: Pick<PlanService, 'get'>,
  runs: Pick<PlanRunService, 'start' | 'findFor' | 'get' | 'cancel'>,
): ActionKind<Extract<ScheduleAction, { kind: 'plan' }>> {
  return {
    async complaints({ plan }, project) {
      try {
        await plans.get(plan, project);
        return [];
      } catch (error) {
        if (errorCode(error) !== 'PLAN_NOT_FOUND') throw error;
        return [{ path: 'action.plan', message: `there is no plan ${plan}` }];
      }
    },
    async start({ plan, mode }, { purpose, project, fence }) {
      const { id } = await runs.start(plan, mode, project, { purpose, fence });
      return { kind: 'plan', id };
    },
    async find(purpose) {
      const run = await runs.findFor(purpose);
      return run === undefined ? undefined : { kind: 'plan', id: run.id };
    },
    async endOf(id) {
      try {
        const run = await runs.get(id, null);
        return hasRunEnded(run) ? { outcome: run.phase, message: run.message, code: null } : null;
      } catch (error) {
        if (errorCode(error) !== 'PLAN_RUN_NOT_FOUND') throw error;
        return { outcome: 'failed', message: 'Nothing is kept of it.', code: null };
      }
    },
    async cancel(id) {
      try {
        await runs.cancel(id, null);
      } catch (error) {
        // It has ended, perhaps so long ago that nothing is kept of it.
        if (errorCode(error) !== 'RUN_STATE' && errorCode(error) !== 'PLAN_RUN_NOT_FOUND') throw error;
      }
    },
  };
}

/** A pass of a balancing policy and what it moves; for whoever is bound to no project, as policies are. */
export function balancingAction(
  policies: Pick<BalancingService, 'get'>,
  runs: Pick<BalancingRuns, 'order' | 'findFor' | 'find' | 'cancel'>,
): ActionKind<Extract<ScheduleAction, { kind: 'balancing' }>> {
  return {
    async complaints({ policy }, project) {
      const missing = [{ path: 'action.policy', message: `there is no balancing policy ${policy}` }];
      if (project !== null) return missing;
      try {
        await policies.get(policy);
        return [];
      } catch (error) {
        if (errorCode(error) !== 'BALANCING_POLICY_NOT_FOUND') throw error;
        return missing;
      }
    },
    async start({ policy }, { purpose, fence }) {
      const { id } = await runs.order(policy, { purpose, fence });
      return { kind: 'balancing', id };
    },
    async find(purpose) {
      const run = await runs.findFor(purpose);
      return run === undefined ? undefined : { kind: 'balancing', id: run.id };
    },
    async endOf(id) {
      const run = await runs.find(id);
      if (run === undefined) return { outcome: 'failed', message: 'Nothing is kept of it.', code: null };
      const { phase, message, code } = run;
      return phase === 'waiting' || phase === 'moving' ? null : { outcome: phase, message, code };
    },
    cancel: (id) => runs.cancel(id),
  };
}
