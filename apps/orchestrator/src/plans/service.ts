/**
 * What can be asked of plans: the door for HTTP and for schedules. It refuses what makes no sense, with all the reasons,
 * and stores what was asked for; runs.ts does the same for runs. Names are those of whoever asks (access/owned-names.ts).
 */
import { fullName, ownName } from '../access/owned-names.ts';
import { projectSees } from '../access/principal.ts';
import { LmasError } from '../errors.ts';
import { inShort } from '../in-short.ts';
import { pageOf, type VersionedTable } from '../redis/versioned-table.ts';
import { type ComplaintTools, complaintsAbout } from './complaints.ts';
import type { Plan, PlanBody } from './record.ts';

interface Page {
  readonly limit: number;
  readonly cursor?: string | undefined;
}

export interface PlanService {
  /**
   * Stores a plan, in the place of the one of that name. `expect` is called with that one, or undefined, and throws when that is not
   * what the caller has seen. `dryRun`: everything but storing it. @throws LmasError INVALID_PLAN with every reason; PLAN_NOT_FOUND for
   * a name of a project, which only the project itself gives away
   */
  put(
    id: string,
    body: PlanBody,
    project: string | null,
    expect: (current: Plan | undefined) => void,
    options: { signal: AbortSignal; dryRun: boolean },
  ): Promise<{ plan: Plan; isNew: boolean }>;
  list(query: Page, project: string | null): Promise<{ items: Plan[]; nextCursor: string | null }>;
  /** @throws LmasError PLAN_NOT_FOUND */
  get(id: string, project: string | null): Promise<Plan>;
  /** Its runs stay. @throws LmasError PLAN_NOT_FOUND, IN_USE when others run after it, or schedules run it */
  remove(id: string, project: string | null): Promise<void>;
}

interface Parts {
  readonly table: VersionedTable<Plan>;
  readonly complaintTools: (project: string | null) => Omit<ComplaintTools, 'findPlan'>;
  /** In words, each; of a plan by its full name. */
  readonly schedulesNaming: (plan: string, project: string | null) => Promise<string[]>;
  readonly now: () => number;
}

const ALL = 100_000;

export function createPlanService({ table, complaintTools, schedulesNaming, now }: Parts): PlanService {
  const shown = (plan: Plan, project: string | null): Plan => ({ ...plan, id: ownName(project, plan.id) });
  const missing = (id: string) => new LmasError('PLAN_NOT_FOUND', `There is no plan ${id}.`);
  const find = async (id: string, project: string | null): Promise<Plan | undefined> => {
    const plan = (await table.find(fullName(project, id)))?.value;
    return plan === undefined ? undefined : shown(plan, project);
  };
  const get = async (id: string, project: string | null): Promise<Plan> => {
    const plan = await find(id, project);
    if (plan === undefined) throw missing(id);
    return plan;
  };
  const nothing = { lookAtMs: null };

  return {
    get,
    async put(id, body, project, expect, { signal, dryRun }) {
      const before = await table.find(fullName(project, id));
      if (before === undefined && id.includes('.')) throw missing(id);
      if (!dryRun) expect(before === undefined ? undefined : shown(before.value, project));
      const owner = before === undefined ? project : before.value.project;
      const tools = { ...complaintTools(owner), findPlan: (name: string) => find(name, owner) };
      refuse(await complaintsAbout(ownName(owner, id), body, tools, { signal }));
      const changedAt = new Date(now()).toISOString();
      const plan: Plan = {
        ...{ id: fullName(project, id), ...body, project: owner },
        ...{ createdAt: before?.value.createdAt ?? changedAt, changedAt },
      };
      const put = { plan: shown(plan, project), isNew: before === undefined };
      if (dryRun) return put;
      const isWritten =
        before === undefined ? await table.add(plan, nothing) : await table.write(before, plan, nothing);
      if (!isWritten) throw new LmasError('PRECONDITION_FAILED');
      return put;
    },
    async list(query, project) {
      const { items, nextCursor } = await pageOf(table, query, (plan) => projectSees(project, plan.project));
      return { items: items.map((plan) => shown(plan, project)), nextCursor };
    },
    async remove(id, project) {
      const { project: owner } = await get(id, project);
      const all = await table.getMany(await table.ids(0, ALL));
      const name = ownName(owner, fullName(project, id));
      const users = all
        .filter((plan) => plan.project === owner && plan.after.includes(name))
        .map((plan) => `plan ${ownName(project, plan.id)}`);
      if (users.length > 0) throw new LmasError('IN_USE', `After ${id} run ${users.join(', ')}.`);
      const schedules = await schedulesNaming(fullName(project, id), project);
      if (schedules.length > 0) throw new LmasError('IN_USE', `${id} is run by ${inShort(schedules)}.`);
      await table.remove(fullName(project, id));
    },
  };
}

/** @throws LmasError INVALID_PLAN with every reason, if there is one */
export function refuse(issues: readonly { path: string; message: string }[]): void {
  if (issues.length === 0) return;
  const message = issues.map(({ path, message }) => `${path}: ${message}`).join('; ');
  throw new LmasError('INVALID_PLAN', message, { issues });
}
