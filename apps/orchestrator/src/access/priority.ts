/**
 * Which priority a project may ask for. What somebody asks for above the highest is refused. What was accepted before that was set, as a
 * schedule, as a plan or as a migration that is tried again, is not: it goes with the highest there is. Pure.
 */
import { LmasError } from '../errors.ts';
import type { MigrationInput } from '../migrations/record.ts';
import { DEFAULT_PRIORITY } from '../schemas/common.ts';
import type { ProjectLimits } from './projects.ts';

type Limit = Pick<ProjectLimits, 'maxPriority'>;

/** The one of a request that names none was not asked for: that is lowered, too. @throws LmasError PRIORITY_TOO_HIGH */
export function requirePriority(
  project: string | null,
  { priority }: Pick<MigrationInput, 'priority'>,
  { maxPriority }: Limit,
): void {
  if (maxPriority === null || priority <= maxPriority || priority === DEFAULT_PRIORITY) return;
  const message = `Project ${project} may ask for priority ${maxPriority} at most, and not for ${priority}.`;
  throw new LmasError('PRIORITY_TOO_HIGH', message, {
    remedy: `Ask for ${maxPriority} or less, or for none; whoever runs the installation may allow more (lmas project set ${project} --max-priority).`,
    issues: [{ path: 'priority', message: `at most ${maxPriority}` }],
  });
}

export const withinPriority = (input: MigrationInput, { maxPriority }: Limit): MigrationInput =>
  maxPriority === null ? input : { ...input, priority: Math.min(input.priority, maxPriority) };
