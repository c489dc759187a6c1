/** What was seen at an endpoint, step by step, in words. Pure. */
import type { EndpointTest } from '@lmas/client';
import { printable } from './text.ts';

/** As wide as each other, so that what failed stands out. */
const OUTCOME_LABEL = { ok: 'ok     ', failed: 'FAILED ', skipped: 'skipped' } as const;

export function describeVerification(endpoint: string, { ok, durationMs, error, steps }: EndpointTest): string {
  const lines = steps.flatMap(({ name, outcome, seen, remedy }) => [
    `${OUTCOME_LABEL[outcome]}  ${printable(name)}: ${printable(seen)}`,
    ...(remedy === null ? [] : [`         ${printable(remedy)}`]),
  ]);
  const failures = steps.filter(({ outcome }) => outcome === 'failed').length;
  const seconds = (durationMs / 1_000).toFixed(1);
  const count = failures === 0 ? '' : `: ${failures} of ${steps.length} steps failed`;
  const verdict = ok ? 'can be worked with' : `cannot be worked with${count}`;
  // An error that no step tells: the time was over, or the plugin itself broke off.
  const told = error === null || steps.some(({ seen }) => seen === error.message);
  const broken = told ? [] : [`Broken off: ${printable(error.message)} (${printable(error.code)})`];
  return [...lines, ...broken, `${printable(endpoint)} ${verdict} (${seconds} s).`, ''].join('\n');
}
