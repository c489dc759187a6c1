/** What every check gets, and how findings are written. */
import type { Finding, MigrationRequest } from '@lmas/plugin-api';
import type { XenOptions } from '../config.ts';
import type { Ends, Plan } from '../migration/plan.ts';

export interface CheckContext {
  readonly ends: Ends;
  readonly request: MigrationRequest<XenOptions>;
  readonly plan: Plan;
  readonly signal: AbortSignal;
}

const finding =
  (severity: Finding['severity']) =>
  (code: string, message: string, remedy: string): Finding => ({ severity, code, message, remedy });

export const blocker = finding('blocker');
export const warning = finding('warning');
/** Worth knowing; nothing is wrong. */
export const note = finding('note');
