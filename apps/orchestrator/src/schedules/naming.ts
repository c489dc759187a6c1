/** Which schedules would start a thing: what they name must not go away without a word. */
import { fullName, ownName } from '../access/owned-names.ts';
import type { VersionedTable } from '../redis/versioned-table.ts';
import { lookAtMs, type StoredSchedule } from './record.ts';

const ALL = 100_000;

/** Those that are not over, in words, with their names as whoever asks knows them. */
export async function schedulesNaming(
  table: Pick<VersionedTable<StoredSchedule>, 'ids' | 'getMany'>,
  /** In full. */
  what: { readonly plan: string } | { readonly policy: string },
  project: string | null,
  nowMs: number,
): Promise<string[]> {
  const names = ({ action, project: owner }: StoredSchedule): boolean => {
    if (action.kind === 'plan') return 'plan' in what && fullName(owner, action.plan) === what.plan;
    return action.kind === 'balancing' && 'policy' in what && action.policy === what.policy;
  };
  const isOver = (schedule: StoredSchedule): boolean =>
    schedule.pausedAt === null && lookAtMs(schedule, nowMs) === null;
  return (await table.getMany(await table.ids(0, ALL)))
    .filter((schedule) => names(schedule) && !isOver(schedule))
    .map(({ id }) => `schedule ${ownName(project, id)}`);
}
