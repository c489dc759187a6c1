/** What every check gets. */
import type { Ends, Plan } from '../migration/plan.ts';

export interface CheckContext {
  readonly ends: Ends;
  readonly plan: Plan;
  readonly signal: AbortSignal;
}
