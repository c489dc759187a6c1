/** What the doctor found: the checks in the order in which they came, and what they come to. */
import type { DiagnosisCheck } from '@lmas/client';
import { plural } from '@lmas/format';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { printable } from '../output/text.ts';

export type Check = DiagnosisCheck;

export interface Report {
  readonly at: string;
  readonly url: string;
  readonly checks: readonly Check[];
  /** What a script is told: of what kept the doctor from looking any further, else whether anything failed. */
  readonly exitCode: ExitCode;
}

export const check = (name: string, status: Check['status'], found: string, remedy: string | null = null): Check => ({
  name,
  status,
  found,
  remedy,
});

export function countOf(checks: readonly Check[]): Record<Check['status'], number> {
  const count = { ok: 0, warning: 0, failed: 0, skipped: 0 };
  for (const { status } of checks) count[status] += 1;
  return count;
}

const SIGNS: Record<Check['status'], string> = {
  ok: 'ok     ',
  warning: 'WARNING',
  failed: 'FAILED ',
  skipped: '-      ',
};
const NAME_WIDTH = 32;

/** One or two lines: what was seen, and what to do. */
export function describeCheck({ name, status, found, remedy }: Check): string {
  const head = `${SIGNS[status]}  ${printable(name).padEnd(NAME_WIDTH)}  ${printable(found)}`;
  return remedy === null ? head : `${head}\n${' '.repeat(9)}→ ${printable(remedy)}`;
}

export function describeVerdict(checks: readonly Check[]): string {
  const { ok, warning, failed, skipped } = countOf(checks);
  const parts = [`${ok} in order`];
  if (warning > 0) parts.unshift(plural(warning, 'warning'));
  if (failed > 0) parts.unshift(`${failed} failed`);
  if (skipped > 0) parts.push(`${skipped} not looked at`);
  return parts.join(', ');
}

export const verdictOf = (checks: readonly Check[]): ExitCode =>
  checks.some(({ status }) => status === 'failed') ? EXIT.failed : EXIT.ok;
