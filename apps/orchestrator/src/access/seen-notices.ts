/**
 * Notices as whoever is bound to a project reads them: what is theirs under their own names, what is not theirs not at all.
 * Pure.
 */
import { type Notice, projectOf } from '../schemas/notice.ts';
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
