/**
 * Notices as whoever is bound to a project reads them: what is theirs under their own names, what is not theirs not at all.
 * Pure.
 */
import { ZodError } from 'zod';
import { readStored } from '../redis/stored-json.ts';
import { type Notice, noticeSchema, projectOf } from '../schemas/notice.ts';
import { ownName, withOwnPlans } from './owned-names.ts';
import { projectSees } from './principal.ts';

/** `undefined`: it is somebody else's. */
export function noticeSeenBy(project: string | null, notice: Notice): Notice | undefined {
  if (!projectSees(project, projectOf(notice))) return undefined;
  if (project === null) return notice;
  switch (notice.type) {
    case 'schedule': {
      const { schedule } = notice;
      return { ...notice, schedule: { ...schedule, id: ownName(project, schedule.id) } };
    }
    case 'plan-run':
      return { ...notice, planRun: withOwnPlans(project, notice.planRun) };
    default:
      return notice;
  }
}

/**
 * The same of what is stored. Of what only later versions can read nobody can say here whose it is: where it is told at all, it is told to
 * those who see everything, as it stands there. `undefined`: it is not for this reader.
 */
export function storedNoticeSeenBy(project: string | null, json: string): string | undefined {
  let notice: Notice;
  try {
    notice = readStored(noticeSchema, json);
  } catch (error) {
    return project === null && error instanceof ZodError ? json : undefined;
  }
  const seen = noticeSeenBy(project, notice);
  return seen === undefined ? undefined : JSON.stringify(seen);
}
