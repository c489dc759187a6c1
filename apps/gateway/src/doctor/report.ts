/** What the doctor found, for people. Pure. */
import type { Check, Mode } from './checks.ts';

const signs = { ok: 'ok      ', warning: 'warning ', missing: 'MISSING ' } as const;

export function renderReport(mode: Mode, checks: readonly Check[]): string {
  const width = Math.max(...checks.map(({ name }) => name.length));
  const lines = checks.flatMap(({ name, verdict, found, mend }) => [
    `  ${signs[verdict]} ${name.padEnd(width)}  ${found}`,
    ...(mend === '' ? [] : [`           ${' '.repeat(width)}→ ${mend}`]),
  ]);
  return `${mode} mode\n${lines.join('\n')}\n  ${verdictOf(checks)}\n`;
}

function verdictOf(checks: readonly Check[]): string {
  const missing = checks.filter(({ verdict }) => verdict === 'missing').length;
  const warnings = checks.filter(({ verdict }) => verdict === 'warning').length;
  if (missing > 0) return `It cannot work here: ${missing} thing(s) missing.`;
  return warnings > 0 ? `It works here; ${warnings} warning(s).` : 'It works here.';
}

export const works = (checks: readonly Check[]): boolean => checks.every(({ verdict }) => verdict !== 'missing');
