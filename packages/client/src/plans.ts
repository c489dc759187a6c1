/**
 * What happens by itself, and together: schedules, plans and their runs.
 */
import { answer, type CallOptions, done, type Http, type Needs, settled } from './calls.ts';
import { apiErrorOf } from './errors.ts';
import type {
  EvacuationInput,
  FailBackInput,
  Plan,
  PlanInput,
  PlanList,
  PlanReport,
  PlanRun,
  PlanRunList,
  PlanRunMode,
  Schedule,
  ScheduleChange,
  ScheduleHistoryEntry,
  ScheduleInput,
  ScheduleList,
  SchedulePreview,
} from './types.ts';

/** The version that a change is a change of; default: whatever is there (`*`). */
interface ChangeOptions extends CallOptions {
  ifMatch?: string;
}
interface PageOptions {
  limit?: number;
  cursor?: string;
}
export type PlanRunOrder = 'pause' | 'resume' | 'approve' | 'cancel' | 'retry' | 'fail-back';

export interface PlanClient {
  /** One page, newest first. */
  listSchedules(query?: PageOptions, options?: CallOptions): Promise<ScheduleList>;
  getSchedule(id: string, options?: CallOptions): Promise<Schedule>;
  createSchedule(input: ScheduleInput, options?: CallOptions): Promise<Schedule>;
  updateSchedule(id: string, change: ScheduleChange, options?: ChangeOptions): Promise<Schedule>;
  deleteSchedule(id: string, options?: CallOptions): Promise<void>;
  pauseSchedule(id: string, options?: CallOptions): Promise<Schedule>;
  resumeSchedule(id: string, options?: CallOptions): Promise<Schedule>;
  runSchedule(id: string, options?: CallOptions): Promise<Schedule>;
  previewSchedule(id: string, count: number, options?: CallOptions): Promise<SchedulePreview['items']>;
  /** Of one that is not made yet. */
  previewNewSchedule(input: ScheduleInput, count: number, options?: CallOptions): Promise<SchedulePreview['items']>;
  getScheduleHistory(id: string, options?: CallOptions): Promise<ScheduleHistoryEntry[]>;

  listPlans(query?: PageOptions, options?: CallOptions): Promise<PlanList>;
  getPlan(id: string, options?: CallOptions): Promise<Plan>;
  /** Makes it, or takes the place of the one of that name. `dryRun`: all but storing it. */
  /** `ifMatch: null`: to make one, and not to take the place of another. */
  putPlan(
    id: string,
    plan: PlanInput,
    options?: CallOptions & { ifMatch?: string | null; dryRun?: boolean },
  ): Promise<Plan>;
  deletePlan(id: string, options?: CallOptions): Promise<void>;
  startPlanRun(plan: string, mode: PlanRunMode, options?: CallOptions): Promise<PlanRun>;
  evacuate(input: EvacuationInput, options?: CallOptions): Promise<PlanRun>;
  listPlanRuns(query?: PageOptions & Needs & { plan?: string }, options?: CallOptions): Promise<PlanRunList>;
  getPlanRun(id: string, options?: CallOptions): Promise<PlanRun>;
  /**
   * Answers with the run; `fail-back`, which may leave VMs out, with the new one. `approve` with a `wave`, from 1, approves that one
   * or is refused.
   */
  orderPlanRun(
    id: string,
    order: PlanRunOrder,
    options?: CallOptions & FailBackInput & { wave?: number },
  ): Promise<PlanRun>;
  getPlanReport(id: string, options?: CallOptions): Promise<PlanReport>;
  /** The report as one HTML page. */
  getPlanReportPage(id: string, options?: CallOptions): Promise<string>;
}

const heed = (signal: AbortSignal | undefined) => (signal === undefined ? {} : { signal });

export function planMethods(http: Http, base: string): PlanClient {
  const at = (id: string, signal: AbortSignal | undefined) => ({ params: { path: { id } }, ...heed(signal) });
  return {
    ...scheduleMethods(http, base),
    listPlans: (query = {}, { signal } = {}) =>
      answer(base, signal, http.GET('/v1/plans', { params: { query }, ...heed(signal) })),
    getPlan: (id, { signal } = {}) => answer(base, signal, http.GET('/v1/plans/{id}', at(id, signal))),
    putPlan: (id, body, { ifMatch = '*', dryRun = false, signal } = {}) => {
      const params = { path: { id }, query: dryRun ? { dryRun: 'true' } : {} };
      const headers = ifMatch === null ? {} : { 'if-match': ifMatch };
      return answer(base, signal, http.PUT('/v1/plans/{id}', { body, params, headers, ...heed(signal) }));
    },
    deletePlan: (id, { signal } = {}) => done(base, signal, http.DELETE('/v1/plans/{id}', at(id, signal))),
    startPlanRun: (id, mode, { signal } = {}) =>
      answer(base, signal, http.POST('/v1/plans/{id}/runs', { body: { mode }, ...at(id, signal) })),
    evacuate: (body, { signal } = {}) => answer(base, signal, http.POST('/v1/evacuations', { body, ...heed(signal) })),
    listPlanRuns: (query = {}, { signal } = {}) =>
      answer(base, signal, http.GET('/v1/plan-runs', { params: { query }, ...heed(signal) })),
    getPlanRun: (id, { signal } = {}) => answer(base, signal, http.GET('/v1/plan-runs/{id}', at(id, signal))),
    orderPlanRun: (id, order, { signal, except, poweredOff, wave } = {}) => {
      if (order === 'approve') {
        const body = wave === undefined ? {} : { wave };
        return answer(base, signal, http.POST('/v1/plan-runs/{id}/approve', { body, ...at(id, signal) }));
      }
      if (order !== 'fail-back') return answer(base, signal, http.POST(`/v1/plan-runs/{id}/${order}`, at(id, signal)));
      const body = { ...(except === undefined ? {} : { except }), ...(poweredOff === undefined ? {} : { poweredOff }) };
      return answer(base, signal, http.POST('/v1/plan-runs/{id}/fail-back', { body, ...at(id, signal) }));
    },
    getPlanReport: (id, { signal } = {}) => answer(base, signal, http.GET('/v1/plan-runs/{id}/report', at(id, signal))),
    async getPlanReportPage(id, { signal } = {}) {
      const call = http.GET('/v1/plan-runs/{id}/report.html', { ...at(id, signal), parseAs: 'text' });
      const { data, error, response } = await settled(base, signal, call);
      if (!response.ok) throw apiErrorOf(response, error);
      return data ?? '';
    },
  };
}

function scheduleMethods(http: Http, base: string) {
  const at = (id: string, signal: AbortSignal | undefined) => ({ params: { path: { id } }, ...heed(signal) });
  const methods: Pick<PlanClient, Extract<keyof PlanClient, `${string}Schedule${string}`>> = {
    listSchedules: (query = {}, { signal } = {}) =>
      answer(base, signal, http.GET('/v1/schedules', { params: { query }, ...heed(signal) })),
    getSchedule: (id, { signal } = {}) => answer(base, signal, http.GET('/v1/schedules/{id}', at(id, signal))),
    createSchedule: (body, { signal } = {}) =>
      answer(base, signal, http.POST('/v1/schedules', { body, ...heed(signal) })),
    updateSchedule: (id, body, { ifMatch = '*', signal } = {}) =>
      answer(
        base,
        signal,
        http.PATCH('/v1/schedules/{id}', { body, headers: { 'if-match': ifMatch }, ...at(id, signal) }),
      ),
    deleteSchedule: (id, { signal } = {}) => done(base, signal, http.DELETE('/v1/schedules/{id}', at(id, signal))),
    pauseSchedule: (id, { signal } = {}) => answer(base, signal, http.POST('/v1/schedules/{id}/pause', at(id, signal))),
    resumeSchedule: (id, { signal } = {}) =>
      answer(base, signal, http.POST('/v1/schedules/{id}/resume', at(id, signal))),
    runSchedule: (id, { signal } = {}) => answer(base, signal, http.POST('/v1/schedules/{id}/run', at(id, signal))),
    async previewSchedule(id, count, { signal } = {}) {
      const params = { path: { id }, query: { count } };
      return (await answer(base, signal, http.GET('/v1/schedules/{id}/preview', { params, ...heed(signal) }))).items;
    },
    async previewNewSchedule(body, count, { signal } = {}) {
      const params = { query: { count } };
      return (await answer(base, signal, http.POST('/v1/schedule-previews', { body, params, ...heed(signal) }))).items;
    },
    getScheduleHistory: async (id, { signal } = {}) =>
      (await answer(base, signal, http.GET('/v1/schedules/{id}/history', at(id, signal)))).items,
  };
  return methods;
}
