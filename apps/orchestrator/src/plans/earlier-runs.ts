/**
 * What the earlier runs of a plan say about a new one: whether it may begin beside them and after them, and which of them nobody needs
 * any more.
 */
import { fullName } from '../access/owned-names.ts';
import { LmasError } from '../errors.ts';
import { type Index, pageOf, type VersionedTable } from '../redis/versioned-table.ts';
import { circleThrough } from './complaints.ts';
import { hasMoved, hasRunEnded, moves, type Plan, type PlanRun } from './record.ts';
import type { PlanService } from './service.ts';

/** So many of the runs that only look are kept, of each plan and mode; and those that somebody may still be reading. */
const KEPT_LOOKS = 10;
const READ_FOR_MS = 3_600_000;
const ALL = 100_000;

/** A VM whose disks a drill copies cannot be moved for so long. */
const copiesDisks = ({ mode, items }: PlanRun): boolean =>
  mode === 'drill' && items.some(({ state }) => state === 'copying');

export interface EarlierRuns {
  newest(index: Index, shows: (run: PlanRun) => boolean): Promise<PlanRun | undefined>;
  /** Of those that were begun of the plan itself. */
  newestOf(plan: string, shows: (run: PlanRun) => boolean): Promise<PlanRun | undefined>;
  /**
   * @param fullId with the project's name
   * @throws LmasError PLAN_BUSY, PLAN_NOT_READY when a run of the plan that moves VMs may not begin now
   */
  requireTurn(plan: Plan, of: { planId: string; fullId: string; mode: PlanRun['mode'] }): Promise<void>;
  /** @throws LmasError RUN_STATE, PLAN_BUSY when what did not move may not be tried again now */
  requireRetry(run: PlanRun): Promise<void>;
  /** Removes old runs of the plan that only looked. */
  forgetLooks(plan: string, mode: PlanRun['mode']): Promise<void>;
}

export function createEarlierRuns({
  table,
  plans,
  now,
}: {
  readonly table: VersionedTable<PlanRun>;
  readonly plans: Pick<PlanService, 'get'>;
  readonly now: () => number;
}): EarlierRuns {
  const newest = async (index: Index, shows: (run: PlanRun) => boolean): Promise<PlanRun | undefined> =>
    (await pageOf(table, { limit: 1, index }, shows)).items[0];
  const newestOf = async (plan: string, shows: (run: PlanRun) => boolean) =>
    await newest(['plan', plan], (run) => run.plan === plan && shows(run));
  /** A run that moves VMs of a plan now, there or back. */
  const movingNow = async (plan: string, except?: string): Promise<PlanRun | undefined> => {
    const last = await newestOf(plan, moves);
    const there = await newestOf(plan, (run) => run.id !== except && moves(run) && !hasRunEnded(run));
    return there ?? (last && (await newest(['reverse', last.id], (run) => !hasRunEnded(run))));
  };
  /** The run that takes back, or has, what a run has moved, be it a part; one that was itself taken back has not. */
  const takenBackBy = async (id: string): Promise<PlanRun | undefined> => {
    const hasTaken = (run: PlanRun) => !hasRunEnded(run) || run.items.some(({ state }) => state === 'moved');
    const back = await newest(['reverse', id], hasTaken);
    if (back === undefined || !hasRunEnded(back)) return back;
    const again = await takenBackBy(back.id);
    return again !== undefined && hasRunEnded(again) ? undefined : (again ?? back);
  };

  return {
    newest,
    newestOf,
    async requireTurn(plan, { planId, fullId, mode }) {
      const busy = await movingNow(fullId);
      if (busy !== undefined)
        throw new LmasError('PLAN_BUSY', `Run ${busy.id}, which moves VMs of ${planId}, is under way.`);
      const drill = await newestOf(fullId, copiesDisks);
      if (drill !== undefined) {
        throw new LmasError('PLAN_BUSY', `Drill ${drill.id} copies the disks of VMs of ${planId} now.`, {
          remedy: `Begin once they have crossed, or end it first: lmas plan cancel ${drill.id}`,
        });
      }
      for (const former of plan.after) {
        const last = await newestOf(fullName(plan.project, former), (run) => run.mode === mode);
        const back = last?.phase === 'succeeded' ? await takenBackBy(last.id) : undefined;
        if (last?.phase === 'succeeded' && back === undefined) continue;
        const circle = await circleThrough(plan, former, (name) => plans.get(name, plan.project));
        const never = circle === undefined ? '' : ` It never can: the order ${circle}.`;
        throw new LmasError(
          'PLAN_NOT_READY',
          `${planId} runs after ${former}, whose last ${mode} ${whyNotReady(last, back)}.${never}`,
        );
      }
    },
    async requireRetry({ id, plan, ...run }) {
      if (!moves(run)) return;
      const back = await newest(['reverse', id], (other) => !hasRunEnded(other) || hasMoved(other));
      if (back !== undefined) {
        const why = hasRunEnded(back) ? 'has taken back what it moved: begin a new one' : 'takes back what it moved';
        throw new LmasError('RUN_STATE', `Run ${back.id} ${why}.`);
      }
      const busy = plan === null ? undefined : await movingNow(plan, id);
      if (busy !== undefined)
        throw new LmasError('PLAN_BUSY', `Run ${busy.id}, which moves VMs of the same plan, is under way.`);
    },
    async forgetLooks(plan, mode) {
      const isOver = (run: PlanRun): boolean => run.mode === mode && hasRunEnded(run);
      const { items } = await pageOf(table, { limit: ALL, index: ['plan', plan] }, isOver);
      // What is known of the VMs of a source that is gone, its newest survey knows (disaster.ts).
      const survey = items.find(({ items }) => items.length > 0)?.id;
      const isOld = ({ id, endedAt }: PlanRun) => id !== survey && Date.parse(endedAt ?? '') < now() - READ_FOR_MS;
      for (const { id } of items.slice(KEPT_LOOKS).filter(isOld)) await table.remove(id);
    },
  };
}

/** Of a plan that another one runs after. */
function whyNotReady(last: PlanRun | undefined, back: PlanRun | undefined): string {
  if (last === undefined) return 'was never';
  if (back === undefined) return `has not succeeded: ${last.phase}`;
  return hasRunEnded(back) ? `was taken back by run ${back.id}` : `is not settled: run ${back.id} is under way`;
}
