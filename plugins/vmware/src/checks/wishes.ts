/** What is asked for that vSphere decides by itself. Pure. */
import { type Finding, note } from '@lmas/plugin-api';
import type { CheckContext } from './types.ts';

export function checkWishes({ plan: { request } }: CheckContext): Finding[] {
  const findings: Finding[] = [];
  if (request.maxDowntimeMs !== null) {
    findings.push(
      note(
        'DOWNTIME_NOT_SET',
        'vSphere cannot be told how long the guest may stand still.',
        'Nothing has to be done; vSphere keeps it short by itself.',
      ),
    );
  }
  if (request.convergence !== 'balanced') {
    findings.push(
      note(
        'CONVERGENCE_NOT_SET',
        `vSphere cannot be told how hard to press a guest that writes much (${request.convergence}).`,
        'Nothing has to be done; vSphere slows it down by itself.',
      ),
    );
  }
  return findings;
}
