/** What every check gets, and how findings are written. */
import { blocker, type Finding, type MigrationRequest, note, warning } from '@lmas/plugin-api';
import type { KvmOptions } from '../config.ts';
import { toPluginError } from '../errors.ts';
import type { Plan } from '../migration/plan.ts';
import type { Ends } from '../migration/settle.ts';

export interface CheckContext {
  readonly ends: Ends;
  readonly request: MigrationRequest<KvmOptions>;
  readonly plan: Plan;
  readonly signal: AbortSignal;
}

/** What a check needs that only looks at what the guest is made of, and at the hosts. */
export type HostContext = Pick<CheckContext, 'ends' | 'signal'> & { readonly plan: Pick<Plan, 'definition'> };

export { blocker, note, warning };

/**
 * The findings of one check. One that cannot be made becomes the finding that `otherwise` writes, and takes nothing along
 * of what others have found. @throws what ends all checks: a session that is lost, `signal`
 */
export async function attempt(
  { ends, signal }: Pick<CheckContext, 'ends' | 'signal'>,
  check: () => Promise<Finding[]>,
  otherwise: (reason: string) => Finding = notChecked,
): Promise<Finding[]> {
  try {
    return await check();
  } catch (error) {
    if (signal.aborted || ends.source.closed.aborted || ends.destination.closed.aborted) throw error;
    return [otherwise(toPluginError(error, 'a check').message)];
  }
}

const notChecked = (reason: string): Finding =>
  warning(
    'CHECK_NOT_POSSIBLE',
    `A check could not be made: ${reason}`,
    'Make sure by hand that what it looks at is in order, or grant the login the rights it needs.',
  );
