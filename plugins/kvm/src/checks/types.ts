/** What every check gets, and how findings are written. */
import type { Finding, MigrationRequest } from '@lmas/plugin-api';
import type { KvmOptions } from '../config.ts';
import type { Plan } from '../migration/plan.ts';
import type { Ends } from '../migration/settle.ts';

export interface CheckContext {
  readonly ends: Ends;
  readonly request: MigrationRequest<KvmOptions>;
  readonly plan: Plan;
  readonly signal: AbortSignal;
}

export const blocker = (code: string, message: string, remedy: string): Finding => ({
  severity: 'blocker',
  code,
  message,
  remedy,
});

/** Worth knowing; nothing is wrong. */
export const note = (code: string, message: string, remedy: string): Finding => ({
  severity: 'note',
  code,
  message,
  remedy,
});

export const warning = (code: string, message: string, remedy: string): Finding => ({
  severity: 'warning',
  code,
  message,
  remedy,
});
