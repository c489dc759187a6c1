/**
 * The word about a run that goes to whoever follows everything: when it begins, waits for a person, and ends. Pure.
 */

import type { z } from 'zod';
import type { planRunNoticeSchema } from '../schemas/notice.ts';
import { hasRunEnded, type PlanRun, summaryOf, waitsForApproval } from './record.ts';

export type PlanRunNotice = z.infer<typeof planRunNoticeSchema>;
type PlanRunEvent = PlanRunNotice['planRun']['event'];

/** @param before null: it was not there */
export function noticesOf(run: PlanRun, before: PlanRun | null): PlanRunNotice[] {
  const at = new Date().toISOString();
  return eventsOf(run, before).map((event) => ({
    ...{ at, type: 'plan-run', message: run.message },
    planRun: { ...summaryOf(run), event },
  }));
}

function eventsOf(run: PlanRun, before: PlanRun | null): PlanRunEvent[] {
  if (before === null) return ['started'];
  const events: PlanRunEvent[] = [];
  const done = (each: PlanRun): number => each.waves.filter(({ state }) => state === 'done').length;
  if (done(run) > done(before)) events.push('wave-done');
  if (waitsForApproval(run) && !waitsForApproval(before)) events.push('waits');
  if (run.pausedAt !== before.pausedAt && !hasRunEnded(run)) events.push(run.pausedAt === null ? 'resumed' : 'paused');
  if (run.attempt > before.attempt) events.push('started');
  if (hasRunEnded(run) && !hasRunEnded(before)) events.push(run.phase);
  return events;
}
