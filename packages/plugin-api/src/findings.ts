/** How findings are written, in one line each. */
import type { Finding } from './migration.ts';

const finding =
  (severity: Finding['severity']) =>
  (code: string, message: string, remedy: string): Finding => ({ severity, code, message, remedy });

export const blocker = finding('blocker');
export const warning = finding('warning');
/** Worth knowing; nothing is wrong. */
export const note = finding('note');
