/**
 * What can be asked of runs of plans. An order (pause, cancel, retry, approve) is written into the record, in the step that
 * withdraws whatever was about to begin; the driver does the rest. Of the runs that move the VMs of a plan, there or back, one
 * goes on at a time: it has the plan's seat (versioned-table.ts), which it takes in the step that begins it.
 */

import type { z } from 'zod';
import { fullName, withOwnPlans } from '../access/owned-names.ts';
import { projectSees } from '../access/principal.ts';
import type { Scope } from '../access/scope.ts';
import { LmasError } from '../errors.ts';
import {
  type Fence,
  type Index,
  NEEDS_PERSON,
  pageOf,
  type Seat,
  type VersionedTable,
} from '../redis/versioned-table.ts';
import type { evacuationInputSchema } from '../schemas/plan.ts';
import { planRunEntrySchema, type planRunInputSchema } from '../schemas/plan-run.ts';
import { type ComplaintTools, complaintsAbout } from './complaints.ts';
import { besideOf } from './driver.ts';
import { createEarlierRuns } from './earlier-runs.ts';
import { endpointsAt, evacuationPlan, seatOfPlace, seatsAround } from './evacuation.ts';
import { foundLater } from './found-later.ts';
import { newestOfLost } from './ordered-migrations.ts';
import { told } from './progress.ts';
import {
  askedAnew,
  hasRunEnded,
  isListedUnder,
  moves,
  newRun,
  newRunId,
  onlyLooks,
  type PlanBody,
  type PlanReport,
  type PlanRun,
  type PlanRunSummary,
  runIdFor,
  summaryOf,
} from './record.ts';
import { reportOn } from './report.ts';
import { restarted } from './retry.ts';
import { type LeftOut, reversePlan } from './reverse.ts';
import { type PlanService, refuse } from './service.ts';

type RunMode = z.output<typeof planRunInputSchema>['mode'];

export interface RunQuery {
  readonly plan?: string | undefined;
  /** Only those that go on when a person says so. */
  readonly needs?: 'person' | undefined;
  readonly limit: number;
  readonly cursor?: string | undefined;
}

export interface PlanRunService {
  /** @throws LmasError PLAN_NOT_FOUND, PLAN_BUSY, PLAN_NOT_READY, WITHDRAWN */
  start(
    plan: string,
    mode: RunMode,
    project: string | null,
    order?: { purpose: string; fence: Fence },
  ): Promise<PlanRun>;
  /** What was started for a purpose, if anything was. */
  findFor(purpose: string): Promise<PlanRun | undefined>;
  /** @throws LmasError INVALID_PLAN with every reason; PLAN_BUSY; FORBIDDEN: a cordon for somebody who is bound to a project */
  evacuate(
    input: z.output<typeof evacuationInputSchema>,
    project: string | null,
    options: { signal: AbortSignal },
  ): Promise<PlanRun>;
  /** Takes back what a run has moved. @throws LmasError PLAN_RUN_NOT_FOUND, RUN_STATE, INVALID_PLAN, PLAN_BUSY */
  failBack(id: string, project: string | null, leftOut?: LeftOut): Promise<PlanRun>;
  /** @throws LmasError PLAN_RUN_NOT_FOUND, as all below */
  get(id: string, project: string | null): Promise<PlanRun>;
  list(query: RunQuery, project: string | null): Promise<{ items: PlanRunSummary[]; nextCursor: string | null }>;
  /** Begins nothing more; what moves goes on. @throws LmasError RUN_STATE, as all below */
  pause(id: string, project: string | null): Promise<PlanRun>;
  resume(id: string, project: string | null): Promise<PlanRun>;
  /**
   * Lets the next wave begin, where the plan asks for somebody’s word.
   * @param wave the number of the one that waits, from 1, as whoever approves has seen it; undefined: whichever does
   */
  approve(id: string, project: string | null, wave?: number): Promise<PlanRun>;
  cancel(id: string, project: string | null): Promise<PlanRun>;
  /** Tries again only what did not move. @throws LmasError PLAN_BUSY */
  retry(id: string, project: string | null): Promise<PlanRun>;
  report(id: string, project: string | null): Promise<PlanReport>;
  /** The newest run of the same plan before this one that found its VMs. */
  formerRun(run: PlanRun): Promise<PlanRun | undefined>;
}

export interface RunServiceParts {
  readonly table: VersionedTable<PlanRun>;
  readonly plans: Pick<PlanService, 'get'>;
  readonly complaintTools: (project: string | null) => Omit<ComplaintTools, 'findPlan'>;
  /** As somebody of the project sees them. */
  readonly migrationsOf: (project: string | null) => Pick<Scope['migrations'], 'get'>;
  /** Lets an endpoint take no VMs any more. */
  readonly cordon: (endpoint: string) => Promise<unknown>;
  /** Lets the drivers know that there is something to look at. */
  readonly announce: () => Promise<void>;
  readonly now: () => number;
}

export function createPlanRunService({
  table,
  plans,
  complaintTools,
  migrationsOf,
  cordon,
  announce,
  now,
}: RunServiceParts): PlanRunService {
  const at = (): string => new Date(now()).toISOString();
  const earlier = createEarlierRuns({ table, plans, now });
  const load = async (id: string, project: string | null): Promise<PlanRun> => {
    const run = (await table.find(id))?.value;
    if (run !== undefined && projectSees(project, run.project)) return run;
    throw new LmasError('PLAN_RUN_NOT_FOUND', `There is no run ${id}.`);
  };
  const get = async (id: string, project: string | null) => withOwnPlans(project, await load(id, project));
  /**
   * @param name of the plan whose VMs are moved, of the place that is emptied (evacuation.ts), or of the first run that moved them
   * @param project of whoever asks: where projects meet at a place, neither hears which run of the other has it
   */
  const seatOf = (name: string, project: string | null): Seat => ({
    name,
    async taken(holder) {
      const other = (await table.find(holder))?.value;
      if (other !== undefined && !projectSees(project, other.project)) {
        return new LmasError('PLAN_BUSY', 'Somebody else’s run, which moves the same VMs, is under way.', {
          remedy: 'Wait for it to end; whoever runs the installation can say whose it is.',
        });
      }
      return new LmasError('PLAN_BUSY', `Run ${holder}, which moves the same VMs, is under way.`);
    },
  });
  /** Where a run that moves VMs has its place, there and back. */
  const seatNameOf = async ({ id, plan }: PlanRun): Promise<string> => (await table.find(id))?.seat ?? plan ?? id;
  const begin = async (
    definition: PlanBody,
    of: Omit<Parameters<typeof newRun>[1], 'id'>,
    { id, fence, seat }: { id: string; fence?: Fence; seat: Seat },
  ): Promise<PlanRun> => {
    const run = newRun(definition, { id, ...of }, at());
    const entry = { at: run.createdAt, message: `The run begins: ${of.mode}.`, vm: null, code: null };
    if (of.plan !== null && onlyLooks(of)) await earlier.forgetLooks(of.plan, of.mode);
    // False: it was begun for the same purpose before.
    const beside = { ...besideOf(run, null, [entry]), seat: moves(of) ? seat : undefined };
    await table.add(run, { ...beside, fence });
    await announce();
    return await load(id, null);
  };
  const order = async (
    id: string,
    project: string | null,
    message: string,
    apply: (run: PlanRun) => PlanRun | undefined,
    seat?: Seat,
  ): Promise<PlanRun> => {
    await load(id, project);
    const changed = await table.change(id, (run) => {
      const ordered = apply(run);
      const value = ordered && told(ordered);
      const beside = value && besideOf(value, run, [{ at: at(), message, vm: null, code: null }]);
      return value && beside && { value, beside: { ...beside, withdraw: true, seat } };
    });
    await announce();
    return withOwnPlans(project, changed ?? (await load(id, project)));
  };
  /** A run that has ended, with what is known of its VMs by now. */
  const asFoundLater = async (run: PlanRun): Promise<PlanRun> => {
    if (!hasRunEnded(run) || !moves(run)) return run;
    const newest = await newestOfLost(run, migrationsOf(run.project));
    const changed = await table.change(run.id, (before) => {
      const { run: value, entries } = foundLater(before, newest);
      if (!hasRunEnded(before) || entries.length === 0) return undefined;
      return {
        value,
        beside: besideOf(
          value,
          before,
          entries.map((entry) => ({ at: at(), ...entry })),
        ),
      };
    });
    return changed ?? run;
  };
  const live = (run: PlanRun): PlanRun => {
    if (hasRunEnded(run))
      throw new LmasError('RUN_STATE', `The run ${run.phase === 'cancelled' ? 'was' : 'has'} ${run.phase}.`);
    return run;
  };

  return {
    get,
    async start(planId, mode, project, ordered) {
      const plan = await plans.get(planId, project);
      const id = ordered === undefined ? newRunId() : runIdFor(ordered.purpose);
      if (ordered !== undefined && (await table.find(id)) !== undefined) return await get(id, project);
      const fullId = fullName(project, planId);
      if (moves({ mode })) await earlier.requireTurn(plan, { planId, fullId, mode });
      const { id: _, project: __, createdAt: ___, changedAt: ____, ...definition } = plan;
      const of = { plan: fullId, project: plan.project, mode, reverseOf: null };
      const order = { id, seat: seatOf(fullId, project), ...(ordered === undefined ? {} : { fence: ordered.fence }) };
      return withOwnPlans(project, await begin(definition, of, order));
    },
    findFor: async (purpose) => (await table.find(runIdFor(purpose)))?.value,
    async evacuate(input, project, { signal }) {
      if (input.cordon && project !== null)
        throw new LmasError(
          'FORBIDDEN',
          'A cordon touches what all projects share; your login is bound to one project.',
        );
      const definition = evacuationPlan(input);
      const tools = { ...complaintTools(project), findPlan: async () => undefined };
      refuse(await complaintsAbout(null, definition, tools, { signal }));
      const endpoints = await tools.scope.endpoints.list();
      const seat = seatOf(seatOfPlace(input.source), project);
      for (const name of [seat.name, ...seatsAround(input.source, endpoints)]) {
        const holder = await table.holderOf(name);
        if (holder !== undefined) throw await seat.taken(holder);
      }
      // First: what is on its way out must not be replaced meanwhile.
      if (input.cordon) for (const id of endpointsAt(input.source, endpoints)) await cordon(id);
      const of = { plan: null, project, mode: 'evacuation' as const, reverseOf: null };
      return await begin(definition, of, { id: newRunId(), seat });
    },
    async failBack(id, project, leftOut) {
      const run = await asFoundLater(await load(id, project));
      if (!hasRunEnded(run) || !moves(run)) {
        throw new LmasError('RUN_STATE', moves(run) ? 'The run has not ended yet.' : 'The run moved nothing.');
      }
      const busy = await earlier.newest(['reverse', id], (other) => !hasRunEnded(other));
      if (busy !== undefined) throw new LmasError('PLAN_BUSY', `Run ${busy.id} takes it back already.`);
      const reverseOfPlan = run.plan ?? run.reverseOfPlan;
      const back = await begin(
        reversePlan(run, leftOut),
        { plan: null, project: run.project, mode: 'failback', reverseOf: id, reverseOfPlan },
        { id: newRunId(), seat: seatOf(await seatNameOf(run), project) },
      );
      return withOwnPlans(project, back);
    },
    async list({ plan, needs, ...page }, project) {
      const fullPlan = plan === undefined ? undefined : fullName(project, plan);
      const index = narrowest({ needs, plan: fullPlan, project });
      const { items, nextCursor } = await pageOf(
        table,
        { ...page, index },
        (run) => projectSees(project, run.project) && (fullPlan === undefined || isListedUnder(fullPlan, run)),
      );
      return { items: items.map((run) => withOwnPlans(project, summaryOf(run))), nextCursor };
    },
    pause: (id, project) =>
      order(id, project, 'It was paused.', (run) =>
        live(run).pausedAt === null ? { ...run, pausedAt: at() } : undefined,
      ),
    resume: (id, project) =>
      order(id, project, 'It was resumed.', (run) =>
        live(run).pausedAt === null ? undefined : { ...run, pausedAt: null, waves: run.waves.map(askedAnew) },
      ),
    approve: (id, project, wave) =>
      order(id, project, 'The next wave was approved.', (run) => {
        const index = live(run).waves.findIndex(({ state }) => state === 'between');
        const isAsked = run.definition.waves[index]?.afterwards.approval === true;
        if (!isAsked) throw new LmasError('RUN_STATE', 'Nothing of it waits for an approval.');
        if (wave !== undefined && wave !== index + 1)
          throw new LmasError('RUN_STATE', `What was approved is wave ${wave}; wave ${index + 1} waits.`);
        return {
          ...run,
          waves: run.waves.map((wave, at_) =>
            at_ === index ? { ...wave, approvedAt: wave.approvedAt ?? at() } : wave,
          ),
        };
      }),
    cancel: (id, project) =>
      order(id, project, 'A cancel was asked for.', (run) =>
        live(run).cancelRequestedAt === null ? { ...run, cancelRequestedAt: at(), pausedAt: null } : undefined,
      ),
    async retry(id, project) {
      const run = await asFoundLater(await load(id, project));
      await earlier.requireRetry(run);
      const seat = moves(run) ? seatOf(await seatNameOf(run), project) : undefined;
      return await order(id, project, 'What did not move is tried again.', restarted, seat);
    },
    async report(id, project) {
      const run = await get(id, project);
      const timeline = (await table.readLog(id)).map((entry) => planRunEntrySchema.parse(entry)).reverse();
      return reportOn(run, timeline, at());
    },
    formerRun: async (run) =>
      run.plan === null
        ? undefined
        : await earlier.newestOf(run.plan, (other) => other.id !== run.id && other.items.length > 0),
  };
}

function narrowest(query: Pick<RunQuery, 'needs' | 'plan'> & { project: string | null }): Index | undefined {
  const { needs, plan, project } = query;
  if (needs !== undefined) return NEEDS_PERSON;
  if (plan !== undefined) return ['plan', plan];
  return project === null ? undefined : ['project', project];
}
