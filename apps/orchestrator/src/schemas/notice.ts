/**
 * What those hear who follow everything, by webhook or by `GET /v1/events`: of migrations, of schedules, of runs of plans and of
 * balancing policies.
 */
import { z } from 'zod';
import { balancingSummarySchema } from './balancing.ts';
import { timestampSchema } from './common.ts';
import { migrationNoticeSchema } from './migration-notice.ts';
import { PLAN_RUN_EVENTS, planRunSummarySchema } from './plan-run.ts';
import { scheduleHistoryEntrySchema, scheduleSchema } from './schedule.ts';

export const scheduleSummarySchema = scheduleSchema
  .pick({ id: true, project: true, description: true, state: true, nextAt: true })
  .extend(scheduleHistoryEntrySchema.pick({ dueAt: true, event: true, run: true, code: true }).shape)
  .meta({ id: 'ScheduleSummary' });

export const scheduleNoticeSchema = z
  .object({ at: timestampSchema, type: z.literal('schedule'), message: z.string(), schedule: scheduleSummarySchema })
  .meta({ id: 'ScheduleNotice' });

export const planRunNoticeSchema = z
  .object({
    at: timestampSchema,
    type: z.literal('plan-run'),
    message: z.string(),
    planRun: planRunSummarySchema.extend({ event: z.enum(PLAN_RUN_EVENTS) }),
  })
  .meta({ id: 'PlanRunNotice' });

export const balancingNoticeSchema = z
  .object({ at: timestampSchema, type: z.literal('balancing'), message: z.string(), balancing: balancingSummarySchema })
  .meta({ id: 'BalancingNotice' });

export const noticeSchema = z
  .discriminatedUnion('type', [migrationNoticeSchema, scheduleNoticeSchema, planRunNoticeSchema, balancingNoticeSchema])
  .meta({ id: 'Notice' });
export type Notice = z.infer<typeof noticeSchema>;

/** What a notice is about. */
export function subjectOf(notice: Notice) {
  switch (notice.type) {
    case 'schedule':
      return notice.schedule;
    case 'plan-run':
      return notice.planRun;
    case 'balancing':
      return notice.balancing;
    default:
      return notice.migration;
  }
}

/** Whose the thing is that a notice is about. */
export function projectOf(notice: Notice): string | null {
  return subjectOf(notice).project;
}
