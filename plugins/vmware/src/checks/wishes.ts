/** What is asked for that vSphere decides by itself. Pure. */
import { type Finding, note, warning } from '@lmas/plugin-api';
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
  if (request.bandwidthBytesPerSec !== null && !request.tunnelled) {
    findings.push(
      warning(
        'BANDWIDTH_NOT_SET',
        'vSphere cannot limit the bandwidth of one migration, so the limit that was asked for does not hold.',
        request.disksAlone === true
          ? 'Leave it out, or limit the storage itself (Storage I/O Control).'
          : 'Use the tunnel, which can, or Network I/O Control for all vMotion of the hosts.',
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
