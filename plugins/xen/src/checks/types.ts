/** What every check gets. */
import type { MigrationRequest } from '@lmas/plugin-api';
import type { XenOptions } from '../config.ts';
import type { Ends, Plan } from '../migration/plan.ts';

export interface CheckContext {
  readonly ends: Ends;
  readonly request: MigrationRequest<XenOptions>;
  readonly plan: Plan;
  readonly signal: AbortSignal;
}
